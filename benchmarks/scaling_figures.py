"""Part of `scaling`: figures from what was drawn, searched and decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .parts import Result
from .scaling_score import renders_of, total
from .scaling_sets import ARMS, CLEAN, ESTIMATED, FAMILIES
from .statistics import ends, interval, resamples

Rows = Sequence[Mapping[str, Any]]
FIXED_ARMS = (*ARMS, "fixed")
COSTLY = 0.02  # share of its score that dropping a condition costs the best scales, at least


def check_figures(checked: Result) -> dict[str, float]:
    """Of what every run decides and draws: how many are pruned, the mean scale, calls, score."""
    sets: Rows = checked["sets"]
    empty = [
        scale
        for one in sets
        if one["family"] == "empty"
        for scale, good in zip(one["scales"], one["good"], strict=True)
        if not good
    ]
    return {
        "checked_pruned": float(sum(scale == 0 for one in sets for scale in one["scales"])),
        "checked_empty_pruned": float(sum(scale == 0 for scale in empty)),
        "checked_scale": float(np.mean([scale for one in sets for scale in one["scales"]])),
        "checked_calls": float(checked["calls"]),
        "checked_score": checked["score"],
    }


def arm_figures(results: Mapping[str, Result]) -> dict[str, float]:
    renders = renders_of(results)
    rows = {arm: joined(results, f"{arm}_") for arm in (*FIXED_ARMS, ESTIMATED)}
    totals = {
        arm: np.array([total(one["judged"], one["scores"], renders) for one in sets])
        for arm, sets in rows.items()
    }
    families = np.array([one["family"] for one in rows[ESTIMATED]])
    figures = {f"fixed_scale_{net}": scale for net, scale in results["fixed"].items()}
    for arm, values in totals.items():
        figures[f"score_{arm}"] = float(values.mean())
        for family in FAMILIES:
            figures[f"score_{arm}_{family}"] = float(values[families == family].mean())
        figures[f"calls_{arm}"] = float(np.mean([one["calls"] for one in rows[arm]]))
        far = [one["scores"]["distance"] for one in rows[arm]]
        figures[f"distance_{arm}"] = float(np.mean(far))
    figures |= _gain(totals, np.ones(len(families), bool), "")
    figures |= _gain(totals, np.isin(families, CLEAN), "_clean")
    redundant = families == "redundant"
    calls = {
        arm: sum(one["calls"] for one, chosen in zip(rows[arm], redundant, strict=True) if chosen)
        for arm in ("ones", ESTIMATED)
    }
    figures["call_cut_redundant_pct"] = 100 * (1 - calls[ESTIMATED] / calls["ones"])
    drop = 1 - totals[ESTIMATED][redundant].mean() / totals["ones"][redundant].mean()
    figures["adherence_drop_redundant_pct"] = 100 * float(drop)
    for family in FAMILIES:
        for name, wanted in (("good", True), ("bad", False)):
            scales = [
                scale
                for one in rows[ESTIMATED]
                if one["family"] == family
                for scale, good in zip(one["scales"], one["good"], strict=True)
                if good is wanted
            ]
            if scales:
                figures[f"pruned_pct_{family}_{name}"] = 100 * float(np.mean(np.equal(scales, 0)))
                figures[f"mean_scale_{family}_{name}"] = float(np.mean(scales))
    return figures


def search_figures(results: Mapping[str, Result]) -> dict[str, float]:
    """Against the best scales of each set, on the sets that were searched."""
    rows = joined(results, "search_")
    names = ("ones", "best", "knowing", "estimated")
    weights = resamples(len(rows)) / len(rows)
    mean = {name: weights @ np.array([one[name] for one in rows]) for name in names}
    figures = {f"searched_{name}": float(values[0]) for name, values in mean.items()}
    for name, most in (("oracle", "best"), ("knowing", "knowing")):
        closed = (mean["estimated"] - mean["ones"]) / (mean[most] - mean["ones"])
        figures[f"{name}_gap_closed"] = float(closed[0])
        lower, upper = ends(closed[1:])
        figures |= {f"{name}_gap_closed_lower": lower, f"{name}_gap_closed_upper": upper}
    made = joined(results, f"{ESTIMATED}_")[: len(rows)]
    needed = [
        scale == 0
        for one, best in zip(made, rows, strict=True)
        if one["family"] == "complementary"
        for scale, cost in zip(one["scales"], best["costs"], strict=True)
        if cost >= COSTLY
    ]
    if needed:
        figures["wrongly_pruned_complementary_pct"] = 100 * float(np.mean(needed))
        figures["needed_complementary"] = float(len(needed))
    return figures


def time_figures(results: Mapping[str, Result]) -> dict[str, float]:
    """Sampler's time with estimated scales as a share of that at 1.0, in the mean of sets."""
    rows = joined(results, "timed_")
    shares = {family: [r["share"] for r in rows if r["family"] == family] for family in FAMILIES}
    each = {f"time_share_{family}": float(np.mean(own)) for family, own in shares.items() if own}
    return {"time_share": float(np.mean([row["share"] for row in rows])), **each}


def joined(results: Mapping[str, Result], start: str) -> list[Any]:
    """What all blocks whose names start so hold, in order."""
    names = [name for name in results if name.startswith(start) and name[len(start) :].isdigit()]
    names.sort(key=lambda name: int(name[len(start) :]))
    return [one for name in names for one in results[name]["sets"]]


def _gain(totals: Mapping[str, Any], chosen: Any, name: str) -> dict[str, float]:
    """Over the best of the fixed arms, in percent of its score; the lowest end over any of them."""
    best = max(FIXED_ARMS, key=lambda arm: totals[arm][chosen].mean())
    base = {arm: totals[arm][chosen] for arm in FIXED_ARMS}
    gains = {
        arm: 100 * (totals[ESTIMATED][chosen] - each) / each.mean() for arm, each in base.items()
    }
    return {
        f"gain_vs_best_fixed_pct{name}": float(gains[best].mean()),
        f"gain_lower_pct{name}": min(interval(each.tolist())[0] for each in gains.values()),
        **{f"best_fixed_is_{arm}{name}": float(arm == best) for arm in FIXED_ARMS},
    }
