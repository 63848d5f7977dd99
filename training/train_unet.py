"""Stages `stem`, `base`, `full`: the UNet, grown from layout to layout."""

from __future__ import annotations

import torch
from torch import Tensor

from .diffusion import add_noise, clean, draw_times, weighted_loss
from .libraries import UNet2DConditionModel
from .run import Average, Run, Setting, load_weights
from .shards import HELD_OUT, load_shards
from .text import encode, load_text_encoder, no_words
from .unet import LAYOUTS, build_unet, grown, start_as_identity

BATCH, RATE, EMPTY = 16, 1e-3, 0.1  # samples a step, learning rate, share without caption
CHECK_TIMES = (980, 850, 700, 500, 300, 100)
CHECKED = 64
AVERAGE = "average."  # prefix of the averaged weights in a file


def train(
    setting: Setting, layout: str, rate: float = RATE, hold: float = 1.0, batch: int = BATCH
) -> None:
    """Train `layout`, from its own weights, else grown from the layout before, else afresh.

    `hold` is the share of the budget at full rate; the rate then falls to 3 %.
    """
    latents, tokens = _data(setting)
    text = load_text_encoder(setting)
    run = Run(setting, f"unet_{layout}", rate=rate, hold=hold, floor=0.03, warm_up=100)
    unet, average = _start(setting, run, layout)
    unet = unet.to(setting.device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        unet.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
    )
    checker = build_unet(layout).eval().requires_grad_(False)
    checker = checker.to(setting.device, memory_format=torch.channels_last)
    held_context = encode(text, tokens[:CHECKED, 0])
    empty = no_words().to(setting.device)
    torch.manual_seed(1 + run.samples)
    held = min(HELD_OUT, len(latents) // 2)
    for _ in run.steps():
        rows = torch.randint(held, len(latents), (batch,))
        turns = torch.randint(tokens.shape[1], (batch,))
        said = tokens[rows, turns].long()
        said[torch.rand(batch) < EMPTY] = empty
        z = latents[rows]
        times = draw_times(batch).to(z.device)
        noise = torch.randn_like(z)
        noisy = add_noise(z, noise, times).contiguous(memory_format=torch.channels_last)
        out = unet(noisy, times, encode(text, said), return_dict=False)[0]
        floor = 0.1 if run.hold == 1 or run.share < run.hold else 0.3
        run.update(optimiser, unet.parameters(), weighted_loss(out, noise, times, floor), batch)
        average.update(unet)
        if run.due_to_save():
            _save(run, unet, average)
            checker.load_state_dict(average.values)
            run.log(x0_error=x0_errors(checker, latents[:CHECKED], held_context))
    _save(run, unet, average)
    checker.load_state_dict(average.values)
    run.log(x0_error=x0_errors(checker, latents[:CHECKED], held_context))


def train_stem(setting: Setting) -> None:
    train(setting, "stem")


def train_base(setting: Setting) -> None:
    train(setting, "base")


def train_full(setting: Setting) -> None:
    train(setting, "full", hold=0.4)


@torch.no_grad()
def x0_errors(unet: UNet2DConditionModel, latents: Tensor, context: Tensor) -> list[float]:
    """Mean squared error of the clean latents at `CHECK_TIMES`, the same noise every time."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(4))
    noise = noise.to(latents.device)
    found: list[float] = []
    for time in CHECK_TIMES:
        times = torch.full((len(latents),), time, device=latents.device)
        noisy = add_noise(latents, noise, times).contiguous(memory_format=torch.channels_last)
        guess = clean(unet(noisy, times, context, return_dict=False)[0], noisy, times)
        found.append(round(float(((guess - latents) ** 2).mean()), 4))
    return found


def load_unet(setting: Setting, layout: str = "full") -> UNet2DConditionModel:
    """The averaged weights, frozen."""
    unet = build_unet(layout)
    unet.load_state_dict(averaged(load_weights(setting.weights(f"unet_{layout}"))[0]))
    return unet.eval().requires_grad_(False).to(setting.device, memory_format=torch.channels_last)


def averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(AVERAGE): v for k, v in tensors.items() if k.startswith(AVERAGE)}


def current(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith(AVERAGE)}


def _data(setting: Setting) -> tuple[Tensor, Tensor]:
    latents = load_shards(setting.folder, "latents", ("latent",))["latent"].float()
    tokens = load_shards(setting.folder, "scenes", ("tokens",))["tokens"][: len(latents)]
    return latents.to(setting.device), tokens.to(setting.device)


def _start(setting: Setting, run: Run, layout: str) -> tuple[UNet2DConditionModel, Average]:
    torch.manual_seed(1)
    unet = start_as_identity(build_unet(layout))
    before = LAYOUTS.index(layout) - 1
    own = setting.weights(run.name)
    smaller = setting.weights(f"unet_{LAYOUTS[before]}") if before >= 0 else own
    decay = 0.998
    if own.exists():
        tensors = run.resume(own)
        new, mean = current(tensors), averaged(tensors)
    elif smaller.exists():
        tensors, fresh = run.resume(smaller), unet.state_dict()
        new, mean = grown(current(tensors), fresh), grown(averaged(tensors), fresh)
    else:
        return unet, Average(unet, decay)
    run.warm_up = 30
    unet.load_state_dict(new)
    average = Average(unet, decay, young=False)
    average.values = {name: mean[name].clone().to(setting.device) for name in average.values}
    return unet, average


def _save(run: Run, unet: UNet2DConditionModel, average: Average) -> None:
    mean = {AVERAGE + name: value for name, value in average.values.items()}
    run.save({**unet.state_dict(), **mean})
