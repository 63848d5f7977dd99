"""Parameters for the detectors of some families, as an options node hands them on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import BadInput
from .detector import Detector


@dataclass(frozen=True, slots=True)
class Options:
    """Values by parameter; a detector of the families takes those it knows and has otherwise."""

    families: tuple[str, ...]
    values: Mapping[str, float]

    def for_detector(self, detector: Detector) -> dict[str, float]:
        """The parameters that the detector knows, without those at its default anyway.

        So an options node that was left alone asks for what no options node asks for.

        Raises:
            BadInput: it is of another family, so that none of these is meant for it.
        """
        if detector.family not in self.families:
            do = f"{detector.name} is of the family {detector.family!r}: disconnect them"
            raise BadInput("options", f"for {', '.join(self.families)}", do)
        own = {param.name: param.default for param in detector.params}
        return {
            name: value for name, value in self.values.items() if name in own and value != own[name]
        }
