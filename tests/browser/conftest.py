"""The editor of the test server, in a headless browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_tandem.headless.session import Session
from playwright.sync_api import Browser, expect, sync_playwright

from .editor import Editor, open_editor

expect.set_options(timeout=60_000)  # a busy machine draws late
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(browser_path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser_path, args=list(OPTIONS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def newcomer(comfy: Session, comfyui_dir: Path) -> Session:
    """The test server, with the photo that ComfyUI itself ships and no worker."""
    shutil.copy(comfyui_dir / "input" / "example.png", comfy.base / "input")
    return comfy


@pytest.fixture
def editor(browser: Browser, newcomer: Session) -> Iterator[Editor]:
    with open_editor(browser, newcomer.url) as opened:
        yield opened
        assert not opened.complaints
