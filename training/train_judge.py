"""Stage `judge`: trained on renders and on what the autoencoder makes of them, then frozen."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

from .captions import Caption, caption
from .judge import CELL, NAME, THING, Judge, Reading, adherence, read
from .judge_data import judge_data
from .libraries import CLIPTextModel
from .run import Run, Setting, load_weights
from .scenes import shard_seed
from .shards import HELD_OUT, SEEDS, SEEN, SHARD, shard_scenes
from .text import encode, load_text_encoder
from .words import END

BATCH, HEAT_PX = 32, 5.0
TEMPERATURE = 0.1


def train(setting: Setting) -> None:
    torch.manual_seed(0)
    random.seed(0)
    data = judge_data(setting)
    text = load_text_encoder(setting)
    judge = Judge()
    run = Run(setting, NAME, rate=2e-3, warm_up=30)
    if setting.weights(NAME).exists():
        judge.load_state_dict(run.resume(setting.weights(NAME)))
    judge = judge.to(setting.device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=run.rate, weight_decay=1e-2)
    torch.manual_seed(run.samples)
    for step in run.steps():
        rows = torch.randint(data.held, len(data.pictures), (BATCH,))
        pictures = data.pictures[rows]
        if step % 5 == 0:
            at = torch.randint(len(data.decoded), (BATCH,))
            rows, pictures = data.decoded_rows[at], data.decoded[at]
        reading = judge(spoilt(pictures.to(setting.device).float() / 255))
        truth = {
            key: value[rows].to(setting.device) for key, value in (data.maps | data.labels).items()
        }
        loss = _reading_loss(reading, truth) + 0.3 * _caption_loss(judge, reading, text, truth)
        run.update(optimiser, judge.parameters(), loss, BATCH)
        if run.due_to_save():
            run.save(judge.state_dict())
            run.log()
    run.save(judge.state_dict())
    held = data.pictures[: data.held].to(setting.device).float() / 255
    run.log(**figures(judge.eval(), held, held_captions(data.held)))


def _reading_loss(reading: Reading, truth: dict[str, Tensor]) -> Tensor:
    loss = F.cross_entropy(reading.scene, truth["scene"])
    for key in THING:
        logits = getattr(reading, key)
        loss = loss + F.cross_entropy(logits.flatten(0, 1), truth[key].flatten())
    loss = loss + 0.5 * F.cross_entropy(reading.segment, truth["segment"].long())
    loss = loss + 2 * (reading.depth - truth["depth"].float() / 255).abs().mean()
    return loss + 0.5 * _joint_loss(reading.heat, truth["keypoints"])


def _caption_loss(
    judge: Judge, reading: Reading, text: CLIPTextModel, truth: dict[str, Tensor]
) -> Tensor:
    """Of a batch's captions, which is of which picture?"""
    said = truth["tokens"][:, 0].long()
    rows, ends = torch.arange(len(said), device=said.device), (said == END).float().argmax(1)
    words = F.normalize(judge.words(encode(text, said)[rows, ends]), dim=1)
    return F.cross_entropy(reading.embedding @ words.T / TEMPERATURE, rows)


def figures(judge: Judge, pictures: Tensor, captions: list[Caption]) -> dict[str, float]:
    found = adherence(read(judge, pictures), captions)
    return {key: round(sum(each) / max(1, len(each)), 4) for key, each in found.items()}


def load_judge(setting: Setting) -> Judge:
    judge = Judge()
    judge.load_state_dict(load_weights(setting.weights(NAME))[0])
    return judge.eval().requires_grad_(False).to(setting.device)


def spoilt(pictures: Tensor) -> Tensor:
    """Blur, grain and slow colour drift, as a generator errs; [N, 3, H, W] stays in 0..1."""
    if random.random() < 0.7:
        width = random.uniform(0.2, 0.9)
        taps = torch.arange(-3, 4, device=pictures.device).float()
        kernel = torch.exp(-taps * taps / 2 / width**2)
        kernel = (kernel / kernel.sum()).expand(3, 1, 7)
        padded = F.pad(pictures, (3, 3, 3, 3), mode="replicate")
        across = F.conv2d(padded, kernel[:, :, None], groups=3)
        pictures = F.conv2d(across, kernel[:, :, :, None], groups=3)
    grain = torch.randn_like(pictures) * random.uniform(0, 0.05)
    slow = torch.randn(len(pictures), 3, 8, 8, device=pictures.device) * random.uniform(0, 0.06)
    drift = F.interpolate(slow, size=pictures.shape[-1], mode="bilinear")
    return (pictures + grain + drift).clamp(0, 1)


def held_captions(count: int) -> list[Caption]:
    scenes = shard_scenes(0, SHARD if count == HELD_OUT else 2 * count)
    return [caption(scenes, row, shard_seed(SEEDS[SEEN], 0)) for row in range(count)]


def _joint_loss(heat: Tensor, joints: Tensor) -> Tensor:
    """Cross entropy of each joint's heat with a small bump at its place; figures only."""
    there = torch.isfinite(joints).all((1, 2))
    if not there.any():
        return heat.sum() * 0
    heat, joints = heat[there], joints[there]
    height, width = heat.shape[2:]
    x = (torch.arange(width, device=heat.device) + 0.5) * CELL
    y = (torch.arange(height, device=heat.device) + 0.5) * CELL
    near_x = torch.exp(-((x - joints[..., :1]) ** 2) / (2 * HEAT_PX**2))
    near_y = torch.exp(-((y - joints[..., 1:]) ** 2) / (2 * HEAT_PX**2))
    bump = (near_y[..., :, None] * near_x[..., None, :]).flatten(2)
    bump = bump / bump.sum(-1, keepdim=True).clamp(min=1e-6)
    return -(bump * heat.flatten(2).log_softmax(-1)).sum(-1).mean()
