"""What a condition is, which detectors there are, and how one is run.

Importing this room needs numpy alone: OpenCV, onnxruntime and torch are imported by the detector
that uses them, on its first call.
"""

from ..errors import TandemError
from .condition import Condition, Hint, reads
from .detector import Detector, Param
from .doubts import doubts
from .guess import guess_detectors, is_pooled
from .models import Models, models, use_models
from .options import Options
from .photo import Photo
from .registry import DETECTORS
from .request import PLACES, ConditionRequest
from .run import detect, load
from .weights import WeightFile

__all__ = [
    "DETECTORS",
    "PLACES",
    "Condition",
    "ConditionRequest",
    "Detector",
    "Hint",
    "Models",
    "Options",
    "Param",
    "Photo",
    "WeightFile",
    "detect",
    "doubts",
    "find_detector",
    "guess_detectors",
    "is_pooled",
    "load",
    "models",
    "obstacle",
    "reads",
    "use_models",
]


def find_detector(name: str) -> Detector:
    """The entry of that name, in this process.

    Raises:
        BadInput: there is none.
    """
    return models().find(name)


def obstacle(name: str) -> TandemError | None:
    """Why this process cannot run a detector; None if nothing is in the way."""
    return models().obstacle(name)
