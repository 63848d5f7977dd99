"""The help page of every node: there, complete, and shown by the editor's info button."""

from __future__ import annotations

import pytest
import requests
from comfyui_tandem.headless.session import Session
from playwright.sync_api import expect

from .editor import PACK_FILES, Editor
from .examples import EXAMPLES, SEEN, twin, workflow

pytestmark = [pytest.mark.browser, pytest.mark.comfy]


def test_pages_name_every_socket(newcomer: Session) -> None:
    for node, form in newcomer.api.object_info().items():
        if node.startswith("Tandem"):
            page = requests.get(f"{newcomer.url}{PACK_FILES}docs/{node}.md", timeout=10)
            assert page.status_code == 200, node
            assert page.text.startswith(f"# {form['display_name']}\n")
            inputs = {**form["input"].get("required", {}), **form["input"].get("optional", {})}
            named = (*inputs, *form["output_name"])
            missing = [name for name in named if name not in page.text]
            assert not missing, f"{node}.md does not name {missing}"


def test_info_button_opens_the_page(editor: Editor, newcomer: Session) -> None:
    classes = newcomer.api.object_info()
    left = {node for node in classes if node.startswith("Tandem")}
    SEEN.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        editor.load(workflow(name))
        here = left & {form["class_type"] for form in twin(name).values()}
        for node in sorted(here):
            editor.open_help(node)
            title = classes[node]["display_name"]
            expect(editor.page.locator("h1").get_by_text(title, exact=True)).to_be_visible()
            editor.page.screenshot(path=SEEN / f"help_{node}.png")
        left -= here
    assert not left
