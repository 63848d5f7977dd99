"""What a compact UNet still has of SD1.5's encoder, and full lists of residuals cut down to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor

from ..errors import BadInput

FIT = "tandem_fit"  # key of the wrapper around apply_model
FULL_LEVELS, FULL_RESNETS = 4, 2  # SD1.5's encoder: levels, ResNets in each
FULL_LENGTH = FULL_LEVELS * (FULL_RESNETS + 1)  # conv_in, ResNets, a downsampler but in the last

Control = dict[str, list[Tensor | None]]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a compact UNet still has of SD1.5's encoder.

    positions: for each of its encoder outputs, SD1.5's output (0..11) that it was made from.
    middle: whether it is as deep as SD1.5, so that the middle's residual has its shape.
    """

    positions: tuple[int, ...]
    middle: bool

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.positions, self.positions[1:], strict=False))
        if self.positions[:1] != (0,) or not rising or self.positions[-1] >= FULL_LENGTH:
            raise BadInput("fit positions", self.positions, "give 0 and rising ones up to 11")

    @property
    def is_full(self) -> bool:
        return self.middle and len(self.positions) == FULL_LENGTH

    def fitted(self, control: Control) -> Control:
        """Copies of the lists, cut down; those of a net made for the compact UNet as they are."""
        fitted = {key: list(values) for key, values in control.items()}
        last = FULL_LENGTH - 1
        full = [key for key in ("output", "input") if len(fitted.get(key, ())) == FULL_LENGTH]
        if "output" in full:
            fitted["output"] = [fitted["output"][position] for position in self.positions]
        if "input" in full:  # T2I-Adapters list the deepest first
            values = fitted["input"]
            fitted["input"] = [values[last - position] for position in reversed(self.positions)]
        if full and not self.middle:
            fitted["middle"] = []
        return fitted

    def __call__(
        self,
        executor: Callable[..., Tensor],
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Control | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """The wrapper around ComfyUI's apply_model."""
        if control is not None:
            control = self.fitted(control)
        return executor(x, t, c_concat, c_crossattn, control, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class OwnFeature:
    """After the last encoder block of a UNet without a middle, feature and skip are one tensor,
    and core adds residuals in place: so the feature goes on as a copy."""

    last: int

    @classmethod
    def of(cls, unet: UNetModel) -> OwnFeature:
        return cls(len(unet.input_blocks) - 1)

    def __call__(self, feature: Tensor, options: dict[str, Any]) -> Tensor:
        return feature.clone() if options["block"] == ("input", self.last) else feature


def is_part(resnets: Sequence[int]) -> bool:
    """Whether so many ResNets a level are SD1.5's or fewer."""
    return 0 < len(resnets) <= FULL_LEVELS and all(0 < n <= FULL_RESNETS for n in resnets)


def positions_of(resnets: Sequence[int]) -> tuple[int, ...]:
    """SD1.5's positions of the encoder outputs of a UNet with so many ResNets a level.

    Students keep the ends of levels: of one ResNet the residual is that of SD1.5's second. Source:
    the weight copies of arXiv 2305.15798 (a student's up block 1 is its teacher's block 2).
    Raises:
        BadInput: more levels, or more ResNets in one, than SD1.5 has.
    """
    if not is_part(resnets):
        raise BadInput("ResNets a level", tuple(resnets), "up to four levels of one or two fit")
    found = [0]
    for level, count in enumerate(resnets):
        end = (level + 1) * (FULL_RESNETS + 1)  # the downsampler's position
        found += range(end - count, end)
        if level < len(resnets) - 1:
            found.append(end)
    return tuple(found)


def fit_of(unet: Any, positions: Sequence[int] | None = None) -> Fit:
    """Fit of core's UNet; `positions` when its file tells them.

    Raises:
        BadInput: no UNet of SD1.5's kind, or as many positions as it has no outputs.
    """
    if not isinstance(unet, UNetModel) or unet.num_classes is not None:
        raise BadInput("model", type(unet).__name__, "give one of SD1.5's kind; others need no fit")
    resnets: list[int] = list(unet.num_res_blocks)
    found = positions_of(resnets) if positions is None else tuple(positions)
    if len(found) != len(unet.input_blocks):
        raise BadInput("fit positions", found, f"give {len(unet.input_blocks)}, one an output")
    return Fit(found, middle=len(resnets) == FULL_LEVELS)
