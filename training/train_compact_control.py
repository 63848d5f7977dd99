"""Stages `compact-control-KIND`: a ControlNet with one ResNet a level for the Base student.

It learns the residuals that the student reads of the full net, what the student makes of them,
and the task: BK-SDM's recipe carried over to ControlNets.
"""

from __future__ import annotations

import random

import torch

from .averages import save, start_average
from .batches import Hinted
from .diffusion import add_noise, draw_times
from .distillation import shares_missed, taught_loss
from .libraries import ControlNetModel, UNet2DConditionModel
from .members import load_unet
from .run import Run, Setting
from .students import control_start, encoder_outputs, kept_residuals
from .train_control import build_control_net, load_control_net, steered

BATCH, RATE, EMPTY, DECAY = 16, 7e-4, 0.2, 0.99
STUDENT = "base"


def weights_name(kind: str) -> str:
    return f"compact_control_{kind}"


def train(setting: Setting, kind: str) -> None:
    """`kind`: of hint. The teacher is the full ControlNet's average."""
    scenes, unet = Hinted(setting, kind, EMPTY), load_unet(setting, STUDENT)
    teacher = load_control_net(setting, kind, load_unet(setting))
    run = Run(setting, weights_name(kind), rate=RATE, floor=0.03, warm_up=30)
    net = pruned_control_net(unet, teacher)
    average = start_average(run, net, DECAY, young=False)
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        learning, lr=RATE, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
    )
    outputs, recent = encoder_outputs(unet), torch.ones(())
    torch.manual_seed(6 + run.samples)
    random.seed(6 + run.samples)
    for step in run.steps():
        z, context, hint, _ = scenes.draw(BATCH)
        times = draw_times(BATCH).to(setting.device)
        noise = torch.randn_like(z)
        noisy = add_noise(z, noise, times).contiguous(memory_format=torch.channels_last)
        given = (noisy, times, context)
        with torch.no_grad():
            down, middle = teacher(*given, controlnet_cond=hint, return_dict=False)
            kept, middle = kept_residuals(down, middle, outputs)
            taught = steered(unet, *given, kept, middle)
        ours, own_middle = net(*given, controlnet_cond=hint, return_dict=False)
        missed = shares_missed([*ours, own_middle], [*kept, middle])
        out = steered(unet, *given, ours, own_middle)
        run.update(optimiser, learning, taught_loss(out, noise, taught, times, missed), BATCH)
        average.update(net)
        recent = missed.detach() if step == 0 else recent.lerp(missed.detach(), 0.02)
        if run.due_to_save():
            save(run, net, average)
            run.log(missed=round(float(recent), 4))
    save(run, net, average)
    run.log(missed=round(float(recent), 4))


def pruned_control_net(unet: UNet2DConditionModel, teacher: ControlNetModel) -> ControlNetModel:
    """A net of the student's shape with the teacher's weights; its hint encoder stays as it is."""
    net = build_control_net(unet)
    net.load_state_dict(control_start(teacher.state_dict(), net.state_dict()))
    net.controlnet_cond_embedding.requires_grad_(False)
    return net.to(unet.device, memory_format=torch.channels_last)
