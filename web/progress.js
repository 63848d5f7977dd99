// Draws `tandem.progress` on the Run Conditions node while its conditions run, and nothing after.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { isProgress, standingRows } from "./standing.js";
import { Strip, findNode } from "./strip.js";

const OURS = "TandemRunConditions";
const ENDINGS = ["execution_success", "execution_error", "execution_interrupted"];
const strips = new WeakMap(); // of our nodes
const shown = new Map(); // nodes with rows on them: id of the prompt

app.registerExtension({
  name: "tandem.progress",
  nodeCreated(node) {
    if (node.comfyClass === OURS) strips.set(node, new Strip(node, "tandem_standing"));
  },
});

api.addEventListener("tandem.progress", ({ detail }) => {
  if (!isProgress(detail)) return;
  const node = findNode(detail.node);
  if (!strips.has(node)) return; // another workflow is open
  if (detail.done < detail.total) show(node, detail);
  else hide(node); // the hints come next
});
for (const ending of ENDINGS) {
  api.addEventListener(ending, ({ detail }) => {
    for (const [node, prompt] of shown) if (prompt === detail?.prompt_id) hide(node);
  });
}
api.addEventListener("reconnected", () => {
  for (const node of shown.keys()) hide(node); // the end may have passed unheard
});

function show(node, news) {
  shown.set(node, news.prompt_id);
  strips.get(node).show(standingRows(news), `${news.done} of ${news.total} hints are ready`);
}

function hide(node) {
  shown.delete(node);
  strips.get(node).hide();
}
