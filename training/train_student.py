"""Stages `distill-LAYOUT`: a compact UNet by feature distillation from the full one."""

from __future__ import annotations

import torch

from .averages import save, start_average
from .batches import Captioned
from .diffusion import add_noise, draw_times
from .distillation import Watched, shares_missed, taught_loss
from .libraries import UNet2DConditionModel
from .members import UNETS, load_unet
from .run import Run, Setting
from .students import feature_pairs, pruned
from .train_unet import Checker
from .unet import build_unet

BATCH, RATE, EMPTY, DECAY = 16, 1e-3, 0.1, 0.99


def train(setting: Setting, kind: str) -> None:
    """`kind`: the student's layout, base or tiny. The teacher is the full UNet's average."""
    scenes, teacher = Captioned(setting, EMPTY), load_unet(setting)
    run = Run(setting, UNETS[kind].weights, rate=RATE, floor=0.03, warm_up=30)
    student = pruned_unet(teacher, kind)
    average = start_average(run, student, DECAY, young=False)
    optimiser = torch.optim.AdamW(
        student.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
    )
    ours, theirs = zip(*feature_pairs(kind), strict=True)
    features, wanted = Watched(student, ours), Watched(teacher, theirs)
    checker = Checker(setting, kind, scenes)
    teachers = Checker(setting, "full", scenes)(teacher.state_dict())
    run.log(x0_error=checker(average.values), teacher=teachers)
    torch.manual_seed(3 + run.samples)
    for _ in run.steps():
        z, context = scenes.draw(BATCH)
        times = draw_times(BATCH).to(z.device)
        noise = torch.randn_like(z)
        noisy = add_noise(z, noise, times).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            taught = teacher(noisy, times, context, return_dict=False)[0]
        out = student(noisy, times, context, return_dict=False)[0]
        missed = shares_missed(features.outputs(), wanted.outputs())
        loss = taught_loss(out, noise, taught, times, missed)
        run.update(optimiser, student.parameters(), loss, BATCH)
        average.update(student)
        if run.due_to_save():
            save(run, student, average)
            run.log(x0_error=checker(average.values))
    save(run, student, average)
    run.log(x0_error=checker(average.values))


def pruned_unet(teacher: UNet2DConditionModel, layout: str) -> UNet2DConditionModel:
    """A student with the teacher's weights, to be trained."""
    student = build_unet(layout)
    student.load_state_dict(pruned(teacher.state_dict(), student.state_dict()))
    return student.to(teacher.device, memory_format=torch.channels_last)
