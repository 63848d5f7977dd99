"""One net of a chain that is unrolled, and what became of it in a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import comfy.controlnet
from comfy.cldm.cldm import ControlNet as Network

from ..errors import BadInput
from .lean_net import EncodedOnce, lean
from .positions import Fit
from .summing import ALL, Factor

if TYPE_CHECKING:
    from .unroll import Listener

TAG = "tandem_tag"  # attribute of a net


class Tag(Protocol):
    """What a net carries as `tandem_tag` when something wants to see what it says."""

    @property
    def listener(self) -> Listener: ...


@dataclass(slots=True, eq=False)
class Link:
    """One net of a chain.

    net: our copy without those before it; a foreign one is itself, with all before it.
    fit: what of its residuals the UNet reads, where not all.
    factor: what its residuals are multiplied with; a silent one is not called,
    wanted: unless what it says is to be seen once more.
    calls: how often it was, in this run.
    reused: how often what it had said was used again, in this run.
    ended: whether it is not called any more, as it came to say nothing.
    """

    net: Any
    foreign: bool
    fit: Fit | None
    started: bool = False
    factor: Factor = ALL
    wanted: bool = False
    calls: int = 0
    reused: int = 0
    ended: bool = False

    @property
    def acts(self) -> bool:
        """Whether anything of it is to be heard, or seen."""
        return not self.ended and (self.wanted or not self.factor.is_silent)

    @property
    def tag(self) -> Tag | None:
        return getattr(self.net, TAG, None)

    def pre_run(self, model: Any, percent_to_sigma: Any) -> None:
        if self.fit and isinstance(self.net, comfy.controlnet.ControlLora):
            do = "give a whole ControlNet: its network is made of the model's, which lost blocks"
            raise BadInput("ControlNet", "a Control-LoRA on a compact UNet", do)
        self.net.pre_run(model, percent_to_sigma)
        self.started, self.calls, self.reused, self.ended = True, 0, 0, False
        network = getattr(self.net, "control_model", None)
        if self.foreign or not isinstance(network, Network):
            return
        if not isinstance(network.input_hint_block, EncodedOnce):
            self.net.control_model = lean(network, self.fit)

    def cleanup(self) -> None:
        if self.started:
            self.started = False
            self.net.cleanup()
            network = getattr(self.net, "control_model", None)
            if isinstance(encoder := getattr(network, "input_hint_block", None), EncodedOnce):
                encoder.known.clear()  # a guider that ComfyUI caches would keep them
