"""Stage `autoencoder`: crops first, then whole pictures; whitened at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from .autoencoder import Autoencoder, start_as_identity, whiten
from .run import Run, Setting, load_weights
from .shards import HELD_OUT, load_shards

NAME = "autoencoder"
CROP, CROPS, WHOLE = 64, 8, 2  # pixels a side, crops a step, whole pictures a step
WHOLE_FROM = 0.75  # share of the budget


def train(setting: Setting) -> None:
    torch.manual_seed(0)
    pictures = load_shards(setting.folder, "scenes", ("picture",))["picture"]
    count = min(HELD_OUT, len(pictures) // 2)
    held, pictures = pictures[:count], pictures[count:]
    model = start_as_identity(Autoencoder())
    run = Run(setting, NAME, rate=1.5e-3)
    if setting.weights(NAME).exists():
        model.load_state_dict(run.resume(setting.weights(NAME)))
    model = model.to(setting.device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=run.rate, betas=(0.9, 0.99), weight_decay=1e-4
    )
    generator = torch.Generator().manual_seed(run.samples + 7)
    for _ in run.steps():
        batch = _batch(pictures, run.share > WHOLE_FROM, generator).to(setting.device)
        run.update(optimiser, model.parameters(), loss(model, batch), len(batch))
        if run.due_to_save():
            run.save(model.state_dict())
            run.log(psnr=psnr(model, held[:32].to(setting.device)))
    with torch.no_grad():
        sample = as_signal(pictures[:: max(1, len(pictures) // 500)].to(setting.device))
        latents = torch.cat([model.moments(part)[0] for part in sample.split(50)])
    whiten(model, latents)
    run.save(model.state_dict())
    run.log(psnr=psnr(model, held[:64].to(setting.device)))


def loss(model: Autoencoder, x: Tensor) -> Tensor:
    """The picture's, and a little KL."""
    mean, log_variance = model.moments(x)
    log_variance = log_variance.clamp(-20, 4)
    shown = model.decode(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    return picture_loss(shown - x) + 1e-4 * divergence


def picture_loss(error: Tensor) -> Tensor:
    """L1 + L2 + half the L1 of first differences, of [N, 3, H, W]."""
    slopes = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + (error**2).mean() + 0.5 * slopes


@torch.no_grad()
def psnr(model: Autoencoder, pictures: Tensor) -> float:
    """Of what comes back of them, in dB."""
    x = as_signal(pictures)
    return decibels(model.decode(model.moments(x)[0]), x)


def decibels(shown: Tensor, pictures: Tensor) -> float:
    """Mean over pictures, -1..1, of -10 log10 of the mean squared error in 0..1."""
    error = (shown.clamp(-1, 1) - pictures) / 2
    return round(float((-10 * (error**2).mean((1, 2, 3)).log10()).mean()), 2)


def as_signal(pictures: Tensor) -> Tensor:
    """Bytes to -1..1."""
    return (pictures.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def load_autoencoder(setting: Setting) -> Autoencoder:
    model = Autoencoder()
    model.load_state_dict(load_weights(setting.weights(NAME))[0])
    return model.eval().requires_grad_(False).to(setting.device, memory_format=torch.channels_last)


def _batch(pictures: Tensor, whole: bool, generator: torch.Generator) -> Tensor:
    """Crops lean towards the lower two thirds, where things are."""
    count = WHOLE if whole else CROPS
    rows = torch.randint(len(pictures), (count,), generator=generator)
    chosen = pictures[rows]
    if whole:
        return as_signal(chosen)
    free = chosen.shape[-1] - CROP
    left = torch.randint(free + 1, (count,), generator=generator).tolist()
    top = torch.randint(free + 1, (count,), generator=generator).clamp(min=free // 4).tolist()
    crops = [
        picture[:, y : y + CROP, x : x + CROP]
        for picture, x, y in zip(chosen, left, top, strict=True)
    ]
    return as_signal(torch.stack(crops))
