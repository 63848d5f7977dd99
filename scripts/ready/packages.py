"""What is installed into `.venv`, in steps; a step that was done is not done again."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import pins
from .commands import run_tool
from .repair import drop_broken
from .terminal import Stage
from .venv import STAMPS, site_packages, venv_python

SPOKEN = ("Collecting ", "Downloading ", "Using cached ", "Installing ", "Building ", "Processing ")


@dataclass(frozen=True, slots=True)
class Step:
    """One run of pip."""

    name: str
    title: str
    arguments: tuple[str, ...]
    asks: str = ""  # contents of the files that the arguments name

    @property
    def key(self) -> str:
        """Changes when what is asked for changes."""
        return hashlib.sha256("\n".join((*self.arguments, self.asks)).encode()).hexdigest()


def steps_for(root: Path, comfyui: Path, for_tests: bool) -> tuple[Step, ...]:
    """Everything that this pack and this ComfyUI need, in order."""
    project = root / "pyproject.toml"
    asks = project.read_text(encoding="utf-8")
    form = tomllib.loads(asks)["project"]
    own = _requirements(root / "requirements.txt")
    steps = (
        Step("torch", "Installing PyTorch", pins.TORCH),
        Step("torchvision", "Installing torchvision", pins.TORCHVISION),
        Step(
            "comfyui",
            "Installing what ComfyUI needs",
            (*_without_torch(_requirements(comfyui / "requirements.txt")), *pins.BESIDE_COMFYUI),
        ),
        Step(
            "pack",
            "Installing what Tandem needs",
            (*own, *form["dependencies"], *_of_extras(form, pins.DEMO_EXTRAS)),
        ),
        Step("tandem", "Installing Tandem itself", ("--no-deps", "-e", str(root)), asks),
    )
    dev = Step("dev", "Installing what the tests need", tuple(_of_extras(form, pins.TEST_EXTRAS)))
    return (*steps, dev) if for_tests else steps


def install(venv: Path, steps: Iterable[Step], log: Path) -> None:
    """Runs the steps that are not done yet.

    Raises:
        Trouble: pip failed.
    """
    stamps = venv / STAMPS
    stamps.mkdir(exist_ok=True)
    broken = drop_broken(site_packages(venv))
    if broken:
        print(f"Half installed, will be mended: {', '.join(broken)}", flush=True)
        for stamp in stamps.glob("*.done"):
            stamp.unlink()
    keep = stamps / "constraints.txt"
    keep.write_text("\n".join((*pins.TORCH, pins.TORCHVISION[-1])) + "\n", encoding="utf-8")
    pip = [venv_python(venv), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    for step in steps:
        stamp = stamps / f"{step.name}.done"
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == step.key:
            continue
        stamp.unlink(missing_ok=True)
        with Stage(step.title) as stage:

            def speak(line: str, stage: Stage = stage) -> None:
                if line.startswith(SPOKEN):
                    stage.show(line)

            options = ["--progress-bar", "off", "--constraint", keep]
            run_tool(step.title, [*pip, *options, *step.arguments], log=log, on_line=speak)
        stamp.write_text(step.key, encoding="utf-8")


def _requirements(file: Path) -> list[str]:
    lines = (line.split(" #")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _without_torch(lines: Iterable[str]) -> list[str]:
    """torch is pinned elsewhere; torchaudio's build would have to fit it, and is left out."""
    return [line for line in lines if not line.startswith(("torch", "torchvision", "torchaudio"))]


def _of_extras(form: dict[str, dict[str, list[str]]], extras: Sequence[str]) -> list[str]:
    """Requirements of extras; an extra may name others of the same project."""
    found: list[str] = []
    for extra in extras:
        for line in form["optional-dependencies"][extra]:
            if line.startswith(f"{form['name']}["):
                found += _of_extras(form, line.split("[")[1].rstrip("]").split(","))
            else:
                found.append(line)
    return list(dict.fromkeys(found))
