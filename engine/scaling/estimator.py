"""The scales of one run: measured on the first steps that are really sampled, used from then on.

Where steps are short, what is decided on the first is only for that one: all nets are asked on the
second too, whose pushes tell better of all steps, and decided upon once more.

Nothing is computed twice. Every net is asked on its own (`engine.control.unroll`); their sum goes
to the UNet as always. Once the UNet's encoder has run, its own features are known, and residuals
are only read after it: so the scales are decided then, and the sum is rewritten in place.
What goes into the encoder, a T2I-Adapter's, keeps the user's strength on the first step.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor

from ..control.features import shows_features
from ..control.link import Link
from ..control.positions import Control
from ..control.summing import Factor, fine_height, summed
from ..control.unroll import ControlChain, Found, tags_of
from .asked import asked_of, is_asked, names_of
from .by_output import by_output
from .decided import decided
from .ledger import write_all
from .pace import Paced
from .pushed import Pushed
from .pushes import Step, compare, joined
from .scale import ROUNDING, Scale
from .unmeasured import row_of, rows_of_others, unmeasured

PATCH = "input_block_patch_after_skip"
SHORT = 0.4  # second sigma as a share of the first, above which the first step is a short one


@dataclass(slots=True, eq=False)
class Probe:
    """What is known of one chain at the noise level that is being measured.

    wanted: how many conditional chunks carry it there: regions are measured together.
    kept: those of the nets measured last that were not left out.
    """

    chain: ControlChain
    wanted: int = 1
    sigma: float | None = None
    acting: tuple[Link, ...] = ()
    again: bool = False  # whether the next step decides once more
    kept: frozenset[Link] = frozenset()
    steps: list[Step] = field(default_factory=list[Step])
    chunks: int = 0


@dataclass(slots=True, eq=False)
class Pending:
    """A sum that is on its way through the UNet."""

    probe: Probe
    found: Found
    total: Control
    pictures: list[int]  # rows of the batch that are conditional
    chunks: int
    fine: int  # rows of the second finest resolution
    features: dict[int, Tensor] = field(default_factory=dict[int, Tensor])


class Estimator:
    """State of one run: what is measured, and what was decided, by link.

    Args:
        blocks: how many the UNet's encoder has.
        links: all of the run that ask for scales.
    """

    def __init__(self, guider: Any, blocks: int, links: Iterable[Link]) -> None:
        self.guider = guider
        self.last = blocks - 1  # number of the encoder's last block
        self.links = tuple(links)
        self.pending: Pending | None = None
        self.probes: list[Probe] = []
        self.scales: dict[Link, Scale] = {}
        self.bounds: dict[Link, float] = {}  # of those that were decided upon for good

    def watch(
        self,
        probe: Probe,
        found: Found,
        total: Control,
        x: Tensor,
        t: Tensor,
        chunks: int,
        options: dict[str, Any],
    ) -> Control:
        """The sum to use, between the nets and the UNet (`ControlChain.watch`)."""
        self.pending = None
        acting = tuple(link for link, _ in found if is_asked(link))
        halves: Sequence[int] = options["cond_or_uncond"]
        if not probe.steps and self._knows(probe, acting, halves):
            return total  # most steps: reading the sigma would wait for the device
        sigma = float(t[0])
        if not probe.steps and sigma == probe.sigma:
            return total  # measured, and to be so again on the next step
        if probe.steps and sigma != probe.sigma:  # a region did not take part in that step
            self.settle(probe)
            total = summed([(control, link.factor) for link, control in found], fine_height(x))
        if self._knows(probe, acting, halves):
            return total
        probe.sigma, probe.acting = sigma, acting
        probe.again = _is_short(sigma, options["sample_sigmas"])
        probe.wanted = sum(
            cond.get("control") is probe.chain and _acts(cond, sigma)
            for cond in _positive(self.guider)
        )
        size = len(t) // chunks
        pictures = [
            row
            for at, half in enumerate(halves)
            if half == 0
            for row in range(at * size, (at + 1) * size)
        ]
        own: Control = {
            part: [None if value is None else value.clone() for value in values]
            for part, values in total.items()
        }  # a sum of one is that net's own residual
        kept: Control = {part: list(values) for part, values in own.items()}  # core empties its own
        self.pending = Pending(probe, found, kept, pictures, halves.count(0), fine_height(x))
        return own

    def _knows(self, probe: Probe, acting: Sequence[Link], halves: Sequence[int]) -> bool:
        """Whether this call has nothing to show: not of new nets, nor that one has ended."""
        if 0 not in halves:
            return True
        ended = probe.kept.difference(acting)
        return not ended and all(link in self.bounds for link in acting)

    def __call__(self, feature: Tensor, options: dict[str, Any]) -> Tensor:
        """The UNet's encoder put out a feature (patch after its skip is stored)."""
        pending = self.pending
        if pending is None:
            return feature
        _, block = options["block"]
        pending.features[block] = feature[pending.pictures]
        if block == self.last:
            self.pending = None
            self._measure(pending)
        return feature

    def _measure(self, pending: Pending) -> None:
        probe = pending.probe
        residuals = [
            by_output(control, link.fit, pending.pictures)
            for link, control in pending.found
            if link in probe.acting
        ]
        step = compare(residuals, pending.features)
        if step is None:
            return
        probe.steps.append(step)
        probe.chunks += pending.chunks
        if probe.chunks < probe.wanted:
            return
        self.settle(probe)
        parts = [(control, link.factor) for link, control in pending.found]
        scaled = summed(parts, pending.fine)
        for part, values in pending.total.items():
            for old, new in zip(values, scaled[part], strict=True):
                if old is not None and new is not None:
                    old.copy_(new)
                elif old is not None:  # all who had something to say here were pruned
                    old.zero_()

    def settle(self, probe: Probe) -> None:
        """Decide by what was measured, for the rest of the run."""
        conds = names_of(probe.acting)
        nets = [link.net for link in probe.acting]
        strengths = tuple(float(net.strength) for net in nets)
        spans = tuple(net.timestep_percent_range for net in nets)
        measured = joined(probe.steps)
        probe.steps, probe.chunks = [], 0
        if measured.is_finite:
            settings = asked_of(probe.acting[0]).ledger.settings
            pushed = Pushed(conds, strengths, spans, measured.gram, measured.where, measured.coarse)
            bounds = [
                self.bounds.get(link, strength)
                for link, strength in zip(probe.acting, strengths, strict=True)
            ]
            scales = decided(pushed, settings, bounds)
        else:  # no reason to end the user's run
            scales = tuple(
                Scale(name, strength, strength, reason="not measured: a push is not finite")
                for name, strength in zip(conds, strengths, strict=True)
            )
        for link, scale in zip(probe.acting, scales, strict=True):
            link.factor, link.wanted = _factor(scale), probe.again
            self.scales[link] = replace(scale, cond=asked_of(link).cond)
            if not probe.again:
                self.bounds[link] = scale.bound
        probe.kept = frozenset(link for link in probe.acting if link.acts)
        self._lead()

    def finish(self) -> None:
        """Decide where a region that was waited for took no part in the last step either."""
        for probe in self.probes:
            if probe.steps:
                self.settle(probe)

    def _lead(self) -> None:
        """Copies that the negative prompt alone carries act as the positive's: none is measured.

        A prompt with other nets before ours has copies of its own, and its own calls.
        """
        measured = carried(self.guider)
        for link in self.links:
            if link in measured:
                continue
            same = [
                scale
                for one, scale in self.scales.items()
                if one in measured and asked_of(one).same_as(asked_of(link))
            ]
            if same:
                self.scales[link] = scale = max(same, key=_size)
                link.factor = _factor(scale)


@contextmanager
def estimating(guider: Any, chains: Sequence[ControlChain]) -> Generator[Any]:
    """Scales for all nets of a run that ask for them (`engine.control.unroll.Listener`)."""
    unet: Any = getattr(guider.model_patcher.model, "diffusion_model", None)
    links = {link: None for chain in chains for link in chain.links if is_asked(link)}
    tags = tags_of(cond.get("control") for cond in _positive(guider))
    estimator, paced = None, None
    if any(asked_of(link).ledger.settings.pace for link in links):
        paced = Paced()
    shown = shows_features(guider.model_patcher)
    if links and shown and isinstance(unet, UNetModel):
        estimator = Estimator(guider, len(unet.input_blocks), links)
        for chain in chains:
            if any(link in links for link in chain.links):
                estimator.probes.append(probe := Probe(chain))
                chain.watch = partial(estimator.watch, probe)
                chain.pace = paced
        patches = guider.model_options["transformer_options"].setdefault("patches", {})
        patches[PATCH] = [*patches.get(PATCH, ()), estimator]

    def tell(latent: Tensor) -> None:
        if estimator:
            estimator.finish()
        scales = estimator.scales if estimator else {}
        rows = [
            (asked_of(link).ledger, row_of(link, scales.get(link) or unmeasured(link, shown)))
            for link in links
        ]
        write_all(latent, [*rows, *rows_of_others(tags, chains)])

    try:
        yield tell
    finally:
        for chain in chains:
            chain.watch = chain.pace = None
        if estimator:
            estimator.pending = None


def carried(guider: Any) -> set[Link]:
    """The links of the positive prompt's chains."""
    chains = [cond.get("control") for cond in _positive(guider)]
    return {link for chain in chains if isinstance(chain, ControlChain) for link in chain.links}


def _positive(guider: Any) -> Sequence[dict[str, Any]]:
    return guider.conds.get("positive", ())


def _acts(cond: dict[str, Any], sigma: float) -> bool:
    """Whether a scheduled prompt is asked at this noise level, as core's sampler decides it."""
    starts, ends = cond.get("timestep_start"), cond.get("timestep_end")
    return (starts is None or sigma <= starts) and (ends is None or sigma >= ends)


def _is_short(sigma: float, sigmas: Tensor) -> bool:
    """Whether this is a run's first step, and the next one is still as noisy, nearly."""
    first, second = sigmas[:2].tolist()
    return sigma >= first * (1 - ROUNDING) and second > SHORT * first


def _factor(scale: Scale) -> Factor:
    coarse = scale.scale if scale.coarse is None else scale.coarse
    return Factor(scale.scale / scale.strength, coarse / scale.strength)


def _size(scale: Scale) -> float:
    return scale.scale
