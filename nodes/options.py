"""Options of detectors, a node for each kind instead of widgets that mostly do not apply."""

from __future__ import annotations

from typing import Any, ClassVar

from comfy_api.latest import io

from ..engine.conditions import DETECTORS, Options, Param
from .sockets import OptionsSocket


class _OptionsNode(io.ComfyNode):
    """Its inputs are the parameters of its families in the registry, each once."""

    KIND: ClassVar[str] = ""
    FAMILIES: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def define_schema(cls) -> io.Schema:
        names = [one.name for one in DETECTORS.values() if one.family in cls.FAMILIES]
        return io.Schema(
            node_id=f"Tandem{cls.KIND}Options",
            display_name=f"{cls.KIND} Options",
            category="Tandem/conditions",
            description=f"How {', '.join(names)} detect. Connect it to Condition or Detect; each "
            "takes what it knows.",
            inputs=[_input(param, users) for param, users in cls.params().values()],
            outputs=[OptionsSocket.Output("options", "options")],
        )

    @classmethod
    def params(cls) -> dict[str, tuple[Param, list[str]]]:
        """Each parameter by name, and the detectors that take it."""
        found: dict[str, tuple[Param, list[str]]] = {}
        for detector in DETECTORS.values():
            for param in detector.params if detector.family in cls.FAMILIES else ():
                found.setdefault(param.name, (param, []))[1].append(detector.name)
        return found

    @classmethod
    def execute(cls, **given: float) -> io.NodeOutput:
        values: dict[str, float] = {}
        for name, (param, _) in cls.params().items():
            value = given.get(name, param.default)
            values[name] = param.check(int(value) if param.is_switch else value)
        return io.NodeOutput(Options(cls.FAMILIES, values))


def _input(param: Param, users: list[str]) -> Any:
    tip = f"{param.about} For {', '.join(users)}."
    if param.is_switch:
        return io.Boolean.Input(param.name, default=bool(param.default), tooltip=tip)
    if param.whole:
        return io.Int.Input(
            param.name,
            default=int(param.default),
            min=int(param.least),
            max=int(param.most),
            tooltip=tip,
        )
    return io.Float.Input(
        param.name,
        default=param.default,
        min=param.least,
        max=param.most,
        step=0.01,
        tooltip=tip,
    )


class EdgeOptions(_OptionsNode):
    KIND = "Edge"
    FAMILIES = ("edges", "soft edges", "scribble")


class LineOptions(_OptionsNode):
    KIND = "Line"
    FAMILIES = ("lines",)


class SurfaceOptions(_OptionsNode):
    KIND = "Surface"
    FAMILIES = ("normals",)


class PeopleOptions(_OptionsNode):
    KIND = "People"
    FAMILIES = ("pose", "face")


class PictureOptions(_OptionsNode):
    KIND = "Picture"
    FAMILIES = ("tile", "colour", "shuffle", "ready")
