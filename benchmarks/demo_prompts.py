"""Part of `demo_quality`: how well pictures agree with captions, and what each layer carries."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..training.captions import Caption, caption
from ..training.diffusion import add_noise, clean
from ..training.generate import Family, generate
from ..training.judge import Judge, adherence, read
from ..training.render import render
from ..training.scenes import Scenes, sample_scenes
from ..training.students import pruned
from ..training.text import encode
from ..training.unet import build_unet
from ..training.words import token_rows
from .parts import Part, Result
from .statistics import interval, mean

if TYPE_CHECKING:
    from .demo_quality import Settings

HELD_SEED, UNSEEN_SEED = 2_000_001, 2_000_002  # above every shard's seed but the judge's
STATEMENTS = ("scene", "colour", "shape", "both", "size", "place", "pose")
SAMPLERS = {"ancestral": "", "solver": "_solver"}  # ending of the deterministic one's figures
BLOCK = 100  # captions a part
SWAP_TIME, SWAPPED = 850, 64


def prompt_parts(family: Family, judge: Judge, key: str, settings: Settings) -> dict[str, Part]:
    scenes = sample_scenes(settings.captions, HELD_SEED)
    told = [caption(scenes, row, HELD_SEED) for row in range(len(scenes))]
    base, key = key, f"{key} of {settings.captions}"
    parts = {"truth": Part(partial(_truth, family, judge, scenes, told), key)}
    for sampler in SAMPLERS:
        for seed in range(1, settings.seeds + 1):
            for at in range(0, len(told), BLOCK):
                some = told[at : at + BLOCK]
                make = partial(_block, family, judge, some, seed, at, sampler)
                parts[f"prompts_{sampler}_{seed}_{at}"] = Part(make, key)
    if settings.unseen:
        parts["unseen"] = Part(
            partial(_unseen, family, judge, settings.unseen), f"{base} {settings.unseen}"
        )
    if settings.pruned:
        some = told[: settings.pruned]
        parts["pruned"] = Part(partial(_pruned, family, judge, some), f"{key} {len(some)}")
    parts["layers"] = Part(partial(_swaps, family), key)
    return parts


def prompt_figures(results: Mapping[str, Result]) -> dict[str, float]:
    figures: dict[str, float] = {**results["truth"]["figures"]}
    for sampler, ending in SAMPLERS.items():
        blocks = [found for name, found in results.items() if f"prompts_{sampler}_" in name]
        for key in STATEMENTS:
            answers = [value for block in blocks for value in block["answers"][key]]
            if answers:
                figures[key + ending] = mean(answers)
        both = [value for block in blocks for value in block["answers"]["both"]]
        figures[f"both{ending}_lower"], figures[f"both{ending}_upper"] = interval(both)
    shown = [results[name]["moments"] for name in results if "prompts_ancestral_1_" in name]
    true = results["truth"]
    figures["embedder_distance"] = _distance(_joined(shown), true["moments"])
    figures["embedder_distance_reconstructed"] = _distance(
        true["reconstructed_moments"], true["moments"]
    )
    if "unseen" in results:
        figures |= results["unseen"]
        figures["unseen_drop"] = figures["both"] - figures["unseen_both"]
    if "pruned" in results:
        figures["pruned_both"] = mean(results["pruned"]["both"])
        full = results["prompts_ancestral_1_0"]["answers"]["both"][: len(results["pruned"]["both"])]
        figures["prune_drop"] = mean(full) - figures["pruned_both"]
    return figures | results["layers"]


def drawn(family: Family, told: list[Caption], seed: int, sampler: str) -> Tensor:
    return generate(family, [each.words for each in told], seed, sampler=sampler)


def statements(judge: Judge, pictures: Tensor, told: list[Caption]) -> dict[str, float]:
    found = adherence(read(judge, pictures), told)
    return {key: mean(found[key]) for key in STATEMENTS if found[key]}


def _truth(
    family: Family, judge: Judge, scenes: Scenes, told: list[Caption], _: Mapping[str, Result]
) -> Result:
    """What the judge reads on true pictures and on what the autoencoder makes of them."""
    truth = render(scenes).picture
    shown = reconstructed(family, truth)
    figures = {f"probe_ceiling_{k}": v for k, v in statements(judge, shown, told).items()}
    figures |= {f"probe_renders_{k}": v for k, v in statements(judge, truth, told).items()}
    figures["psnr_db"] = float((-10 * ((shown - truth) ** 2).mean((1, 2, 3)).log10()).mean())
    return {
        "figures": figures,
        "moments": _moments(judge, truth),
        "reconstructed_moments": _moments(judge, shown),
    }


def _block(
    family: Family,
    judge: Judge,
    told: list[Caption],
    seed: int,
    at: int,
    sampler: str,
    _: Mapping[str, Result],
) -> Result:
    pictures = drawn(family, told, 1000 * seed + at, sampler)
    return {
        "answers": adherence(read(judge, pictures), told),
        "moments": _moments(judge, pictures),
    }


def _unseen(family: Family, judge: Judge, count: int, _: Mapping[str, Result]) -> Result:
    scenes = sample_scenes(count, UNSEEN_SEED, unseen=True)
    told = [caption(scenes, row, UNSEEN_SEED) for row in range(len(scenes))]
    found = statements(judge, drawn(family, told, 1, "ancestral"), told)
    ceiling = statements(judge, reconstructed(family, render(scenes).picture), told)
    return {f"unseen_{key}": found[key] for key in ("colour", "shape", "both")} | {
        "probe_ceiling_unseen_both": ceiling["both"]
    }


def _pruned(family: Family, judge: Judge, told: list[Caption], _: Mapping[str, Result]) -> Result:
    """The Base layout by BK-SDM's keep rule, not trained any further; first block's noise."""
    base = build_unet("base")
    base.load_state_dict(pruned(family.unet.state_dict(), base.state_dict()))
    base.eval().requires_grad_(False)
    small = Family(base, family.text, family.autoencoder)
    pictures = drawn(small, told, 1000, "ancestral")
    return {"both": adherence(read(judge, pictures), told)["both"]}


@torch.no_grad()
def reconstructed(family: Family, pictures: Tensor) -> Tensor:
    """Pictures as the autoencoder gives them back: the best that a model can do."""
    model = family.autoencoder
    parts = [
        model.decode(model.moments(part * 2 - 1)[0]).clamp(-1, 1) / 2 + 0.5
        for part in pictures.split(25)
    ]
    return torch.cat(parts)


# --- distance of embeddings


def _moments(judge: Judge, pictures: Tensor) -> dict[str, Any]:
    """Count, mean and mean square of the judge's embeddings."""
    found = read(judge, pictures).embedding.double()
    return {
        "count": len(found),
        "mean": found.mean(0).tolist(),
        "square": (found**2).mean(0).tolist(),
    }


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    count = sum(part["count"] for part in parts)

    def joined(key: str) -> list[float]:
        columns = zip(*([x * part["count"] for x in part[key]] for part in parts), strict=True)
        return [sum(column) / count for column in columns]

    return {"count": count, "mean": joined("mean"), "square": joined("square")}


def _distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Frechet distance of embeddings with diagonal covariances (no unit)."""
    means, spreads = [], []
    for found in (one, other):
        means.append(torch.tensor(found["mean"], dtype=torch.float64))
        square = torch.tensor(found["square"], dtype=torch.float64)
        spreads.append((square - means[-1] ** 2).clamp(min=0).sqrt())
    return float((means[0] - means[1]).pow(2).sum() + (spreads[0] - spreads[1]).pow(2).sum())


# --- layers


@torch.no_grad()
def _swaps(family: Family, _: Mapping[str, Result]) -> Result:
    """How much a part carries: x0 error at one time with its output swapped between pictures."""
    scenes = sample_scenes(SWAPPED, HELD_SEED)
    pictures = render(scenes).picture
    latents = torch.cat([family.autoencoder.moments(p * 2 - 1)[0] for p in pictures.split(25)])
    words = [token_rows(caption(scenes, row, HELD_SEED).words) for row in range(SWAPPED)]
    context = encode(family.text, torch.tensor(words))
    times = torch.full((SWAPPED,), SWAP_TIME)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(4))
    noisy = add_noise(latents, noise, times)

    def error() -> float:
        out = family.unet(noisy, times, context, return_dict=False)[0]
        return float(((clean(out, noisy, times) - latents) ** 2).mean())

    plain = error()
    parts = {"middle": family.unet.mid_block}
    parts |= {f"up_{level}": block for level, block in enumerate(family.unet.up_blocks[:-1])}
    figures = {"x0_error_850": plain}
    for name, part in parts.items():
        hook = part.register_forward_hook(lambda _m, _i, out: out.roll(1, 0))
        figures[f"swap_{name}"] = error() / plain
        hook.remove()
    return figures
