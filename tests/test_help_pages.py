"""The help page of Condition tells of every detector what the registry tells."""

from __future__ import annotations

from pathlib import Path

from comfyui_tandem.engine.conditions import DETECTORS
from comfyui_tandem.engine.conditions.detector import NO_WEIGHTS, Detector

PAGE = Path(__file__).resolve().parents[1] / "web" / "docs" / "TandemCondition.md"


def test_page_lists_every_detector() -> None:
    formulas = [_line(one) for one in DETECTORS.values() if not _has_weights(one)]
    networks = [_line(one) for one in DETECTORS.values() if _has_weights(one)]
    told = [line for line in PAGE.read_text("utf-8").splitlines() if " Makes: " in line]
    assert told == [*formulas, *networks]


def _line(one: Detector) -> str:
    fits = f" ControlNet: {one.fits[0]}." if one.fits else ""
    weights = f" Weights: {one.licence}." if _has_weights(one) else ""
    return f"- **{one.name}**: {one.about} Makes: {one.polarity}.{fits}{weights}"


def _has_weights(one: Detector) -> bool:
    return one.licence != NO_WEIGHTS
