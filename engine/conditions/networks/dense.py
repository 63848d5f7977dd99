"""A network that turns a picture into a picture, described by data.

A description has a JSON form: see `DenseNetwork.from_dict`. So a user's own network is its ONNX
file and one JSON file beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from ...errors import BadInput

LAYOUTS = ("nhwc", "nchw", "hwc", "chw")  # without n: no batch axis
DTYPES = ("uint8", "float32")
ACTIVATIONS = ("none", "sigmoid", "softmax", "argmax", "reciprocal", "classes")
STRETCHES = ("none", "min_max", "percentiles")
PALETTES = ("", "ade20k")


@dataclass(frozen=True, slots=True)
class DenseNetwork:
    """How a picture goes in and what comes out.

    In: resized to `height` x `width` (stretched), or, where they are 0, to the shorter side
    `short_px` (less for very thin photos) in whole `multiple`s; then (x * scale - mean) / std for
    each of R, G, B, with x from 0 to 255. Out: output `output`, its channel `channel`, through
    `activation`:

    - sigmoid, softmax: to 0..1; argmax: classes over the channels; classes: already numbers
    - reciprocal: 1 / max(x, `least`), which turns metres into nearness

    With `colours` three channels from `channel` on are one picture in colour, each first times its
    `gain` plus its `offset`. A network of normals with x right, y up, z to the viewer, -1 to 1, has
    gain [-0.5, 0.5, 0.5] and offset [0.5, 0.5, 0.5] for the colours of the normalbae ControlNet.

    then `stretch` (min_max; percentiles: `low` and `high` percent) to 0..1, `invert`. Classes are
    coloured by `palette` at class - `first_class`, classes before it are black. A grey
    hint has 8 or 16 `bits` a level.
    """

    height: int = 0
    width: int = 0
    short_px: int = 518
    multiple: int = 14
    layout: Literal["nhwc", "nchw", "hwc", "chw"] = "nchw"
    dtype: Literal["uint8", "float32"] = "float32"
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False
    output: int = 0
    channel: int = 0
    colours: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    activation: str = "none"
    least: float = 1e-6
    stretch: str = "none"
    low: float = 1.0
    high: float = 99.0
    invert: bool = False
    palette: str = ""
    first_class: int = 0
    bits: int = 8

    def __post_init__(self) -> None:
        _choice("layout", self.layout, LAYOUTS)
        _choice("dtype", self.dtype, DTYPES)
        _choice("activation", self.activation, ACTIVATIONS)
        _choice("stretch", self.stretch, STRETCHES)
        _choice("palette", self.palette, PALETTES)
        if (self.height == 0) != (self.width == 0) or min(self.height, self.width) < 0:
            raise BadInput("(height, width)", (self.height, self.width), "give both, or neither")
        if not self.height and not (self.short_px >= self.multiple >= 1):
            seen = (self.short_px, self.multiple)
            raise BadInput("(short_px, multiple)", seen, "need short_px >= multiple >= 1")
        if len(self.mean) != 3 or len(self.std) != 3 or 0 in self.std:
            raise BadInput("(mean, std)", (self.mean, self.std), "give three numbers, std not 0")
        if len(self.gain) != 3 or len(self.offset) != 3:
            raise BadInput("(gain, offset)", (self.gain, self.offset), "give three numbers each")
        if self.colours and self.activation not in ("none", "sigmoid"):
            raise BadInput("activation", self.activation, "colours take 'none' or 'sigmoid'")
        if not 0 <= self.low < self.high <= 100:
            raise BadInput("(low, high)", (self.low, self.high), "need 0 <= low < high <= 100")
        if self.bits not in ((8,) if self.makes_classes else (8, 16)):
            raise BadInput("bits", self.bits, "choose 8, or 16 where it makes no classes")
        if self.makes_classes != bool(self.palette):
            do = "argmax and classes need a palette, and only they take one"
            raise BadInput("(activation, palette)", (self.activation, self.palette), do)

    @property
    def channels(self) -> Literal[1, 3]:
        """Of its hint."""
        return 3 if self.makes_classes or self.colours else 1

    @property
    def makes_classes(self) -> bool:
        return self.activation in ("argmax", "classes")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """The description in its JSON form: an object with the fields above, all optional.

        Raises:
            BadInput: an unknown key, a value of another type or out of range.
        """
        kinds = {field.name: type(field.default) for field in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in form.items():
            if key not in kinds:
                raise BadInput("key of a network", key, f"choose among {', '.join(kinds)}")
            values[key] = _as_kind(key, value, kinds[key])
        return cls(**values)


def _choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadInput(what, value, f"choose one of {', '.join(map(repr, choices))}")


def _as_kind(key: str, value: Any, kind: type) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if kind is int and is_number and value == int(value):
        return int(value)
    if kind is tuple and isinstance(value, list):
        return tuple(_as_kind(key, item, float) for item in value)  # pyright: ignore
    if kind in (bool, str) and isinstance(value, kind):
        return value
    raise BadInput(f"{key} of a network", value, f"need a {kind.__name__}")
