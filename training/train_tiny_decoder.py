"""Stage `tiny-decoder`: reads what the frozen autoencoder wrote, on crops of the scenes."""

from __future__ import annotations

import torch
from torch import Tensor

from .averages import save, start_average
from .run import Run, Setting
from .shards import HELD_OUT, load_shards
from .tiny_decoder import build_tiny_decoder
from .train_autoencoder import as_signal, decibels, picture_loss

NAME = "tiny_decoder"
BATCH, RATE, DECAY = 8, 1e-3, 0.998
CROP, PX = 8, 8  # latents a side, pixels of one
CHECKED, CHECKED_IN_SMOKE = 32, 4


def train(setting: Setting) -> None:
    pictures = load_shards(setting.folder, "scenes", ("picture",))["picture"]
    latents = load_shards(setting.folder, "latents", ("latent",))["latent"].float()
    held = min(HELD_OUT, len(latents) // 2)
    torch.manual_seed(5)
    run = Run(setting, NAME, rate=RATE)
    model = build_tiny_decoder().to(setting.device, memory_format=torch.channels_last)
    average = start_average(run, model, DECAY, young=True)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
    )
    torch.manual_seed(5 + run.samples)
    for _ in run.steps():
        rows = torch.randint(held, len(latents), (BATCH,))
        z, x = crops(latents[rows], as_signal(pictures[rows]))
        out = model(z.to(setting.device, memory_format=torch.channels_last))
        run.update(optimiser, model.parameters(), picture_loss(out - x.to(setting.device)), BATCH)
        average.update(model)
        if run.due_to_save():
            save(run, model, average)
    save(run, model, average)
    model.load_state_dict(average.values)
    count = CHECKED_IN_SMOKE if setting.smoke else CHECKED
    with torch.no_grad():
        shown = model(latents[:count].to(setting.device)).cpu()
    run.log(psnr=decibels(shown, as_signal(pictures[:count])))


def crops(latents: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The same squares of both: [N, 4, 8, 8] and [N, 3, 64, 64], a place for each pair."""
    free = latents.shape[-1] - CROP + 1
    cut: list[tuple[Tensor, Tensor]] = []
    for z, x in zip(latents, pictures, strict=True):
        top, left = torch.randint(free, (2,)).tolist()
        rows, columns = slice(PX * top, PX * (top + CROP)), slice(PX * left, PX * (left + CROP))
        cut.append((z[:, top : top + CROP, left : left + CROP], x[:, rows, columns]))
    ours, theirs = zip(*cut, strict=True)
    return torch.stack(ours), torch.stack(theirs)
