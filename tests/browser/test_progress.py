"""What Run Conditions shows while its conditions run: a row each, on the right node, not longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from comfyui_tandem.headless.session import Session
from playwright.sync_api import Browser, expect

from .editor import READY, SETTLED, Editor, open_editor
from .examples import SEEN, workflow

pytestmark = [pytest.mark.browser, pytest.mark.comfy]

WATCH = """() => {
  globalThis.tandemSeen = [];
  new MutationObserver(() => {
    for (const row of document.querySelectorAll(".tandem-row"))
      globalThis.tandemSeen.push([row.dataset.state, row.textContent]);
  }).observe(document.body, { childList: true, subtree: true });
}"""
TELL = "([kind, detail]) => app.api.dispatchCustomEvent(kind, detail)"
PUT_INTO_SUBGRAPH = """(type) => {
  const node = app.graph._nodes.find((one) => one.type === type);
  const { subgraph, node: outer } = app.graph.convertToSubgraph(new Set([node]));
  const [inner] = subgraph._nodes;
  const twin = LiteGraph.createNode(type);  // outside, with the id of the one inside
  twin.id = Number(inner.id);
  const old = app.graph.getNodeById(twin.id);
  if (old) app.graph.remove(old);
  app.graph.add(twin);
  twin.id === Number(inner.id) || console.error(`no equal ids: ${twin.id}, ${inner.id}`);
  globalThis.tandemTest = { subgraph, outer };
  return [`${outer.id}:${inner.id}`, String(twin.id)];
}"""
OPEN = "() => app.canvas.openSubgraph(tandemTest.subgraph, tandemTest.outer)"
# Notes grow by themselves.
LENGTHS = """() => app.graph._nodes.filter((n) => n.type !== "MarkdownNote")
  .map((n) => [n.type, n.widgets?.length ?? 0, ...n.size])"""
NODE = "10"  # Run Conditions in the example
ROWS = [
    {"cond": "0:canny", "worker": None, "state": "done", "seconds": 0.1},
    {"cond": "1:depth_zoe", "worker": "garage", "state": "downloading", "seconds": 11.25},
    {"cond": "2:dwpose", "worker": "garage", "state": "running", "seconds": 1.2},
    {"cond": "3:a<img src=x onerror=alert(1)>", "worker": "<b>", "state": "queued", "seconds": 0.0},
]


def news(node: str = NODE, rows: list[dict[str, Any]] = ROWS, **more: Any) -> dict[str, Any]:
    done = sum(row["state"] == "done" for row in rows)
    form = {"v": 1, "node": node, "prompt_id": "p", "seconds": 1.5, "done": done}
    return {**form, "total": len(rows), "rows": rows, **more}


@pytest.fixture(params=[False, True], ids=["litegraph", "vue"])
def renderer(
    request: pytest.FixtureRequest, browser: Browser, newcomer: Session
) -> Iterator[Editor]:
    """The editor with either way of drawing nodes, the example loaded."""
    with open_editor(browser, newcomer.url, vue=request.param) as editor:
        editor.load(workflow("multi_condition"))
        yield editor
        assert not editor.complaints


def tell(editor: Editor, kind: str, detail: object) -> None:
    editor.page.evaluate(TELL, [kind, detail])
    editor.page.evaluate(SETTLED)


def test_a_run_shows_each_condition_and_clears(renderer: Editor, idle_comfy: Session) -> None:
    renderer.page.evaluate(WATCH)
    renderer.set("Condition: canny", "detector", "scribble")
    renderer.set("Condition: canny", "resolution", 3072)
    assert renderer.run()["kind"] == "execution_success"
    seen = renderer.page.evaluate("() => tandemSeen")
    assert any(state == "running" and "0:scribblehere" in text for state, text in seen)
    expect(renderer.page.locator(".tandem-row")).to_have_count(0)
    expect(renderer.page.locator(".tandem-standing")).to_be_hidden()


def test_rows_are_readable_text(renderer: Editor, request: pytest.FixtureRequest) -> None:
    tell(renderer, "tandem.progress", news())
    rows = renderer.page.locator(".tandem-row")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_have_text("\u21931:depth_zoegaragedownloading 11.3 s")
    expect(rows.nth(3)).to_have_text("\u25cb3:a<img src=x onerror=alert(1)><b>queued")
    expect(renderer.page.get_by_label("1 of 4 hints are ready")).to_be_visible()
    box = renderer.page.locator(".tandem-standing").bounding_box()
    assert box is not None and box["height"] > 30, "with the example's zoom"
    renderer.picture_of_graph(SEEN / f"progress_{request.node.callspec.id}.png", scale=1)
    tell(renderer, "tandem.progress", news(rows=ROWS * 5))
    expect(rows).to_have_count(9)
    expect(rows.nth(8)).to_have_text("12 more")


@pytest.mark.parametrize("end", ["execution_success", "execution_interrupted", "reconnected"])
def test_the_end_of_its_run_clears(renderer: Editor, end: str) -> None:
    before = renderer.page.evaluate(LENGTHS)
    tell(renderer, "tandem.progress", news())
    rows = renderer.page.locator(".tandem-row")
    expect(rows).to_have_count(4)
    other = {"prompt_id": "another", "node_id": "1", "executed": []}
    if end != "reconnected":
        tell(renderer, end, other)
        expect(rows).to_have_count(4)
    tell(renderer, end, {**other, "prompt_id": "p"})
    expect(rows).to_have_count(0)
    assert renderer.page.evaluate(LENGTHS) == before, "no node has changed"


def test_cancel_clears(editor: Editor, idle_comfy: Session) -> None:
    editor.load(workflow("multi_condition"))
    for title in ("canny", "depth", "pose"):
        editor.set(f"Condition: {title}", "detector", "scribble")
        editor.set(f"Condition: {title}", "resolution", 4096)
    rows = editor.page.locator(".tandem-row")
    editor.page.evaluate(
        """() => app.api.addEventListener("tandem.progress", () => app.api.interrupt(),
        { once: true })"""
    )
    assert editor.run()["kind"] == "execution_interrupted"
    expect(rows).to_have_count(0)


def test_an_error_clears(editor: Editor) -> None:
    editor.load(workflow("multi_condition"))
    tell(editor, "tandem.progress", news())
    said = {"exception_message": "m", "exception_type": "E", "traceback": [], "node_type": "T"}
    tell(editor, "execution_error", {"prompt_id": "p", "node_id": NODE, "executed": [], **said})
    expect(editor.page.locator(".tandem-row")).to_have_count(0)


def test_inside_a_subgraph_the_right_node_shows_it(renderer: Editor) -> None:
    inside, outside = renderer.page.evaluate(PUT_INTO_SUBGRAPH, "TandemRunConditions")
    shown = renderer.page.locator(".tandem-row:visible")
    tell(renderer, "tandem.progress", news(inside))
    expect(shown).to_have_count(0)
    renderer.page.evaluate(OPEN)
    renderer.page.evaluate(SETTLED)
    tell(renderer, "tandem.progress", news(inside))
    expect(shown).to_have_count(4)
    tell(renderer, "execution_success", {"prompt_id": "p"})
    expect(shown).to_have_count(0)
    tell(renderer, "tandem.progress", news(outside))
    expect(shown).to_have_count(0)


def test_after_a_reload_and_an_undo_it_is_drawn_again(renderer: Editor) -> None:
    rows = renderer.page.locator(".tandem-row:visible")
    tell(renderer, "tandem.progress", news())
    expect(rows).to_have_count(4)
    renderer.page.reload()
    renderer.page.wait_for_function(READY, timeout=60_000)
    renderer.page.wait_for_timeout(500)
    renderer.load(workflow("multi_condition"))
    expect(rows).to_have_count(0)
    tell(renderer, "tandem.progress", news())
    expect(rows).to_have_count(4)
    renderer.load(workflow("multi_condition"))  # all nodes are new ones, as after undo
    tell(renderer, "tandem.progress", news(rows=ROWS[:3]))
    expect(rows).to_have_count(3)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        news(v=2),
        news("7"),  # a node of another kind
        news("99:1"),
        {**news(), "rows": [None]},
        {**news(), "rows": "many"},
        {**news(), "node": 10},
    ],
    ids=["nothing", "newer", "other node", "gone", "no row", "no rows", "no path"],
)
def test_what_is_not_for_it_changes_nothing(editor: Editor, odd: object) -> None:
    editor.load(workflow("multi_condition"))
    before = editor.page.evaluate(LENGTHS)
    tell(editor, "tandem.progress", odd)
    expect(editor.page.locator(".tandem-row")).to_have_count(0)
    assert editor.page.evaluate(LENGTHS) == before


def test_the_workflow_and_what_is_queued_do_not_know_of_it(editor: Editor) -> None:
    editor.load(workflow("multi_condition"))
    tell(editor, "tandem.progress", news())
    [saved] = editor.page.evaluate(
        "() => app.graph.serialize().nodes.filter((n) => n.type === 'TandemRunConditions')"
    )
    assert not saved.get("widgets_values")
    assert set(editor.graph_to_prompt()[NODE]["inputs"]) == {"plan"}
