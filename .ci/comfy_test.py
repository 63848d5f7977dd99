"""comfy-test's static checks on what git tracks, in an environment of their own.

Its levels `warnings` and `hazards` always exit 0, so their text is read: a finding that is not in
ALLOWED fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIN = "comfy-test==0.4.15"
ALLOWED = {  # (check, files): why it is right as it is
    ("sys-path", "tests/inside/conftest.py"): "ComfyUI's modules inside the test process",
    ("sys-path", "training/comfyui.py"): "and inside a benchmark or command of ours",
    ("hardcoded-precision", "tests/inside/test_model_file.py"): "made files of half precision",
    ("hardcoded-precision", "tests/inside/test_export_unet.py"): "a model that export refuses",
    ("hardcoded-precision", "training/pairs.py"): "what is kept on disk for training",
    ("hardcoded-precision", "training/pretrained.py"): "the file that training ends with",
    ("weights", "demo_models/*"): "the demo family: the first run must need no download",
    ("weights", "training/judge.safetensors"): "what the demo family is scored by",
}
HEAD = re.compile(r"\[(?:warnings|hazards)\] (\S+) -- ")
COUNT = re.compile(r"^  (\d+) ")
PLACE = re.compile(r"^    (\S+?):\d+|^ +[\d.]+ MB  (\S+)$")
LARGEST = 5  # of weight files, comfy-test counts all but lists no more
TOTAL = re.compile(r"(?:Warnings|Hazards) check: (?:(\d+) finding|clean)")


def main() -> int:
    tool = _tool()
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "comfyui-tandem"
        _copy_tracked(pack)
        lint = subprocess.run([tool, "lint", "--strict", pack])  # noqa: S603
        if lint.returncode != 0:
            return lint.returncode
        text = _levels(tool, pack, Path(folder))
        bad = unexpected(text) + _stray_weights(pack)
    for line in bad:
        print(f"not allowed: {line}")
    print(f"comfy-test: {len(bad)} findings that are not on the list of allowed ones")
    return 1 if bad else 0


def unexpected(text: str) -> list[str]:
    """Findings in the output that nobody has allowed; also an output that is not understood."""
    bad: list[str] = []
    check, listed, counted = "", 0, 0
    findings = 0
    for line in text.splitlines():
        if head := HEAD.match(line):
            check, findings = head[1], findings + 1
        elif check and (count := COUNT.match(line)):
            found = int(count[1])
            counted += min(found, LARGEST) if check == "weights" else found
        elif check and (place := PLACE.match(line)):
            listed += 1
            if not _allowed(check, place[1] or place[2]):
                bad.append(f"{check}: {line.strip()}")
    totals = [int(total[1] or 0) for total in TOTAL.finditer(text)]
    if len(totals) != 2 or sum(totals) != findings or listed != counted:
        bad.append(f"output not understood: {totals} totals, {findings} heads, {listed}/{counted}")
    return bad


def _stray_weights(pack: Path) -> list[str]:
    """Every weight file that nobody has allowed: the tool lists but the largest."""
    files = sorted(file.relative_to(pack).as_posix() for file in pack.rglob("*.safetensors"))
    return [f"weights: {file}" for file in files if not _allowed("weights", file)]


def _allowed(check: str, file: str) -> bool:
    return any(check == known and fnmatch(file, files) for known, files in ALLOWED)


def _tool() -> str:
    """The command, installed beside our own environment: it pins other versions."""
    venv = ROOT / ".comfyui" / "comfy_test"
    tool = venv / "bin" / "comfy-test"
    stamp = venv / "installed"
    if not stamp.is_file() or stamp.read_text() != PIN:
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)  # noqa: S603
        pip = [venv / "bin" / "python", "-m", "pip", "install", "-qq", PIN]
        subprocess.run(pip, check=True)  # noqa: S603
        stamp.write_text(PIN)
    return str(tool)


def _copy_tracked(pack: Path) -> None:
    git = ["git", "ls-files", "-z"]
    names = subprocess.run(  # noqa: S603
        git, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():  # one that was just deleted is still listed
            target = pack / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)


def _levels(tool: str, pack: Path, folder: Path) -> str:
    env = {
        **os.environ,
        "COMFY_TEST_LOGS_DIR": str(folder / "logs"),
        "COMFY_TEST_WORKSPACE_DIR": str(folder / "work"),
    }
    command = [tool, "run", "--force", "--level", "hazards", str(pack)]
    run = subprocess.run(  # noqa: S603
        command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    print(run.stdout)
    run.check_returncode()
    return run.stdout


if __name__ == "__main__":
    sys.exit(main())
