"""Stages `stem`, `base`, `full`: the UNet, grown from layout to layout."""

from __future__ import annotations

import torch
from torch import Tensor

from .averages import averaged, current, save, start_average, start_from
from .batches import Captioned
from .diffusion import add_noise, clean, draw_times, weighted_loss
from .libraries import UNet2DConditionModel
from .run import Average, Run, Setting
from .unet import LAYOUTS, build_unet, grown, start_as_identity

BATCH, RATE = 16, 1e-3  # samples a step, learning rate
EMPTY, DROPOUT = 0.1, 0.15  # share of captions without words, of colours and shapes not told
CHECK_TIMES = (980, 850, 700, 500, 300, 100)
CHECKED, CHECKED_IN_SMOKE = 64, 8
DECAY = 0.998


def train(
    setting: Setting, layout: str, rate: float = RATE, hold: float = 1.0, batch: int = BATCH
) -> None:
    """Train `layout`, from its own weights, else grown from the layout before, else afresh.

    `hold` is the share of the budget at full rate; the rate then falls to 3 %.
    """
    scenes = Captioned(setting, EMPTY, DROPOUT)
    run = Run(setting, f"unet_{layout}", rate=rate, hold=hold, floor=0.03, warm_up=100)
    unet, average = _start(setting, run, layout)
    optimiser = torch.optim.AdamW(
        unet.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
    )
    checker = Checker(setting, layout, scenes)
    torch.manual_seed(1 + run.samples)
    for _ in run.steps():
        z, context = scenes.draw(batch)
        times = draw_times(batch).to(z.device)
        noise = torch.randn_like(z)
        noisy = add_noise(z, noise, times).contiguous(memory_format=torch.channels_last)
        out = unet(noisy, times, context, return_dict=False)[0]
        floor = 0.1 if run.hold == 1 or run.share < run.hold else 0.3
        run.update(optimiser, unet.parameters(), weighted_loss(out, noise, times, floor), batch)
        average.update(unet)
        if run.due_to_save():
            save(run, unet, average)
            run.log(x0_error=checker(average.values))
    save(run, unet, average)
    run.log(x0_error=checker(average.values))


def train_stem(setting: Setting) -> None:
    train(setting, "stem")


def train_base(setting: Setting) -> None:
    train(setting, "base")


def train_full(setting: Setting) -> None:
    train(setting, "full", hold=0.4)


class Checker:
    """`x0_errors` of weights of a layout on the first held-out scenes."""

    def __init__(self, setting: Setting, layout: str, scenes: Captioned) -> None:
        unet = build_unet(layout).eval().requires_grad_(False)
        self.unet = unet.to(setting.device, memory_format=torch.channels_last)
        self.held = scenes.held(CHECKED_IN_SMOKE if setting.smoke else CHECKED)

    def __call__(self, weights: dict[str, Tensor]) -> list[float]:
        self.unet.load_state_dict(weights)
        return x0_errors(self.unet, *self.held)


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


def _start(setting: Setting, run: Run, layout: str) -> tuple[UNet2DConditionModel, Average]:
    torch.manual_seed(1)
    unet = start_as_identity(build_unet(layout))
    fresh = {name: value.clone() for name, value in unet.state_dict().items()}
    unet = unet.to(setting.device, memory_format=torch.channels_last)
    before = LAYOUTS.index(layout) - 1
    own = setting.weights(run.name)
    if not own.exists() and before >= 0:
        smaller = setting.weights(f"unet_{LAYOUTS[before]}")
        if smaller.exists():
            run.warm_up = 30
            tensors = run.resume(smaller)
            new, mean = (grown(part(tensors), fresh) for part in (current, averaged))
            return unet, start_from(unet, new, mean, DECAY)
    if own.exists():
        run.warm_up = 30
    return unet, start_average(run, unet, DECAY, young=True)
