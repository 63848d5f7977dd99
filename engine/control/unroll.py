"""A chain of ControlNets as one object that knows its nets, for the length of one run.

Core calls the last net of a chain, which calls the one before it, and gets one sum. Here a chain
is a list: every net is asked on its own, so a net that would add nothing is not called, and what
each one says can be seen, scaled or kept before it is summed. Nothing else differs: the latents
are those of core's chain, bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Protocol

import comfy.controlnet
from comfy.controlnet import ControlBase
from comfy.hooks import HookGroup, TransformerOptionsHook
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key, get_wrappers_with_key
from torch import Tensor

from ..errors import BadInput
from .link import TAG, Link, Tag
from .positions import FIT, Control, Fit, OwnFeature, fit_of
from .summing import fine_height, summed

UNROLL = "tandem_unroll"
CORES_OWN = (
    comfy.controlnet.ControlNet,
    comfy.controlnet.ControlNetSD35,
    comfy.controlnet.ControlLora,
    comfy.controlnet.T2IAdapter,
)


Found = Sequence[tuple[Link, Control]]
Watch = Callable[[Found, Control, Tensor, Tensor, int, dict[str, Any]], Control]


class Pace(Protocol):
    """Says which nets are asked anew at a step, and keeps what they said."""

    def ask(
        self, link: Link, call: Callable[[], Control | None], t: Tensor, options: Any
    ) -> Control | None:
        """What the net says at these sigmas: by `call`, or as it did before."""
        ...

    def heard(self, found: Found) -> None:
        """Is told what all nets of a call say."""
        ...


class ControlChain(ControlBase):
    """What core asks in place of the chain's last net.

    watch: sees what each net says, their sum, the batch, its sigmas, the number of chunks and the
    transformer options before the sum goes to the UNet, and gives the sum to use.
    pace: whether each net is asked on every step; without it all are.
    """

    def __init__(self, links: Sequence[Link], last: Any) -> None:
        super().__init__()
        self.links = tuple(links)
        self.watch: Watch | None = None
        self.pace: Pace | None = None
        self.previous_controlnet = last  # not asked: other packs look there for nets of theirs

    def own_residuals(
        self, x: Tensor, t: Tensor, cond: Any, chunks: int, options: Any
    ) -> list[tuple[Link, Control]]:
        """What each net that acts at this step says by itself, strength applied, first net first.

        Args:
            x: [B, 4, h, w], `chunks` equal slices of a batch.
            t: [B] sigmas.
            cond, options: core's conds of the batch and transformer_options.
        """
        found: list[tuple[Link, Control]] = []
        for link in self.links:
            if not link.acts:
                continue
            call = partial(_called, link, x, t, cond, chunks, options)
            control = call() if self.pace is None else self.pace.ask(link, call, t, options)
            if control is not None:
                found.append((link, control))
        if self.pace is not None and found:
            self.pace.heard(found)
        return found

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Any, batched_number: int, transformer_options: Any
    ) -> Control | None:
        found = self.own_residuals(x_noisy, t, cond, batched_number, transformer_options)
        if not found:
            return None
        total = summed([(control, link.factor) for link, control in found], fine_height(x_noisy))
        if self.watch is None:
            return total
        return self.watch(found, total, x_noisy, t, batched_number, transformer_options)

    def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
        for link in self.links:
            link.pre_run(model, percent_to_timestep_function)

    def cleanup(self) -> None:
        for link in self.links:
            link.cleanup()

    def get_models(self) -> list[Any]:
        return [model for link in self.links for model in link.net.get_models()]

    def inference_memory_requirements(self, dtype: Any) -> float:
        return sum(link.net.inference_memory_requirements(dtype) for link in self.links)


def _called(link: Link, *asked: Any) -> Control | None:
    control = link.net.get_control(*asked)
    if control is not None:
        link.calls += 1
    return control


# Told of a run's guider and chains before it, none where another pack cuts the hints; what it gives
# is told of the latent that came out.
Listener = Callable[[Any, Sequence[ControlChain]], AbstractContextManager[Callable[[Tensor], None]]]


def unroll(conds: Mapping[str, Iterable[dict[str, Any]]], fit: Fit | None) -> list[ControlChain]:
    """Put a `ControlChain` into each cond in place of its last net; returns those made.

    The conds have to be the run's own; the nets are copied. Conds that share a net go on sharing
    it, and conds of one chain stay one batch.
    """
    links: dict[int, Link] = {}
    chains: dict[int, ControlChain] = {}
    for cond in (cond for side in conds.values() for cond in side):
        last = cond.get("control")
        if last is None or isinstance(last, ControlChain):
            continue
        if id(last) not in chains:
            acting = [net for net in nets_of(last) if not _is_off(net)]
            for net in acting:
                links.setdefault(id(net), _link(net, fit))
            chains[id(last)] = ControlChain([links[id(net)] for net in acting], last)
        cond["control"] = chains[id(last)]
    return list(chains.values())


def nets_of(last: Any) -> list[Any]:
    """The chain's nets, first net first; none before a foreign one, which asks them itself."""
    found: list[Any] = []
    net = last
    while net is not None:
        found.append(net)
        net = net.previous_controlnet if _is_cores(net) else None
    return found[::-1]


def tags_of(last: Iterable[Any]) -> list[Tag]:
    """Of all nets of these chains, each once, also where another pack's net asks those before."""
    found: dict[int, Any] = {}
    for net in last:
        while net is not None and id(net) not in found:
            found[id(net)] = net
            net = net.previous_controlnet
    tags = [getattr(net, TAG, None) for net in found.values() if not _is_off(net)]
    return [tag for tag in tags if tag is not None]


def _is_cores(net: Any) -> bool:
    """Whether core's code alone decides what it does: other packs derive, or replace methods."""
    return type(net) in CORES_OWN and not any(hasattr(type(net), name) for name in vars(net))


def _is_off(net: Any) -> bool:
    return _is_cores(net) and net.strength == 0


def _link(net: Any, fit: Fit | None) -> Link:
    if not _is_cores(net):
        return Link(net, foreign=True, fit=None)
    own = copy.copy(net)  # core's own copy() forgets what it does not know
    own.previous_controlnet = None
    own.cond_hint = None  # of a run that was stopped
    return Link(own, foreign=False, fit=fit)


def unrolled_sample(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
    """The wrapper around core's sampling of a whole run; a second one finds nothing to do."""
    guider = executor.class_obj
    fit = _fit_of_run(guider)
    last = [cond.get("control") for side in guider.conds.values() for cond in side]
    ours = [net for net in last if not isinstance(net, ControlChain)]  # not a second wrapper's
    listeners = dict.fromkeys(tag.listener for tag in tags_of(ours))
    chains = [] if _cuts_hints(guider) else unroll(guider.conds, fit)
    try:
        with ExitStack() as stack:
            told = [stack.enter_context(listener(guider, chains)) for listener in listeners]
            latent = executor(*args, **kwargs)
            for tell in told:
                tell(latent)
            return latent
    finally:  # core cleans up only after a run that was not stopped
        for chain in chains:
            chain.cleanup()


def _cuts_hints(guider: Any) -> bool:
    """Whether another pack cuts the nets' hints within the run: it has to find core's own nets.

    Tiled Diffusion cuts them into tiles, AnimateDiff Evolved into windows of frames.
    """
    animated = guider.model_patcher.get_attachment("ADE_params") is not None
    return animated or "tiled_diffusion" in guider.model_options


def _fit_of_run(guider: Any) -> Fit | None:
    """The model's fit. One that comes from another loader gets its own, for this run."""
    options = guider.model_options["transformer_options"]
    wrappers: list[Any] = get_wrappers_with_key(WrappersMP.APPLY_MODEL, FIT, options)
    if wrappers:
        return wrappers[0]
    unet: Any = getattr(guider.model_patcher.model, "diffusion_model", None)
    try:
        fit = fit_of(unet)
    except BadInput:  # no UNet of SD1.5's kind: nets fit as they are
        return None
    if fit.is_full:
        return None
    add_wrapper_with_key(WrappersMP.APPLY_MODEL, FIT, fit, options)
    if unet.middle_block is None:
        patches = options.setdefault("patches", {})
        name = "input_block_patch_after_skip"
        patches[name] = [*patches.get(name, []), OwnFeature.of(unet)]
    return fit


def unroll_runs(model: ModelPatcher) -> ModelPatcher:
    """A clone whose runs unroll the chains of their conditioning."""
    patched = model.clone()
    if not patched.get_wrappers(WrappersMP.OUTER_SAMPLE, UNROLL):
        patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, UNROLL, unrolled_sample)
    return patched


def unrolling(hooks: HookGroup | None) -> HookGroup:
    """A net's hooks, and one that brings `unrolled_sample` into every run it is in."""
    wrappers = {WrappersMP.OUTER_SAMPLE: {UNROLL: [unrolled_sample]}}
    group = HookGroup() if hooks is None else hooks.clone()
    group.add(TransformerOptionsHook({"wrappers": wrappers}))
    return group
