"""ComfyUI's editor in a real browser, as a person uses it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page

PACK_FILES = "/extensions/comfyui-tandem/"
LEFT_PX, TOP_PX, EDGE_PX = 90, 180, 80  # the editor's own panels lie there, over the graph

READY = "() => globalThis.app?.vueAppReady && app.extensionManager && app.graph?._nodes.length"
PATIENCE_MS = 120_000  # a busy machine draws late
SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ENDINGS = """() => {
  globalThis.tandemTestEnd = new Promise((resolve) => {
    for (const kind of ["execution_success", "execution_error", "execution_interrupted"])
      app.api.addEventListener(kind, (event) => resolve({ kind, ...event.detail }), { once: true });
  });
}"""
UNKNOWN = "() => app.graph._nodes.map((n) => n.type).filter((t) => !LiteGraph.getNodeType(t))"
BOUNDS = """() => {
  const boxes = [...app.graph._nodes, ...app.graph._groups].map((one) => one.boundingRect);
  const left = Math.min(...boxes.map((b) => b[0])), top = Math.min(...boxes.map((b) => b[1]));
  const right = Math.max(...boxes.map((b) => b[0] + b[2]));
  const bottom = Math.max(...boxes.map((b) => b[1] + b[3]));
  return [left - 15, top - 15, right - left + 30, bottom - top + 30];
}"""
VIEW = """([scale, x, y]) => {
  app.canvas.deselectAll();
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [x, y];
  app.canvas.setDirty(true, true);
}"""
PICTURES = """() => {
  const shown = [...document.querySelectorAll("[data-testid^=template-workflow-] img")];
  return shown.length > 0 && shown.every((one) => one.complete && one.naturalWidth > 0);
}"""
SET = """([title, name, value]) => {
  const node = app.graph._nodes.find((one) => one.title === title);
  node.widgets.find((one) => one.name === name).value = value;
}"""
CHOICES = """([type, name]) =>
  app.graph._nodes.find((one) => one.type === type)
    .widgets.find((one) => one.name === name).options.values"""
SELECT = """(type) => {
  const node = app.graph._nodes.find((one) => one.type === type);
  app.canvas.deselectAll();
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [800 - node.pos[0], 300 - node.pos[1]];  // beside the help panel
  app.canvas.selectNode(node);
  app.canvas.setDirty(true, true);
}"""


@dataclass(frozen=True)
class Editor:
    """One page of it, with what its console said about our files."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def command(self, name: str) -> None:
        """Does what a menu entry of that id does."""
        self.page.evaluate("(name) => app.extensionManager.command.execute(name)", name)

    def browse_templates(self) -> None:
        """Opens the template browser at our examples, and waits for their pictures."""
        self.command("Comfy.BrowseTemplates")
        self.page.get_by_role("dialog").get_by_text("comfyui-tandem").first.click()
        self.page.wait_for_function(PICTURES)

    def open_template(self, name: str) -> None:
        """Chooses an example of ours in the template browser."""
        self.browse_templates()
        self.page.get_by_test_id(f"template-workflow-{name}").click()
        self.page.wait_for_function(
            "(name) => app.extensionManager.workflow.activeWorkflow?.path?.includes(name)", arg=name
        )
        self.page.get_by_role("dialog").wait_for(state="hidden")
        self.page.evaluate(SETTLED)

    def load(self, workflow: Mapping[str, Any]) -> None:
        """Opens a workflow as dropping its file would."""
        self.page.evaluate("(workflow) => app.loadGraphData(workflow)", workflow)
        self.page.evaluate(SETTLED)

    def unknown_nodes(self) -> list[str]:
        """Types of nodes in the graph that no pack has registered."""
        return self.page.evaluate(UNKNOWN)

    def set(self, title: str, widget: str, value: object) -> None:
        """Changes a value of the node with that title."""
        self.page.evaluate(SET, [title, widget, value])

    def choices(self, node_type: str, widget: str) -> list[str]:
        """What a list of the node offers."""
        return self.page.evaluate(CHOICES, [node_type, widget])

    def graph_to_prompt(self) -> dict[str, Any]:
        """What the editor would queue."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def run(self) -> dict[str, Any]:
        """Presses Run; returns the message that ended the run, with its `kind`."""
        self.page.evaluate(ENDINGS)
        self.page.get_by_test_id("queue-button").click()
        return self.page.evaluate("() => globalThis.tandemTestEnd")

    def open_help(self, node_type: str) -> None:
        """Selects a node of that type and presses its info button."""
        self.page.evaluate(SELECT, node_type)
        self.page.get_by_test_id("info-button").click()

    def picture_of_graph(self, file: Path, scale: float = 0.75) -> None:
        """Saves the whole graph, without the editor around it."""
        left, top, width, height = self.page.evaluate(BOUNDS)
        size = {"width": round(width * scale), "height": round(height * scale)}
        self.page.set_viewport_size(
            {
                "width": LEFT_PX + size["width"] + EDGE_PX,
                "height": TOP_PX + size["height"] + EDGE_PX,
            }
        )
        self.page.evaluate(VIEW, [scale, LEFT_PX / scale - left, TOP_PX / scale - top])
        self.page.wait_for_timeout(1000)  # pictures in nodes are drawn when they have arrived
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=file, clip={"x": LEFT_PX, "y": TOP_PX, **size})


@contextmanager
def open_editor(browser: Browser, url: str, *, vue: bool = False) -> Generator[Editor]:
    """A fresh page, for a person who has been here before."""
    settings = {
        "Comfy.TutorialCompleted": True,
        "Comfy.VueNodes.Enabled": vue,
        "Comfy.Minimap.Visible": False,
        "Comfy.Graph.CanvasInfo": False,
    }
    requests.post(f"{url}/settings", json=settings, timeout=10).raise_for_status()
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.add_init_script("localStorage.setItem('vueNodesBannerDismissed', 'true')")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    editor = Editor(page, url)
    page.on("pageerror", lambda error: _keep(editor, f"{error}\n{error.stack}"))
    page.on(
        "console",
        lambda said: _keep(editor, f"{said.text} ({said.location.get('url')})", said.type),
    )
    try:
        page.goto(url)
        page.wait_for_function(READY)  # with the default graph, which would replace a test's
        page.wait_for_timeout(500)  # and what comes after that
        yield editor
    finally:
        context.close()


def _keep(editor: Editor, text: str, kind: str = "error") -> None:
    if kind in ("error", "warning") and PACK_FILES in text and ".md" not in text:
        editor.complaints.append(text)
