// Draws `tandem.progress` on the Run Conditions node while its conditions run, and nothing after.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { ROW_PX, isProgress, standingRows } from "./standing.js";

const OURS = "TandemRunConditions";
const ENDINGS = ["execution_success", "execution_error", "execution_interrupted"];
const widgets = new WeakMap(); // of our nodes
const shown = new Map(); // nodes with rows on them: id of the prompt

app.registerExtension({
  name: "tandem.progress",
  nodeCreated(node) {
    if (node.comfyClass === OURS) addWidget(node);
  },
});

api.addEventListener("tandem.progress", ({ detail }) => {
  if (!isProgress(detail)) return;
  const node = findNode(detail.node);
  if (!widgets.has(node)) return; // another workflow is open
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

function addWidget(node) {
  const element = document.createElement("div");
  element.className = "tandem-standing";
  element.hidden = true;
  const list = document.createElement("div");
  list.setAttribute("role", "list");
  element.append(stylesheet(), list);
  const height = () => list.childElementCount * ROW_PX;
  const options = { serialize: false, getMinHeight: height, getMaxHeight: height };
  const widget = node.addDOMWidget("tandem_standing", "tandem_standing", element, options);
  widget.serialize = false;
  widget.hidden = true;
  element.addEventListener("wheel", zoom, { passive: false });
  widgets.set(node, widget);
}

/** Part of our own element: the page's head is everybody's. */
function stylesheet() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("tandem.css", import.meta.url).href;
  return link;
}

/** The node of an execution id such as "2:1": node 1 in the subgraph that node 2 stands for. */
function findNode(path) {
  const ids = path.split(":");
  const last = ids.pop();
  let graph = app.rootGraph ?? app.graph;
  for (const id of ids) graph = graph?.getNodeById(id)?.subgraph;
  return graph?.getNodeById(last);
}

function show(node, news) {
  const widget = widgets.get(node);
  const { element } = widget;
  const list = element.lastElementChild;
  list.replaceChildren(...standingRows(news));
  list.setAttribute("aria-label", `${news.done} of ${news.total} hints are ready`);
  element.style.minHeight = `${list.childElementCount * ROW_PX}px`;
  element.hidden = widget.hidden = false;
  shown.set(node, news.prompt_id);
  remount(node, element);
  const least = node.computeSize()[1];
  if (node.size[1] < least) node.setSize([node.size[0], least]);
  node.graph?.setDirtyCanvas(true, true);
}

function hide(node) {
  shown.delete(node);
  const widget = widgets.get(node);
  widget.element.lastElementChild.replaceChildren();
  widget.element.style.minHeight = "";
  widget.element.hidden = widget.hidden = true;
  node.graph?.setDirtyCanvas(true, true);
}

/** After undo the newer renderer keeps the element of the node that was there before. */
function remount(node, element) {
  if (element.isConnected || node.graph !== app.canvas.graph) return;
  const at = `[data-node-id="${CSS.escape(node.id)}"] .tandem-standing`;
  document.querySelector(at)?.replaceWith(element);
}

/** In the older renderer the canvas lies below the element: let the wheel zoom there too. */
function zoom(event) {
  if (globalThis.LiteGraph?.vueNodesMode) return;
  event.preventDefault();
  app.canvas.canvas.dispatchEvent(new WheelEvent("wheel", event));
}
