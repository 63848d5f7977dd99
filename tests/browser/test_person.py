"""What a person sees who does more than press Run."""

from __future__ import annotations

import pytest
from comfyui_tandem.headless.session import Session
from comfyui_tandem.headless.worker import WorkerProcess
from playwright.sync_api import expect

from .editor import Editor
from .examples import EXAMPLES, SEEN, workflow

pytestmark = [pytest.mark.browser, pytest.mark.comfy]


def test_template_browser_shows_our_pictures(editor: Editor) -> None:
    editor.browse_templates()
    for name in EXAMPLES:
        expect(editor.page.get_by_test_id(f"template-workflow-{name}")).to_be_visible()
    SEEN.mkdir(parents=True, exist_ok=True)
    editor.page.screenshot(path=SEEN / "templates.png")


def test_error_reaches_the_person_and_the_queue_goes_on(editor: Editor) -> None:
    editor.load(workflow("multi_condition"))
    editor.set("Condition: canny", "resolution", 136)  # a hint that nobody made yet
    editor.set("Condition: canny", "where", "edge")  # and there is no worker
    ended = editor.run()
    assert ended["kind"] == "execution_error"
    assert ended["node_type"] == "TandemPlanOffload"
    dialog = editor.page.get_by_role("dialog")
    expect(dialog).to_contain_text("start or mend the worker")
    editor.page.wait_for_timeout(500)  # it fades in
    SEEN.mkdir(parents=True, exist_ok=True)
    editor.page.screenshot(path=SEEN / "error.png")
    editor.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    editor.set("Condition: canny", "where", "auto")
    assert editor.run()["kind"] == "execution_success"


def test_new_worker_is_offered_after_a_refresh_and_named_in_the_result(
    editor: Editor, newcomer: Session, worker: WorkerProcess
) -> None:
    editor.load(workflow("multi_condition"))
    editor.command("Comfy.RefreshNodeDefinitions")
    editor.page.wait_for_function(
        "() => LiteGraph.getNodeType('TandemEdgeWorker')"
        ".nodeData.input.required.worker[1].options.includes('garage')"
    )
    assert editor.choices("TandemEdgeWorker", "worker") == ["auto", "garage"]
    editor.set("Condition: canny", "resolution", 144)  # a hint that nobody made yet
    editor.set("Condition: canny", "where", "edge")
    ended = editor.run()
    assert ended["kind"] == "execution_success", ended
    expect(editor.page.get_by_text("0:canny: garage")).to_be_visible()
    editor.picture_of_graph(SEEN / "with_worker.png")
