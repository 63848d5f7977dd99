// Draws `tandem_scales` on the nodes that tell of measured scales, also after a page reload.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { scalesShown } from "./scale_rows.js";
import { Strip, findNode } from "./strip.js";

const OURS = ["TandemReport", "TandemEstimateScales"];
const RUNS = 20; // of the history are looked through
const FRAMES = 20; // until the newer renderer has its element
const strips = new WeakMap(); // of our nodes

app.registerExtension({
  name: "tandem.scales",
  nodeCreated(node) {
    if (!OURS.includes(node.comfyClass)) return;
    strips.set(node, new Strip(node, "tandem_scales"));
    follow(node, "onExecuted", (output) => draw(node, output));
    follow(node, "onConfigure", () => draw(node, outputOf(node)));
  },
  onNodeOutputsUpdated() {
    for (const node of ourNodes()) draw(node, outputOf(node)); // a tab was switched
  },
  async afterConfigureGraph() {
    if (ourNodes().some((node) => !outputOf(node))) await drawLastRun();
  },
});

/** Other packs hang on the same callbacks: ours comes after what is there. */
function follow(node, name, ours) {
  const before = node[name];
  node[name] = function (...given) {
    const made = before?.apply(this, given);
    ours(...given);
    return made;
  };
}

function draw(node, output, from) {
  const shown = scalesShown(output?.tandem_scales?.[0], from);
  if (!shown) return;
  const strip = strips.get(node);
  strip.show(shown.rows, shown.label, shown.lines);
  mount(strip, FRAMES);
}

function mount(strip, frames) {
  strip.remount();
  if (strip.element.isConnected || frames === 0) return;
  requestAnimationFrame(() => mount(strip, frames - 1));
}

/** After a reload the editor has forgotten what nodes showed: the server has not. */
async function drawLastRun() {
  const graph = app.rootGraph ?? app.graph;
  const outputs = await lastOutputs(graph?.id);
  if (graph !== (app.rootGraph ?? app.graph)) return; // another workflow is open by now
  for (const [path, output] of Object.entries(outputs)) {
    const node = findNode(path);
    if (strips.has(node) && !outputOf(node)) draw(node, output, "from the last run");
  }
}

async function lastOutputs(workflow) {
  const answer = await api.fetchApi(`/history?max_items=${RUNS}`);
  if (!answer.ok) return {};
  const runs = Object.values(await answer.json()); // oldest first
  const own = runs.filter(
    ({ prompt }) => workflow && prompt?.[3]?.extra_pnginfo?.workflow?.id === workflow,
  );
  return Object.assign({}, ...own.map(({ outputs }) => outputs)); // a cached node tells nothing
}

function outputOf(node) {
  if (!node.graph) return undefined;
  const inRoot = node.graph === (app.rootGraph ?? app.graph);
  return app.nodeOutputs?.[inRoot ? String(node.id) : `${node.graph.id}:${node.id}`];
}

function ourNodes(graph = app.rootGraph ?? app.graph) {
  return (graph?._nodes ?? []).flatMap((node) => [
    ...(strips.has(node) ? [node] : []),
    ...(node.subgraph ? ourNodes(node.subgraph) : []),
  ]);
}
