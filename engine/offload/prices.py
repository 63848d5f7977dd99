"""What a lane is expected to take for a condition, and how well that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..conditions import Condition, find_detector
from .capabilities import Capabilities
from .costs import Costs, hint_pixels, hint_sizes, request_s
from .instance import LOCAL
from .profile import Profile


@dataclass(frozen=True)
class Prices:
    """By a profile that was chosen for the lane, else its own, its own word, its detector's price.

    Runs correct each lane's figures; one that is planned as another device has an account of its
    own, so that what is learnt of that does not spoil what is known of the lane itself.
    """

    costs: Costs
    chosen: Mapping[str, Profile]
    starts: Mapping[str, str]

    def account(self, lane: str) -> str:
        """The name under which runs of a lane are remembered."""
        return f"{lane} as {self.chosen[lane].name}" if lane in self.chosen else lane

    def prior_s(self, lane: str, condition: Condition, can: Capabilities | None) -> float:
        """Seconds before any correction; `can`: what a worker says of itself."""
        seconds = profiled_s(condition, self._profile(lane))
        if seconds is None and can is not None:
            seconds = told_s(condition, can)
        if seconds is None:
            seconds = price_s(condition)
        return seconds if lane == LOCAL else seconds + request_s(condition)

    def run_s(self, lane: str, condition: Condition, prior_s: float) -> float:
        """Seconds with loading, as corrected."""
        name = condition.request.detector
        seconds = self.costs.run_s(self.account(lane), name, prior_s)
        return seconds + self.costs.load_s(lane, self.starts[lane], name, self._profile(lane))

    def hint_bytes(self, condition: Condition) -> float:
        """Size of its hints on the wire."""
        name, profile = condition.request.detector, self._profile(LOCAL)
        each = find_detector(name).bytes_per_pixel
        measured = [profile and profile.hint_bytes(name, size) for size in hint_sizes(condition)]
        return sum(
            each * size if known is None else known
            for size, known in zip(hint_sizes(condition), measured, strict=True)
        )

    def new_bytes(self, lane: str, condition: Condition) -> float:
        """Memory that its network takes on a lane; 0 for one that is loaded, and for formulas."""
        name, profile = condition.request.detector, self._profile(lane)
        if not self.costs.load_s(lane, self.starts[lane], name):
            return 0.0
        measured = [profile and profile.memory_bytes(name, size) for size in hint_sizes(condition)]
        known = [size for size in measured if size is not None]
        return max(known, default=1e6 * find_detector(name).memory_mb)

    def is_rough(self, lane: str, condition: Condition, can: Capabilities | None) -> bool:
        """Whether nothing but the detector's price is known."""
        profiled = profiled_s(condition, self._profile(lane)) is not None
        told = can is not None and told_s(condition, can) is not None
        known = self.costs.is_known(self.account(lane), condition.request.detector)
        return not (profiled or told or known)

    def _profile(self, lane: str) -> Profile | None:
        return self.chosen.get(lane) or self.costs.profile(lane)


def price_s(condition: Condition) -> float:
    """Seconds by the detector's price alone: the stated prior."""
    detector = find_detector(condition.request.detector)
    return detector.seconds_per_mpixel * hint_pixels(condition) / 1e6


def profiled_s(condition: Condition, profile: Profile | None) -> float | None:
    """Seconds by a profile; None where that does not know the detector."""
    if profile is None:
        return None
    name = condition.request.detector
    found = [profile.warm_s(name, pixels) for pixels in hint_sizes(condition)]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if len(known) == len(found) else None


def told_s(condition: Condition, can: Capabilities) -> float | None:
    """Seconds by a worker's own measurements."""
    rate = can.detectors[condition.request.detector].seconds_per_mpixel
    return None if rate is None else rate * hint_pixels(condition) / 1e6
