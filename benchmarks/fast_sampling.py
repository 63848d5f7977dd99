"""Few steps on compact UNets with fitted ControlNets take a tenth of the time of 20 with CFG.

SD1.5's widths, random weights, float32, CPU. Stock: core's own objects, euler, normal, cfg 7, the
full decoder. Fast: LCM at cfg 1 on full UNets and BK-SDM's, chains unrolled and fitted. Seconds
are composed of measured steps (sampled.py); whole runs check that. End to end is sampler and
decoder, without text encoder and hints. A quick run is of narrow nets: its ratios say nothing of
SD1.5, its calls are those of the full run.
"""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .comfy_modules import KEPT, hush  # isort: skip

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..engine.sampling.lcm import lcm_model
from .parts import Part, finish
from .sampled import Result, Way, calls, measured, whole
from .sd15_random import (
    LAYOUTS,
    Widths,
    chained,
    control_net,
    full_decoder,
    prompt,
    stock,
    tiny_decoder,
    unet,
)

__all__ = ["KEPT"]
STOCK_STEPS, CFG = 20, 7.0
FAST_STEPS = (2, 4)
HEADLINE = ("tiny", 4, 3)  # layout, steps, nets
PX = 8  # of the picture for one of the latent


SD15 = Widths()
NARROW = Widths(channels=32, context=32, decoder=32)


@dataclass(frozen=True)
class Settings:
    """latent: side of the headline's latent, 64 for 512 px; grid: of all other figures."""

    widths: Widths = SD15
    latent: int = 64
    grid: int = 32
    rounds: int = 3
    nets: tuple[int, ...] = (0, 1, 2, 3, 4)
    threads: int = 2


QUICK = Settings(widths=NARROW, latent=8, grid=8, rounds=1, nets=(3,), threads=1)
EXACT = (
    *(f"calls_{what}_{side}" for side in ("stock", "exact", "fast") for what in
      ("unet", "nets_k3", "hints_k3")),
    "calls_as_predicted",
    "exact_difference",
    "checked_mac_ratio_k3",
    "checked_mac_ratio_exact_k3",
)  # fmt: skip
PREDICTED = {"stock": (20, 60, 60), "exact": (20, 60, 3), "fast": (4, 12, 3)}  # UNet, nets, hints
SOURCES = ("fast_sampling", "sampled", "sd15_random")
SAMPLING = ("attention_fit", "compact_unet", "lcm", "tiny_decoder", "unet_layout")
ROOT = Path(__file__).resolve().parents[1]


def measure(settings: Settings, keep: Path | None = None) -> dict[str, float]:
    """All figures, from parts kept in `keep`."""
    hush()
    torch.set_num_threads(settings.threads)  # of small nets two wait for each other
    results = finish(parts(settings), keep)
    figures = results["checked"] | results["whole"]["calls"]
    errors: list[float] = []
    for nets in settings.nets:
        figures |= _grid_figures(nets, results[f"grid_{nets}"], errors)
    figures |= _headline_figures(results["headline"], results["decoders"], errors)
    exact, before = results["exact"]["exact"], results["exact"]["stock"]
    figures["speedup_exact_20_steps_k3"] = _ratio(before, exact, "s", STOCK_STEPS)
    figures["mac_ratio_exact_20_steps_k3"] = _ratio(before, exact, "gmacs", STOCK_STEPS)
    figures["exact_difference"] = results["exact"]["difference"]
    figures["mac_vs_time_error_pct"] = 100 * statistics.mean(errors)
    figures["mac_vs_time_worst_pct"] = 100 * max(errors)
    return figures | _composition(results)


def parts(settings: Settings) -> dict[str, Part]:
    """Each good for the code that it measures."""
    code = [ROOT / "benchmarks" / f"{name}.py" for name in SOURCES]
    code += sorted((ROOT / "engine" / "control").glob("*.py"))
    code += [ROOT / "engine" / "sampling" / f"{name}.py" for name in SAMPLING]
    checksum = zlib.crc32(b"".join(file.read_bytes() for file in code))
    key = f"{settings} {checksum} torch {torch.__version__}"
    made = {
        "checked": _checked,
        "whole": partial(_whole_runs, settings),
        "exact": partial(_exact, settings),
        "decoders": partial(_decoders, settings),
        "headline": partial(_headline, settings),
        **{f"grid_{nets}": partial(_grid, settings, nets) for nets in settings.nets},
    }
    return {name: Part(make, key) for name, make in made.items()}


# --- the ways to sample


def _stock(settings: Settings, nets: int, latent: int) -> Way:
    widths = settings.widths
    options = chained(widths, nets, latent * PX)
    sides = [prompt(widths, seed, options) for seed in (0, 1)]
    model = stock(unet(widths, "full"))
    return Way(model, *sides, latent=latent, cfg=CFG, sampler="euler", scheduler="normal")


def _unrolled(settings: Settings, nets: int, latent: int) -> Way:
    return replace(_stock(settings, nets, latent), model=unet(settings.widths, "full"))


def _fast(settings: Settings, layout: str, nets: int, latent: int) -> Way:
    return replace(
        _stock(settings, nets, latent),
        model=lcm_model(unet(settings.widths, layout), guidance=8.0),
        cfg=1.0,
        sampler="lcm",
        scheduler="simple",
    )


# --- parts


def _grid(settings: Settings, nets: int, _done: Mapping[str, Result]) -> Result:
    ways = {"stock": _stock(settings, nets, settings.grid)}
    ways |= {layout: _fast(settings, layout, nets, settings.grid) for layout in LAYOUTS}
    return measured(ways, settings.rounds)


def _headline(settings: Settings, _done: Mapping[str, Result]) -> Result:
    layout, _, nets = HEADLINE
    ways = {
        "stock": _stock(settings, nets, settings.latent),
        "fast": _fast(settings, layout, nets, settings.latent),
    }
    return measured(ways, settings.rounds)


def _decoders(settings: Settings, _done: Mapping[str, Result]) -> Result:
    latent = torch.randn(1, 4, settings.latent, settings.latent)
    found: Result = {}
    for name, vae in (("full", full_decoder(settings.widths)), ("tiny", tiny_decoder())):
        with FlopCounterMode(display=False) as counter:
            vae.decode(latent)
        seconds: list[float] = []
        for _ in range(settings.rounds):
            began = time.perf_counter()
            vae.decode(latent)
            seconds.append(time.perf_counter() - began)
        found[name] = {"gmacs": counter.get_total_flops() / 2e9, "s": statistics.median(seconds)}
    return found


def _exact(settings: Settings, _done: Mapping[str, Result]) -> Result:
    """Core's chain of three against ours, nothing else changed."""
    ways = {
        "stock": _stock(settings, 3, settings.grid),
        "exact": _unrolled(settings, 3, settings.grid),
    }
    theirs, ours = (way.run(2) for way in ways.values())
    return {**measured(ways, settings.rounds), "difference": float((theirs - ours).abs().max())}


def _whole_runs(settings: Settings, _done: Mapping[str, Result]) -> Result:
    """Runs of all steps: what is called, and how long they take in one go."""
    layout, steps, nets = HEADLINE
    widths = settings.widths
    ways = {
        "stock": (_stock(settings, nets, settings.grid), STOCK_STEPS),
        "exact": (_unrolled(settings, nets, settings.grid), STOCK_STEPS),
        "fast": (_fast(settings, layout, nets, settings.grid), steps),
    }
    counted: dict[str, float] = {}
    seconds: dict[str, float] = {}
    as_predicted = True
    for name, (way, count) in ways.items():
        way.run(1)  # warm
        with calls([unet(widths, "full"), unet(widths, layout)], control_net(widths)) as seen:
            seconds[name] = sum(way.seconds(count))
        counted |= {
            f"calls_unet_{name}": seen["unet"],
            f"calls_nets_k3_{name}": seen["net"],
            f"calls_hints_k3_{name}": seen["hint"],
        }
        as_predicted &= (seen["unet"], seen["net"], seen["hint"]) == PREDICTED[name]
    counted["calls_as_predicted"] = float(as_predicted)
    return {"calls": counted, "s": seconds}


def _checked(_done: Mapping[str, Result]) -> dict[str, float]:
    """MACs at narrow widths: the same in every run of this code."""
    layout, steps, nets = HEADLINE
    before = {"gmacs": _stock(QUICK, nets, QUICK.grid).gmacs()}
    exact = {"gmacs": _unrolled(QUICK, nets, QUICK.grid).gmacs()}
    after = {"gmacs": _fast(QUICK, layout, nets, QUICK.grid).gmacs()}
    stock_gmacs = whole(before, "gmacs", STOCK_STEPS)
    return {
        "checked_mac_ratio_k3": round(stock_gmacs / whole(after, "gmacs", steps), 6),
        "checked_mac_ratio_exact_k3": round(stock_gmacs / whole(exact, "gmacs", STOCK_STEPS), 6),
    }


# --- figures


def _ratio(before: Result, after: Result, what: str, steps: int) -> float:
    return whole(before, what, STOCK_STEPS) / whole(after, what, steps)


def _grid_figures(nets: int, found: Result, errors: list[float]) -> dict[str, float]:
    before = found["stock"]
    figures: dict[str, float] = {
        f"s_stock_20_k{nets}": whole(before, "s", STOCK_STEPS),
        f"gmacs_stock_20_k{nets}": whole(before, "gmacs", STOCK_STEPS),
    }
    for layout in LAYOUTS:
        for steps in FAST_STEPS:
            name = f"{layout}_{steps}_k{nets}"
            quicker, fewer = (_ratio(before, found[layout], w, steps) for w in ("s", "gmacs"))
            figures |= {f"speedup_{name}": quicker, f"mac_ratio_{name}": fewer}
            errors.append(abs(quicker / fewer - 1))
    return figures


def _headline_figures(found: Result, decoders: Result, errors: list[float]) -> dict[str, float]:
    figures: dict[str, float] = {}
    steps = HEADLINE[1]
    for what, ratio in (("s", "speedup"), ("gmacs", "mac_ratio")):
        before, after = whole(found["stock"], what, STOCK_STEPS), whole(found["fast"], what, steps)
        full, tiny = (decoders[name][what] for name in ("full", "tiny"))
        figures |= {
            f"{ratio}_sampler_k3": before / after,
            f"{ratio}_end_to_end_k3": (before + full) / (after + tiny),
            f"{ratio}_end_to_end_full_decoder_k3": (before + full) / (after + full),
            f"{what}_sampler_stock_k3": before,
            f"{what}_sampler_fast_k3": after,
            f"{what}_full_decoder": full,
            f"{what}_tiny_decoder": tiny,
        }
    errors.append(abs(figures["speedup_sampler_k3"] / figures["mac_ratio_sampler_k3"] - 1))
    return figures


def _composition(results: Mapping[str, Result]) -> dict[str, float]:
    """How far composed seconds are from those of a whole run."""
    found, taken = results["grid_3"], results["whole"]["s"]
    layout, steps, _ = HEADLINE
    composed: dict[str, Any] = {
        "stock": whole(found["stock"], "s", STOCK_STEPS),
        "fast": whole(found[layout], "s", steps),
    }
    return {
        f"composed_error_pct_{name}": 100 * abs(seconds / taken[name] - 1)
        for name, seconds in composed.items()
    }
