// Rows at the foot of a node. They are no value: nothing of them is saved or queued.
import { app } from "../../scripts/app.js";

export const ROW_PX = 18;

/** One on a node, under the widget name `name`; empty and without height until shown. */
export class Strip {
  constructor(node, name) {
    this.node = node;
    this.lines = 0;
    this.className = name.replaceAll("_", "-");
    this.list = document.createElement("div");
    this.list.setAttribute("role", "list");
    this.element = document.createElement("div");
    this.element.className = `tandem-strip ${this.className}`;
    this.element.hidden = true;
    this.element.append(stylesheet(), this.list);
    this.element.addEventListener("wheel", zoom, { passive: false });
    const height = () => this.lines * ROW_PX;
    const options = { serialize: false, getMinHeight: height, getMaxHeight: height };
    this.widget = node.addDOMWidget(name, name, this.element, options);
    this.widget.serialize = false;
    this.widget.hidden = true;
  }

  /** Puts rows on it, `lines` of text high in all, and says in `label` what they tell. */
  show(rows, label, lines = rows.length) {
    this.fill(rows, lines);
    this.list.setAttribute("aria-label", label);
    this.remount();
    const least = this.node.computeSize()[1];
    if (this.node.size[1] < least) this.node.setSize([this.node.size[0], least]);
  }

  hide() {
    this.fill([], 0);
  }

  fill(rows, lines) {
    this.lines = lines;
    this.list.replaceChildren(...rows);
    this.element.style.minHeight = lines ? `${lines * ROW_PX}px` : "";
    this.element.hidden = this.widget.hidden = lines === 0;
    this.node.graph?.setDirtyCanvas(true, true);
  }

  /** After undo the newer renderer keeps the element of the node that was there before. */
  remount() {
    const { node, element } = this;
    if (element.isConnected || node.graph !== app.canvas.graph) return;
    const at = `[data-node-id="${CSS.escape(node.id)}"] .${this.className}`;
    document.querySelector(at)?.replaceWith(element);
  }
}

/** The node of an execution id such as "2:1": node 1 in the subgraph that node 2 stands for. */
export function findNode(path) {
  const ids = path.split(":");
  const last = ids.pop();
  let graph = app.rootGraph ?? app.graph;
  for (const id of ids) graph = graph?.getNodeById(id)?.subgraph;
  return graph?.getNodeById(last);
}

/** Part of our own element: the page's head is everybody's. */
function stylesheet() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("tandem.css", import.meta.url).href;
  return link;
}

/** In the older renderer the canvas lies below the element: let the wheel zoom there too. */
function zoom(event) {
  if (globalThis.LiteGraph?.vueNodesMode) return;
  event.preventDefault();
  app.canvas.canvas.dispatchEvent(new WheelEvent("wheel", event));
}
