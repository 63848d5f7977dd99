"""The stages of `tandem train` in order, without importing what they need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import Unavailable

if TYPE_CHECKING:
    from .run import Setting


@dataclass(frozen=True, slots=True)
class Stage:
    """What it does, where it lies, and its CPU minutes by default, on one core.

    extra: not needed to make the family; `all` leaves it out.
    """

    about: str
    module: str
    function: str = "train"
    minutes: float = 0.0
    argument: str | None = None
    extra: bool = False

    def run(self, setting: Setting) -> None:
        function: Any = getattr(import_module(f".{self.module}", __package__), self.function)
        if self.argument is not None:
            function = partial(function, kind=self.argument)
        function(setting)


def _lcm(name: str, about: str, minutes: float = 40, extra: bool = True) -> dict[str, Stage]:
    return {name: Stage(about, "train_lcm", minutes=minutes, argument=name, extra=extra)}


KINDS = ("edge", "depth", "seg", "pose")
STAGES = {
    "adopt": Stage("start from the shipped files, not afresh", "adopt", extra=True),
    "scenes": Stage("render the training scenes", "train_latents", "render_scenes"),
    "autoencoder": Stage("pictures to latents and back", "train_autoencoder", minutes=6.5),
    "text": Stage("the text encoder, alone", "train_text", minutes=3),
    "latents": Stage("encode the training scenes", "train_latents"),
    "judge": Stage("the reader that scores pictures", "train_judge", minutes=5),
    "stem": Stage("the UNet, smallest layout", "train_unet", "train_stem", 8),
    "base": Stage("grown to BK-SDM Base's layout", "train_unet", "train_base", 16),
    "full": Stage("grown to SD1.5's layout", "train_unet", "train_full", 36),
    **{
        f"control-{kind}": Stage(
            f"the {kind} ControlNet", "train_control", minutes=10, argument=kind
        )
        for kind in KINDS
    },
    "distill-base": Stage("Base student of full", "train_student", minutes=15, argument="base"),
    "distill-tiny": Stage(
        "Tiny student of full", "train_student", minutes=15, argument="tiny", extra=True
    ),
    **_lcm("lcm", "few steps with distill-base's student, taught by full", extra=False),
    **_lcm("lcm-tiny", "the same with distill-tiny's"),
    **_lcm("lcm-direct", "to compare: full pruned to Base, no distill-base before", minutes=55),
    **_lcm("lcm-self", "to compare: taught by the student itself"),
    **{
        f"compact-control-{kind}": Stage(
            f"the {kind} ControlNet for Base",
            "train_compact_control",
            minutes=8,
            argument=kind,
        )
        for kind in KINDS
    },
    "tiny-decoder": Stage("a decoder of TAESD's layout", "train_tiny_decoder", minutes=12),
    "samples": Stage("draw the scenes that the pack ships", "samples"),
    "export": Stage("write the fp16 files of the family", "export"),
}


def run_stage(
    name: str, folder: Path, *, minutes: float | None, device: str, threads: int, smoke: bool
) -> None:
    """Run one stage in `folder`; `minutes` None: as many as the stage takes by default.

    Raises:
        Unavailable: PyTorch, diffusers or transformers is not installed.
    """
    try:
        import torch

        from .run import Setting

        torch.set_num_threads(threads)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        folder.mkdir(parents=True, exist_ok=True)
        budget = minutes or STAGES[name].minutes
        with torch.enable_grad():  # ComfyUI switches it off for its whole process
            STAGES[name].run(Setting(folder, budget, torch.device(device), smoke))
    except ModuleNotFoundError as error:
        do = 'pip install ".[train]" in the pack\'s folder, with the Python that runs ComfyUI'
        raise Unavailable("package", error.name, do) from error
