"""The checks of `.ci/` that read other tools' output."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

CI = Path(__file__).resolve().parents[2] / ".ci"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, CI / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = "Warnings check: 0 finding(s).\nHazards check: clean\n"
FOUND = """[warnings] sys-path -- no sys.path edits
  1 sys.path modification(s):
    {place}:20

Warnings check: 1 finding(s). None of these fail the build.
Hazards check: 0 finding(s).
"""


def test_comfy_test_findings() -> None:
    unexpected = load("comfy_test").unexpected
    assert unexpected(CLEAN) == []
    assert unexpected(FOUND.format(place="tests/inside/conftest.py")) == []
    assert unexpected(FOUND.format(place="engine/errors.py")) == ["sys-path: engine/errors.py:20"]
    assert unexpected("something else entirely") != []


def test_more_weight_files_than_comfy_test_lists(tmp_path: Path) -> None:
    module = load("comfy_test")
    names = [f"demo_models/{n}.safetensors" for n in range(5)]
    listed = "\n".join(f"         4.7 MB  {name}" for name in names)
    text = (
        f"[warnings] weights -- weights outside the pack\n  8 weight file(s) inside the pack\n"
        f"{listed}\n\nWarnings check: 1 finding(s).\nHazards check: 0 finding(s).\n"
    )
    assert module.unexpected(text) == []
    assert module.unexpected(text.replace(f"\n{listed.splitlines()[4]}", "")) != []
    for name in (names[0], "nodes/stray.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert module._stray_weights(tmp_path) == ["weights: nodes/stray.safetensors"]


@pytest.mark.parametrize(
    ("skipped", "code"),
    [("", 0), ('<skipped type="pytest.skip" message="no browser"/>', 1)],
)
def test_skips_fail(tmp_path: Path, skipped: str, code: int) -> None:
    cases = "".join(
        f'<testcase classname="tests.{room}.x" name="{n}">{skipped if n else ""}</testcase>'
        for room in ("server", "browser", "inside")
        for n in range(2)
    )
    file = tmp_path / "tests.xml"
    file.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert load("no_skips").main(str(file)) == code
    file.write_text("<testsuites/>")
    assert load("no_skips").main(str(file)) == 1, "none ran at all"
