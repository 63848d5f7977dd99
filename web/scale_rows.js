// A payload `tandem_scales` as rows: what became of each condition. Payload in, elements out.
const MOST_ROWS = 8; // a node is no place for more
const NOTE_LINES = 6; // in a narrow node

/** Rows to show, how many lines of text they are high, and what they tell; null: no such payload. */
export function scalesShown(payload, from = "") {
  if (payload?.v > 1) return said("Made by a newer Tandem: update the pack to see it.");
  const { v, rows, note } = payload ?? {};
  if (v !== 1 || !Array.isArray(rows) || !rows.every(isScale)) return null;
  if (!rows.length) return typeof note === "string" ? said(note) : null;
  const most = Math.max(...rows.map((row) => Math.max(row.strength, row.scale)), 1e-9);
  const shown = rows.slice(0, MOST_ROWS).map((row) => scaleRow(row, most));
  if (rows.length > MOST_ROWS) shown.push(why(`${rows.length - MOST_ROWS} more`));
  if (from) shown.push(why(from));
  const lines = shown.reduce((sum, one) => sum + Math.max(one.childElementCount, 1), 0);
  const used = rows.filter((row) => !row.pruned).length;
  return { rows: shown, lines, label: `${used} of ${rows.length} conditions act. ${from}`.trim() };
}

function isScale(row) {
  const numbers = [row?.strength, row?.scale, row?.carried];
  return numbers.every((number) => Number.isFinite(number) && number >= 0);
}

function said(text) {
  const made = listitem("tandem-note");
  made.textContent = made.title = text;
  return { rows: [made], lines: NOTE_LINES, label: text };
}

/** Name, bar, number, calls; in a second line why it is not just its strength. */
function scaleRow(row, most) {
  const made = listitem("tandem-scale");
  const head = document.createElement("div");
  head.className = "tandem-scale-head";
  const calls = Number.isInteger(row.calls) ? `${row.calls} ${row.calls === 1 ? "call" : "calls"}` : "";
  const number = row.pruned ? "left out" : `${row.scale.toFixed(2)} of ${row.strength.toFixed(2)}`;
  head.append(
    cell("tandem-scale-cond", String(row.cond)),
    bar(row, most),
    cell("tandem-scale-number", number),
    cell("tandem-scale-calls", calls),
  );
  const reasons = reasonsOf(row).join(", ");
  made.append(head);
  if (reasons) made.append(cell("tandem-scale-why", reasons, "div"));
  made.dataset.pruned = String(row.pruned === true);
  made.title = [row.cond, number, calls, reasons].filter(Boolean).join("; "); // long ones are cut
  return made;
}

function reasonsOf({ reason, carried, coarse, reused, ended }) {
  return [
    typeof reason === "string" && reason,
    carried > 0.005 && `${carried.toFixed(2)} for what it covers`,
    Number.isFinite(coarse) && `${coarse.toFixed(2)} at coarse blocks`,
    reused > 0 && `${reused} reused`,
    ended === true && "then silent",
  ].filter(Boolean);
}

/** The strength as an outline; in it the scale, hatched what is carried for others. */
function bar({ strength, scale, carried }, most) {
  const made = document.createElement("div");
  made.className = "tandem-bar";
  const own = Math.max(scale - carried, 0);
  made.append(
    part("strength", 0, strength / most),
    part("own", 0, own / most),
    part("carried", own / most, (scale - own) / most),
  );
  return made;
}

function part(name, left, width) {
  const made = document.createElement("span");
  made.className = `tandem-bar-${name}`;
  made.style.left = `${100 * left}%`;
  made.style.width = `${100 * width}%`;
  made.hidden = width === 0;
  return made;
}

function why(text) {
  const made = cell("tandem-scale-why", text, "div");
  made.setAttribute("role", "listitem");
  return made;
}

function listitem(name) {
  const made = document.createElement("div");
  made.className = name;
  made.setAttribute("role", "listitem");
  return made;
}

function cell(name, text, kind = "span") {
  const made = document.createElement(kind);
  made.className = name;
  made.textContent = text; // never markup: names and reasons come from workflows
  return made;
}
