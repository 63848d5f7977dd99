"""The model card's figures of compact and few-step members, from the committed run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .distillation_draw import NETS, SIDES, TEACHER, TEACHER_STEPS

BEGIN, END = "<!-- members: begin -->\n", "<!-- members: end -->\n"
NAMED = {
    TEACHER: "full model, CFG",
    "two_phase": "**`demo-lcm`**: features, then consistency, taught by the full model",
    "direct": "consistency alone, as long as both",
    "self_taught": "consistency taught by the student itself",
}
LEAST = {
    "adherence_ratio_4step": 0.95,
    "adherence_ratio_2step": 0.92,
    "compact_control_ratio": 0.97,
    "int8_adherence_ratio": 0.99,
}
MOST_INT8_SIZE = 0.3


def members_text(result: Mapping[str, Any]) -> str:
    """A table of every way to a picture, and what of the goals was reached."""
    figures, settings = result["figures"], result["settings"]
    rows = [
        "| | steps | no hints | three hints | by compact ControlNets |",
        "|---|---|---|---|---|",
        _row(figures, TEACHER, TEACHER_STEPS),
    ]
    rows += [_row(figures, side, steps) for side in SIDES for steps in settings["steps"]]
    told = [
        f"Adherence of {settings['scenes']} held-out captions, and of {settings['hinted']} with "
        "canny, depth and pose of a true picture at strength "
        f"{settings['strength']:g}: share of things with the right shape and colour; with hints "
        "the mean of that and of how well the picture keeps to them, as a share of what true "
        "pictures score. 95 % intervals of resampled scenes. To the full model at "
        f"{TEACHER_STEPS} steps with CFG the lower of both:",
        "",
        *(_goal(figures, name, least) for name, least in LEAST.items()),
        _gain(figures, settings),
        f"- 8-bit weights take {figures['int8_size_ratio']:.3f} of 32-bit ones (goal "
        f"{MOST_INT8_SIZE:g}: {_verdict(figures['int8_size_ratio'] <= MOST_INT8_SIZE)}), and "
        f"{figures['int8_time_ratio']:.2f} of their time a call; values of pictures differ by "
        f"{figures['int8_pixel_difference_k0']:.1f} of 255.",
    ]
    return "\n".join([*rows, "", *told]) + f"\n\nMeasured on {result['machine']}.\n"


def _row(figures: Mapping[str, float], side: str, steps: int) -> str:
    names = [f"adherence_{side}_{steps}_{nets}" for nets in NETS]
    cells = [f"{figures[name]:.3f}" if name in figures else "" for name in names]
    return f"| {' | '.join([NAMED[side], str(steps), *cells])} |"


def _goal(figures: Mapping[str, float], name: str, least: float) -> str:
    found = figures[name]
    return f"- `{name}` {found:.3f} (goal {least:g}: {_verdict(found >= least)})"


def _gain(figures: Mapping[str, float], settings: Mapping[str, Any]) -> str:
    lower = figures["two_phase_gain_lower"]
    other = figures["larger_teacher_gain"]
    hinted = settings["more"] * settings["hinted"]
    plain = settings["more"] * settings["draws"] * settings["scenes"]
    return (
        f"- Two phases over consistency alone, on {plain} captions and on {hinted} with hints, the "
        f"lower of both: {figures['two_phase_gain']:.3f}, lower end {lower:.3f} (goal above 0: "
        f"{_verdict(lower > 0)}); over a teacher as small as the student: {other:.3f}, lower end "
        f"{figures['larger_teacher_gain_lower']:.3f}."
    )


def _verdict(good: bool) -> str:
    return "reached" if good else "**missed**"
