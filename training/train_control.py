"""Stages `control KIND`: a ControlNet each, against the frozen full UNet."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from .averages import averaged, save, start_average
from .batches import Hinted
from .diffusion import add_noise, draw_times, weighted_loss
from .libraries import ControlNetModel, UNet2DConditionModel
from .members import load_unet
from .run import Run, Setting, load_weights

BATCH, RATE, EMPTY = 16, 7e-4, 0.2
ELSEWHERE = 0.2  # how much the error counts where the hint has nothing to tell
HINT_WIDTHS = (16, 32, 96, 256)  # core builds no other hint encoder
SWAP_STEP = 100  # logs by how much another hint then changes the output


def train(setting: Setting, kind: str) -> None:
    scenes, unet = Hinted(setting, kind, EMPTY), load_unet(setting)
    run = Run(setting, f"control_{kind}", rate=RATE, warm_up=30)
    torch.manual_seed(2)
    net = build_control_net(unet).to(setting.device, memory_format=torch.channels_last)
    average = start_average(run, net, 0.995, young=True)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
    )
    torch.manual_seed(2 + run.samples)
    random.seed(2 + run.samples)
    for step in run.steps():
        z, context, hint, told = scenes.draw(BATCH)
        times = draw_times(BATCH).to(setting.device)
        noise = torch.randn_like(z)
        noisy = add_noise(z, noise, times)
        out = controlled(unet, net, noisy, times, context, hint)
        loss = weighted_loss(out, noise, times, 0.3, ELSEWHERE + (1 - ELSEWHERE) * told)
        run.update(optimiser, net.parameters(), loss, BATCH)
        average.update(net)
        if step == SWAP_STEP:
            with torch.no_grad():
                other = controlled(unet, net, noisy, times, context, hint.roll(1, 0))
            run.log(swap_effect=round(float((out - other).norm() / out.norm()), 4))
        if run.due_to_save():
            save(run, net, average)
    save(run, net, average)
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
    return steered(unet, noisy, times, context, down, middle)


def steered(
    unet: UNet2DConditionModel,
    noisy: Tensor,
    times: Tensor,
    context: Tensor,
    down: list[Tensor],
    middle: Tensor,
) -> Tensor:
    """The UNet's output with these residuals."""
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
