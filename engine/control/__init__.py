"""From hints to what ControlNets add to a step."""

from .chain import Applied, apply_hints, name_of
from .pictures import hint_image

__all__ = ["Applied", "apply_hints", "hint_image", "name_of"]
