"""What the set-up scripts do before there is anything but Python."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ready import pins
from ready.comfyui import find_comfyui, pinned_folder
from ready.commands import run_tool
from ready.packages import Step, steps_for
from ready.repair import drop_broken
from ready.trouble import Trouble, explain, explain_os_error
from ready.venv import STAMPS, ensure_venv, venv_python

ROOT = Path(__file__).resolve().parents[2]


def installed(packages: Path, name: str, content: str = "x = 1\n") -> Path:
    """A package as pip leaves it; returns its `.dist-info`."""
    package = packages / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(content)
    entry = packages / f"{name}-1.0.dist-info"
    entry.mkdir()
    (entry / "METADATA").write_text("Metadata-Version: 2.1\n")
    lines = [
        f"{name}/__init__.py,sha256=whatever,{len(content)}",
        f"{name}/__pycache__/__init__.cpython-311.pyc,,",
        f"{entry.name}/METADATA,sha256=whatever,22",
        f"{entry.name}/RECORD,,",
    ]
    (entry / "RECORD").write_text("\n".join(lines))
    return entry


def test_whole_packages_stay(tmp_path: Path) -> None:
    entry = installed(tmp_path, "whole")
    assert drop_broken(tmp_path) == []
    assert entry.is_dir()


@pytest.mark.parametrize("harm", ["file gone", "file cut short", "no RECORD", "no METADATA"])
def test_half_installed_packages_are_dropped(tmp_path: Path, harm: str) -> None:
    installed(tmp_path, "whole")
    entry = installed(tmp_path, "half")
    module = tmp_path / "half" / "__init__.py"
    match harm:
        case "file gone":
            module.unlink()
        case "file cut short":
            module.write_text("x")
        case "no RECORD":
            (entry / "RECORD").unlink()
        case _:
            (entry / "METADATA").unlink()
    assert drop_broken(tmp_path) == ["half-1.0"]
    assert not entry.exists(), "so pip installs it anew"


def test_rests_of_a_replaced_package_go(tmp_path: Path) -> None:
    (tmp_path / "~umpy").mkdir()
    (tmp_path / "~umpy" / "file").write_text("")
    assert drop_broken(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("retries", ["0", "1"])
def test_real_pip_without_network_is_explained(tmp_path: Path, retries: str) -> None:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": retries}
    index = "http://127.0.0.1:9/simple"
    pip = [sys.executable, "-m", "pip", "download", "--index-url", index, "--dest", str(tmp_path)]
    run = subprocess.run([*pip, "requests"], env=env, capture_output=True, text=True)
    assert run.returncode != 0
    trouble = explain("Getting it", (run.stdout + run.stderr).splitlines(), "setup.log")
    assert "network" in trouble.what and "run the same command again" in trouble.do
    assert str(trouble).count("\n") == 1, "two lines"


def test_full_disk_is_explained(tmp_path: Path) -> None:
    log = tmp_path / "log"
    message = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left"
    command = [sys.executable, "-c", f"import sys; print({message!r}); sys.exit(1)"]
    with pytest.raises(Trouble, match="disk is full"):
        run_tool("Installing", command, log=log)
    assert message in log.read_text()
    assert "disk is full" in explain_os_error(OSError(errno.ENOSPC, "no space")).what


def test_other_failures_show_the_error_line() -> None:
    trouble = explain("Installing", ["Collecting x", "ERROR: No matching distribution", ""], "log")
    assert "No matching distribution" in trouble.what
    assert "log" in trouble.do


def test_broken_environment_of_ours_is_made_anew(tmp_path: Path) -> None:
    venv = tmp_path / ".venv"
    (venv / STAMPS).mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("version = 3.11.2\n")
    assert ensure_venv(venv, tmp_path / "log") == venv_python(venv)
    assert venv_python(venv).exists() and (venv / STAMPS).is_dir()


def test_broken_environment_of_somebody_else_stays(tmp_path: Path) -> None:
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / "theirs").write_text("x")
    with pytest.raises(Trouble, match="not made by this script") as told:
        ensure_venv(venv, tmp_path / "log")
    assert (venv / "theirs").read_text() == "x"
    assert str(told.value).count("\n") == 1, "two lines"


def comfyui_at(
    folder: Path, requirements: str = "torch\ntorchsde\ntorchvision\neinops # x\n"
) -> Path:
    (folder / "comfy").mkdir(parents=True)
    (folder / "main.py").write_text("")
    (folder / "requirements.txt").write_text(requirements)
    return folder


def test_named_comfyui_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, other = comfyui_at(tmp_path / "a"), comfyui_at(tmp_path / "b")
    monkeypatch.setenv("COMFYUI_DIR", str(other))
    assert find_comfyui(tmp_path / "pack", str(named)) == named
    assert find_comfyui(tmp_path / "pack", None) == other
    with pytest.raises(Trouble, match=r"holds no ComfyUI"):
        find_comfyui(tmp_path / "pack", str(tmp_path))


def test_enclosing_comfyui_comes_before_the_pinned_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMFYUI_DIR", raising=False)
    around = comfyui_at(tmp_path / "ComfyUI")
    pack = around / "custom_nodes" / "any-name"
    comfyui_at(pinned_folder(pack))
    assert find_comfyui(pack, None) == around
    alone = tmp_path / "alone"
    assert find_comfyui(alone, None) is None
    comfyui_at(pinned_folder(alone))
    assert find_comfyui(alone, None) == pinned_folder(alone)


def test_steps_never_let_comfyui_choose_torch(tmp_path: Path) -> None:
    steps = {step.name: step for step in steps_for(ROOT, comfyui_at(tmp_path / "c"), True)}
    assert steps["torch"].arguments == pins.TORCH
    asked = steps["comfyui"].arguments
    assert "einops" in asked and "torchsde" in asked
    assert not {"torch", "torchvision", "torchaudio"} & set(asked)
    assert any(line.startswith("pytest") for line in steps["dev"].arguments)
    assert not any("[" in line for line in steps["dev"].arguments), "own extras are resolved"
    assert "dev" not in {step.name for step in steps_for(ROOT, tmp_path / "c", False)}


def test_a_step_is_due_again_when_what_it_asks_changes() -> None:
    step = Step("a", "A", ("one",))
    assert step.key == Step("b", "B", ("one",)).key
    assert step.key != Step("a", "A", ("two",)).key
    assert step.key != Step("a", "A", ("one",), "contents").key


@pytest.mark.parametrize("script", ["demo.py", "test.py", "tandem.py"])
def test_help_needs_nothing_installed(script: str, tmp_path: Path) -> None:
    command = [sys.executable, "-S", str(ROOT / "scripts" / script), "--help"]  # -S: no packages
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "usage" in run.stdout
