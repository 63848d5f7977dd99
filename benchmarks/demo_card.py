"""Writes the model card's figures from the committed runs, so that neither can drift.

`python -m comfyui_tandem.benchmarks.demo_card` replaces what stands between the card's marks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..training.files import SHIPPED
from ..training.hints import KINDS
from . import distillation_card

RESULTS = Path(__file__).parent / "results"
CARD = SHIPPED / "README.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
GOALS = {"scene": 0.98, "colour": 0.95, "shape": 0.9, "both": None, "size": 0.95, "place": 0.95,
         "pose": None}  # fmt: skip
UNSEEN_DROP, ADHERENCE = 0.1, 0.8  # at most; at least
LAYERS = ("up_0", "middle", "up_1", "up_2")


def figures_text(result: dict[str, Any]) -> str:
    """Tables and sentences of a full run; what it lacks is left out."""
    figures, settings = result["figures"], result["settings"]
    parts = [_captions(figures, settings)]
    if nets := [kind for kind in KINDS if f"gain_{kind}" in figures]:
        parts.append(_hints(figures, settings, nets))
    return "\n".join(parts) + f"\nMeasured on {result['machine']}.\n"


def written(card: str, begin: str, text: str, end: str) -> str:
    """The card with `text` between these marks."""
    before, rest = card.split(begin)
    return before + begin + text + end + rest.split(end)[1]


def result_of(benchmark: str) -> dict[str, Any]:
    """Its committed full run."""
    return json.loads((RESULTS / f"{benchmark}.json").read_text("utf-8"))


def whole(card: str) -> str:
    """The card with all figures of the committed runs."""
    card = written(card, BEGIN, figures_text(result_of("demo_quality")), END)
    members = distillation_card.members_text(result_of("distillation"))
    return written(card, distillation_card.BEGIN, members, distillation_card.END)


def main() -> None:
    CARD.write_text(whole(CARD.read_text("utf-8")), "utf-8")


def _captions(figures: dict[str, float], settings: dict[str, Any]) -> str:
    rows = [
        "| statement | ancestral | deterministic | judge on reconstructions | on renders | goal "
        "| |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, goal in GOALS.items():
        if key not in figures:
            continue
        found = (figures[key], figures[f"{key}_solver"])
        names = (key, f"{key}_solver", f"probe_ceiling_{key}", f"probe_renders_{key}")
        cells = [f"{figures[name]:.3f}" for name in names]
        goals = ["", ""] if goal is None else [f"{goal:g}", _verdict(min(found) >= goal)]
        rows.append(f"| {' | '.join([key, *cells, *goals])} |")
    swaps = ", ".join(f"{name.replace('_', ' ')} {figures[f'swap_{name}']:.3f}" for name in LAYERS)
    drop = figures["unseen_drop"]
    told = [
        f"{settings['captions']} held-out captions, {settings['seeds']} noises each, 20 steps "
        f"(`both`: shape and colour of one thing; 95 % interval {figures['both_lower']:.3f}-"
        f"{figures['both_upper']:.3f} ancestral, {figures['both_solver_lower']:.3f}-"
        f"{figures['both_solver_upper']:.3f} deterministic).",
        f"Pairs of colour and shape that the generator never saw ({settings['unseen']} captions): "
        f"both {figures['unseen_both']:.3f}, drop {drop:.3f} (goal at most {UNSEEN_DROP}: "
        f"{_verdict(drop <= UNSEEN_DROP)}); colour {figures['unseen_colour']:.3f}, shape "
        f"{figures['unseen_shape']:.3f}; the judge on reconstructions of them "
        f"{figures['probe_ceiling_unseen_both']:.3f}.",
        f"Pruned to Base's layout without training ({settings['pruned']} captions): both "
        f"{figures['pruned_both']:.3f}, drop {figures['prune_drop']:.3f}.",
        f"Autoencoder: {figures['psnr_db']:.1f} dB. Embedder distance to renders "
        f"{figures['embedder_distance']:.4f}, of reconstructions "
        f"{figures['embedder_distance_reconstructed']:.4f}.",
        "Error at t = 850 with a part's output swapped between pictures, times the error without "
        f"({figures['x0_error_850']:.3f}): {swaps}.",
    ]
    return "\n".join([*rows, "", *told, ""])


def _hints(figures: dict[str, float], settings: dict[str, Any], nets: list[str]) -> str:
    rows = [
        "| ControlNet | without | with | wrong hint | judge on renders | gain (lower end) "
        f"| adherence | goal {ADHERENCE} and gain > 0 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in nets:
        names = (f"without_{kind}", f"with_{kind}", f"wrong_{kind}", f"judge_{kind}")
        cells = [f"{figures[name]:.3f}" if name in figures else "" for name in names]
        lower, kept = figures[f"gain_{kind}_lower"], figures[f"adherence_{kind}"]
        cells += [f"{figures[f'gain_{kind}']:.3f} ({lower:.3f})", f"{kept:.3f}"]
        verdict = _verdict(lower > 0 and kept >= ADHERENCE)
        rows.append(f"| {' | '.join([kind, *cells, verdict])} |")
    told = [
        f"{settings['hinted']} held-out scenes with a figure, the same captions and noise with and "
        "without (edge: F1 of borders within 2 px; depth: correlation on things' pixels; seg: IoU "
        "of things; pose: joints within 5 px). Adherence: of what true renders score.",
    ]
    if "together_searched" in figures:
        best, found = figures["best_alone"], figures["together_searched"]
        told.append(
            f"Mean adherence over all four kinds: best net alone {best:.3f}, all four at strength "
            f"{figures['together_strength']:g}, searched on other scenes, {found:.3f} (goal not "
            f"less: {_verdict(found >= best)}), at 1.0 each {figures['together_at_1']:.3f}."
        )
    return "\n".join([*rows, "", *told, ""])


def _verdict(good: bool) -> str:
    return "reached" if good else "**missed**"


if __name__ == "__main__":
    main()
