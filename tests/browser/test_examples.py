"""Every example loads from the template browser, is its API twin, and runs at first click."""

from __future__ import annotations

from typing import Any

import pytest
from comfyui_tandem.headless.session import Session
from playwright.sync_api import Browser

from .editor import Editor, open_editor
from .examples import EXAMPLES, FOLDER, SEEN, twin, workflow

pytestmark = [pytest.mark.browser, pytest.mark.comfy]

MOST_PICTURE_BYTES = 150_000


@pytest.mark.parametrize("name", EXAMPLES)
def test_has_a_picture(name: str) -> None:
    picture = FOLDER / f"{name}.jpg"
    assert picture.is_file(), "run the browser tests, then python -m tests.browser.pictures"
    assert picture.stat().st_size < MOST_PICTURE_BYTES


@pytest.mark.parametrize("name", EXAMPLES)
def test_says_where_to_start_and_has_groups(name: str) -> None:
    form = workflow(name)
    notes = [node for node in form["nodes"] if node["type"] == "MarkdownNote"]
    assert any(note["widgets_values"][0].startswith("# Start here") for note in notes)
    assert form["groups"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_loads_and_runs_from_the_template_browser(
    name: str, editor: Editor, newcomer: Session
) -> None:
    editor.open_template(name)
    assert editor.unknown_nodes() == []
    assert _queued(editor, newcomer) == _meant(twin(name))
    SEEN.mkdir(parents=True, exist_ok=True)
    editor.page.screenshot(path=SEEN / f"{name}_loaded.png")
    ended = editor.run()
    assert ended["kind"] == "execution_success", ended
    entry = newcomer.api.history(ended["prompt_id"])
    assert entry is not None
    shown = {node for node, output in entry["outputs"].items() if output.get("images")}
    assert {n for n, form in twin(name).items() if form["class_type"] == "SaveImage"} <= shown
    editor.page.screenshot(path=SEEN / f"{name}_ran.png")
    editor.picture_of_graph(SEEN / f"{name}.png")


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_the_same_graph_in_the_other_renderer(
    name: str, browser: Browser, newcomer: Session
) -> None:
    with open_editor(browser, newcomer.url, vue=True) as editor:
        editor.load(workflow(name))
        assert editor.unknown_nodes() == []
        assert _queued(editor, newcomer) == _meant(twin(name))
        editor.picture_of_graph(SEEN / f"{name}_vue.png")
        assert not editor.complaints


def _queued(editor: Editor, session: Session) -> dict[str, Any]:
    """What the editor would queue, without what only the editor knows, such as shown text."""
    classes = session.api.object_info()
    prompt = editor.graph_to_prompt()
    for form in prompt.values():
        known = classes[form["class_type"]]["input"]
        names = {*known.get("required", {}), *known.get("optional", {})}
        form["inputs"] = {key: value for key, value in form["inputs"].items() if key in names}
    return _meant(prompt)


def _meant(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph without titles."""
    return {node: (form["class_type"], form["inputs"]) for node, form in graph.items()}
