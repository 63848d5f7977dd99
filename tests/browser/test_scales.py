"""What became of each condition is on the nodes that measured it, and again after a reload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
from comfyui_tandem.headless.session import Session
from playwright.sync_api import Browser, Locator, expect

from .editor import READY, SETTLED, Editor, open_editor
from .examples import SEEN, workflow

pytestmark = [pytest.mark.browser, pytest.mark.comfy]

REPORT, ESTIMATE = "22", "23"  # in the example
TELL = """([node, form]) => app.api.dispatchCustomEvent("executed", {
  node, display_node: node, prompt_id: "p", output: { tandem_scales: [form] },
})"""
ITS_OWN = """(id) => app.graph.getNodeById(Number(id)).widgets
  .find((one) => one.name === "tandem_scales").element"""
SEEDED = """(seed) => {
  for (const node of app.graph._nodes)
    for (const widget of node.widgets ?? []) if (widget.name === "seed") widget.value = seed;
}"""
SEEDED_SAMPLER = """(seed) => {
  const [node] = app.graph._nodes.filter((one) => one.comfyClass === "KSampler");
  node.widgets.find((widget) => widget.name === "seed").value = seed;
}"""
PUT_INTO_SUBGRAPH = """(id) => {
  const node = app.graph.getNodeById(Number(id));
  const { subgraph, node: outer } = app.graph.convertToSubgraph(new Set([node]));
  app.canvas.openSubgraph(subgraph, outer);
  return `${outer.id}:${subgraph._nodes[0].id}`;
}"""
ROW = {
    "cond": "0:canny", "strength": 0.9, "scale": 1.6, "carried": 0.7, "coarse": None,
    "contribution": 1.25, "cover": 0.0, "agreement": None, "pruned": False, "reason": None,
    "calls": 20, "reused": 8, "ended": False,
}  # fmt: skip
PRUNED = ROW | {
    "cond": "2:a<img src=x onerror=alert(1)>", "strength": 0.7, "scale": 0.0, "carried": 0.0,
    "pruned": True, "reason": "covered 0.87 by <b>0:canny</b>", "calls": 1, "reused": 0,
}  # fmt: skip


@pytest.fixture(params=[False, True], ids=["litegraph", "vue"])
def renderer(
    request: pytest.FixtureRequest, browser: Browser, newcomer: Session
) -> Iterator[Editor]:
    """The editor with either way of drawing nodes, the example loaded."""
    with open_editor(browser, newcomer.url, vue=request.param) as editor:
        editor.load(fresh())
        yield editor
        assert not editor.complaints


def fresh() -> dict[str, Any]:
    """The example as another workflow, of which the history knows no run."""
    return workflow("measured_scales") | {"id": str(uuid4())}


def form(rows: Sequence[object] = (ROW, PRUNED), **more: object) -> dict[str, object]:
    return {"v": 1, "rows": list(rows), "note": None, **more}


def tell(editor: Editor, form: object, node: str = REPORT) -> None:
    editor.page.evaluate(TELL, [node, form])
    editor.page.evaluate(SETTLED)


def strip_of(editor: Editor, node: str) -> Locator:
    """The strip on the screen that is that node's own."""
    handle = editor.page.evaluate_handle(ITS_OWN, node)
    handle.evaluate("(element, id) => element.setAttribute('data-of', id)", node)
    return editor.page.locator(f".tandem-scales[data-of='{node}']")


def check_shown(strip: Locator, rows: Sequence[Mapping[str, Any]]) -> None:
    shown = strip.locator(".tandem-scale")
    expect(shown).to_have_count(len(rows))
    for at, row in enumerate(rows):
        expect(shown.nth(at)).to_contain_text(row["cond"])
        if row["reason"]:
            expect(shown.nth(at)).to_contain_text(row["reason"])
        if row["calls"] is not None:
            expect(shown.nth(at)).to_contain_text(f"{row['calls']} call")
        expect(shown.nth(at)).to_have_attribute("data-pruned", str(row["pruned"]).lower())


def test_a_run_shows_what_became_of_each_condition_and_so_does_a_reload(
    renderer: Editor, newcomer: Session, request: pytest.FixtureRequest
) -> None:
    renderer.load(workflow("measured_scales"))
    seed = 7 + ["litegraph", "vue"].index(request.node.callspec.id)  # what is cached tells nothing
    renderer.page.evaluate(SEEDED, seed)
    ended = renderer.run()
    assert ended["kind"] == "execution_success", ended
    entry = newcomer.api.history(ended["prompt_id"])
    assert entry is not None
    found = {
        node: entry["outputs"][node]["tandem_scales"][0]["rows"] for node in (REPORT, ESTIMATE)
    }
    assert [row["pruned"] for row in found[REPORT]].count(True) == 1
    for node, rows in found.items():
        check_shown(strip_of(renderer, node), rows)
    renderer.page.evaluate(SEEDED_SAMPLER, seed + 100)
    again = renderer.run()
    assert again["kind"] == "execution_success", again
    entry = newcomer.api.history(again["prompt_id"])
    assert entry is not None and ESTIMATE not in entry["outputs"], "it is cached"
    found[REPORT] = entry["outputs"][REPORT]["tandem_scales"][0]["rows"]
    renderer.picture_of_graph(SEEN / f"scales_{request.node.callspec.id}.png", scale=1)
    renderer.page.reload()
    renderer.page.wait_for_function(READY)
    renderer.page.wait_for_timeout(500)
    renderer.load(workflow("measured_scales"))
    for node, rows in found.items():
        check_shown(strip_of(renderer, node), rows)
        expect(strip_of(renderer, node)).to_contain_text("from the last run")


def test_rows_are_readable_text(renderer: Editor, request: pytest.FixtureRequest) -> None:
    tell(renderer, form())
    strip = strip_of(renderer, REPORT)
    rows = strip.locator(".tandem-scale")
    again = "0.70 for what it covers, 8 reused"
    expect(rows.nth(0)).to_have_text(f"0:canny1.60 of 0.9020 calls{again}")
    expect(rows.nth(1)).to_have_text(f"{PRUNED['cond']}left out1 call{PRUNED['reason']}")
    expect(renderer.page.get_by_label("1 of 2 conditions act.")).to_be_visible()
    boxes = [rows.nth(0).locator(f".tandem-bar-{part}").bounding_box() for part in PARTS]
    strength, own, carried = [box["width"] for box in boxes if box]
    assert (strength / own, carried / own) == pytest.approx((1.0, 7 / 9), abs=0.1)
    box = strip.bounding_box()
    assert box is not None and box["height"] > 40, "with the example's zoom"
    renderer.picture_of_graph(SEEN / f"scales_text_{request.node.callspec.id}.png", scale=1)
    tell(renderer, form([PRUNED] * 12))
    expect(rows).to_have_count(8)
    expect(strip.get_by_text("4 more")).to_be_visible()
    tell(renderer, form([], note="Nothing is known of this latent: <i>connect</i> another."))
    expect(rows).to_have_count(0)
    expect(strip).to_have_text("Nothing is known of this latent: <i>connect</i> another.")


PARTS = ("strength", "own", "carried")


def test_new_nodes_draw_it_again(renderer: Editor) -> None:
    renderer.load(fresh())  # all nodes are new ones, as after undo
    tell(renderer, form([ROW] * 3))
    expect(strip_of(renderer, REPORT).locator(".tandem-scale")).to_have_count(3)


def test_inside_a_subgraph_its_node_shows_it(renderer: Editor) -> None:
    path = renderer.page.evaluate(PUT_INTO_SUBGRAPH, REPORT)
    renderer.page.evaluate(SETTLED)
    tell(renderer, form(), path)
    expect(renderer.page.locator(".tandem-scale:visible")).to_have_count(2)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {},
        form([None]),
        form([ROW | {"scale": None}]),
        form([ROW | {"strength": "1"}]),
        form([]),
        {"v": 1, "rows": "many"},
    ],
    ids=["nothing", "empty", "no row", "no number", "text", "no rows", "rows"],
)
def test_what_is_no_payload_draws_nothing(editor: Editor, odd: object) -> None:
    editor.load(fresh())
    tell(editor, odd)
    expect(editor.page.locator(".tandem-scale, .tandem-note")).to_have_count(0)
    tell(editor, {"v": 2})
    expect(editor.page.locator(".tandem-note")).to_contain_text("newer Tandem")


def test_the_workflow_and_what_is_queued_do_not_know_of_it(editor: Editor) -> None:
    editor.load(fresh())
    tell(editor, form())
    saved = editor.page.evaluate("() => app.graph.serialize().nodes")
    [values] = [node.get("widgets_values") for node in saved if node["id"] == int(REPORT)]
    assert not values
    assert set(editor.graph_to_prompt()[REPORT]["inputs"]) == {"latent", "positive"}
