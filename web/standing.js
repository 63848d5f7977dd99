// A message `tandem.progress` as rows: what each condition is at. Payload in, elements out.
const MARKS = {
  queued: "\u25cb",
  uploading: "\u2191",
  running: "\u25b6",
  downloading: "\u2193",
  done: "\u2713",
};
const MOST_ROWS = 8; // a node is no place for more

/** Whether a message is of a form that is drawn here. */
export function isProgress(news) {
  const rows = news?.v === 1 && typeof news.node === "string" && news.rows;
  return Array.isArray(rows) && rows.every((row) => row !== null && typeof row === "object");
}

/** One element a condition, and one that counts those beyond the first. */
export function standingRows({ rows }) {
  const shown = rows.slice(0, MOST_ROWS).map(row);
  if (rows.length > MOST_ROWS) shown.push(line([["tandem-what", `${rows.length - MOST_ROWS} more`]]));
  return shown;
}

function row({ cond, worker, state, seconds }) {
  const since = state !== "queued" && Number.isFinite(seconds) ? ` ${seconds.toFixed(1)} s` : "";
  const made = line([
    ["tandem-mark", MARKS[state] ?? ""],
    ["tandem-what", String(cond)],
    ["tandem-where", String(worker ?? "here")],
    ["tandem-state", `${state}${since}`],
  ]);
  made.dataset.state = state;
  made.title = `${cond}: ${state}, ${worker ?? "this machine"}`; // long names are cut
  return made;
}

function line(cells) {
  const made = document.createElement("div");
  made.className = "tandem-row";
  made.setAttribute("role", "listitem");
  for (const [name, text] of cells) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.textContent = text; // never markup: names come from other machines
    made.append(cell);
  }
  return made;
}
