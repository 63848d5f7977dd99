"""Stages `control KIND`: a ControlNet each, against the frozen full UNet."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from .diffusion import add_noise, draw_times, weighted_loss
from .hints import EDGE_HINTS, hints, keys
from .libraries import ControlNetModel, UNet2DConditionModel
from .run import Average, Run, Setting, load_weights
from .shards import HELD_OUT, load_shards
from .text import encode, load_text_encoder, no_words
from .train_unet import AVERAGE, averaged, current, load_unet

BATCH, RATE, EMPTY = 16, 7e-4, 0.2
HINT_WIDTHS = (16, 32, 96, 256)  # core builds no other hint encoder
WITH_FIGURE = 0.9  # share of a pose batch that has one
SWAP_STEP = 100  # logs by how much another hint then changes the output


def train(setting: Setting, kind: str) -> None:
    stored = load_shards(setting.folder, "scenes", ("tokens", *keys(kind)))
    latents = load_shards(setting.folder, "latents", ("latent",))["latent"].float()
    text, unet = load_text_encoder(setting), load_unet(setting)
    run = Run(setting, f"control_{kind}", rate=RATE, warm_up=30)
    net, average = _start(setting, run, unet)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
    )
    torch.manual_seed(2 + run.samples)
    random.seed(2 + run.samples)
    empty = no_words()
    draw = _Rows(stored, len(latents))
    for step in run.steps():
        rows = draw(BATCH)
        ways = random.choices(EDGE_HINTS, k=BATCH)
        hint = hints(kind, stored, rows, ways).to(setting.device)
        said = stored["tokens"][rows, torch.randint(stored["tokens"].shape[1], (BATCH,))].long()
        said[torch.rand(BATCH) < EMPTY] = empty
        context = encode(text, said.to(setting.device))
        times = draw_times(BATCH).to(setting.device)
        z = latents[rows].to(setting.device)
        noise = torch.randn_like(z)
        noisy = add_noise(z, noise, times)
        out = controlled(unet, net, noisy, times, context, hint)
        run.update(optimiser, net.parameters(), weighted_loss(out, noise, times, 0.3), BATCH)
        average.update(net)
        if step == SWAP_STEP:
            with torch.no_grad():
                other = controlled(unet, net, noisy, times, context, hint.roll(1, 0))
            run.log(swap_effect=round(float((out - other).norm() / out.norm()), 4))
        if run.due_to_save():
            _save(run, net, average)
    _save(run, net, average)
    run.log()


def controlled(
    unet: UNet2DConditionModel,
    net: ControlNetModel,
    noisy: Tensor,
    times: Tensor,
    context: Tensor,
    hint: Tensor,
    strength: float = 1.0,
) -> Tensor:
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    down, middle = net(
        noisy, times, context, controlnet_cond=hint, conditioning_scale=strength, return_dict=False
    )
    return unet(
        noisy,
        times,
        context,
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
        return_dict=False,
    )[0]


def build_control_net(unet: UNet2DConditionModel) -> ControlNetModel:
    """A copy of the UNet's encoder with a hint encoder that passes differences on from step 1.

    With torch's own start what two hints differ by is 1e-5 after the hint encoder; drawn for
    ReLU's gain it is 0.2. The zero convolutions stay zero.
    """
    net = ControlNetModel.from_unet(
        unet, conditioning_channels=3, conditioning_embedding_out_channels=HINT_WIDTHS
    )
    embedding = net.controlnet_cond_embedding
    with torch.no_grad():
        for conv in (embedding.conv_in, *embedding.blocks):
            torch.nn.init.kaiming_normal_(conv.weight, nonlinearity="relu").mul_(1.2)
            conv.bias.zero_()
        torch.nn.init.kaiming_normal_(embedding.conv_out.weight, nonlinearity="linear").mul_(0.7)
        embedding.conv_out.bias.zero_()
    return net.train().requires_grad_(True)


def load_control_net(setting: Setting, kind: str, unet: UNet2DConditionModel) -> ControlNetModel:
    """The averaged weights, frozen."""
    net = build_control_net(unet)
    net.load_state_dict(averaged(load_weights(setting.weights(f"control_{kind}"))[0]))
    return net.eval().requires_grad_(False).to(setting.device, memory_format=torch.channels_last)


class _Rows:
    """Chooses training scenes: anyone, or for keypoints mostly such with a figure."""

    def __init__(self, stored: dict[str, Tensor], count: int) -> None:
        held = min(HELD_OUT, count // 2)
        self.all = torch.arange(held, count)
        self.figures = self.all
        if "keypoints" in stored:
            there = torch.isfinite(stored["keypoints"][held:count]).all((1, 2))
            self.figures = self.all[there]

    def __call__(self, count: int) -> Tensor:
        figures = self.figures[torch.randint(len(self.figures), (count,))]
        anyone = self.all[torch.randint(len(self.all), (count,))]
        return torch.where(torch.rand(count) < WITH_FIGURE, figures, anyone)


def _start(
    setting: Setting, run: Run, unet: UNet2DConditionModel
) -> tuple[ControlNetModel, Average]:
    torch.manual_seed(2)
    net = build_control_net(unet)
    own, mean = setting.weights(run.name), None
    if own.exists():
        tensors = run.resume(own)
        net.load_state_dict(current(tensors))
        mean = averaged(tensors)
    net = net.to(setting.device, memory_format=torch.channels_last)
    average = Average(net, 0.995, young=mean is None)
    if mean is not None:
        average.values = {name: mean[name].clone().to(setting.device) for name in average.values}
    return net, average


def _save(run: Run, net: ControlNetModel, average: Average) -> None:
    mean = {AVERAGE + name: value for name, value in average.values.items()}
    run.save({**net.state_dict(), **mean})
