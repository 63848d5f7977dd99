"""Stages `lcm...`: a compact UNet for one to eight steps, by latent consistency distillation.

The family's are made in two phases (EdgeFusion, arXiv 2404.11925): the student comes from feature
distillation, and the full UNet teaches in both. The guidance is fixed and ends up in the weights
(as in PixArt-delta, arXiv 2401.05252), so that the result is a plain UNet.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from .averages import save, start_average
from .batches import Captioned
from .consistency import GRID, consistent, grid_time, pseudo_huber, solver_step
from .diffusion import add_noise
from .files import JUDGE, open_judge
from .generate import GUIDANCE, Family, generate
from .judge import NAME as READER
from .judge import adherence, read
from .libraries import UNet2DConditionModel
from .members import COMPARED, UNETS, load_unet
from .run import Run, Setting
from .shards import HELD_OUT
from .train_autoencoder import load_autoencoder
from .train_judge import held_captions
from .train_student import pruned_unet

BATCH, RATE, DECAY = 24, 5e-4, 0.95
CHECKED, CHECKED_IN_SMOKE, CHECKED_STEPS = 32, 2, 4


@dataclass(frozen=True, slots=True)
class Recipe:
    """Members of the family to start from, and to be taught by; no start: the pruned full UNet."""

    start: str | None
    teacher: str = "full"


RECIPES = {
    "lcm": Recipe("base"),
    "lcm-tiny": Recipe("tiny"),
    "lcm-direct": Recipe(None),  # no feature distillation before
    "lcm-self": Recipe("base", teacher="base"),  # a teacher as small as the student
}


def train(setting: Setting, kind: str) -> None:
    """`kind`: the name of a recipe."""
    recipe, member = RECIPES[kind], (UNETS | COMPARED)[kind]
    scenes, teacher = Captioned(setting), load_unet(setting, recipe.teacher)
    run = Run(setting, member.weights, rate=RATE, floor=0.05, warm_up=30)
    if recipe.start is None:
        student = pruned_unet(teacher, member.layout)
    else:
        student = load_unet(setting, recipe.start).train().requires_grad_(True)
    average = start_average(run, student, DECAY, young=False)
    target = copy.deepcopy(student).eval().requires_grad_(False)
    lesson = Lesson(teacher, target, scenes.unsaid(BATCH))
    optimiser = torch.optim.AdamW(
        student.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    progress = Progress(setting, scenes, target)
    torch.manual_seed(4 + run.samples)
    for _ in run.steps():
        z, context = scenes.draw(BATCH)
        number = torch.randint(1, GRID + 1, (BATCH,)).to(z.device)
        times = grid_time(number)
        noisy = add_noise(z, torch.randn_like(z), times)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        lesson.target.load_state_dict(average.values)
        wanted = lesson(noisy, number, context)
        found = consistent(student(noisy, times, context, return_dict=False)[0], noisy, times)
        run.update(optimiser, student.parameters(), pseudo_huber(found, wanted), BATCH)
        average.update(student)
        if run.due_to_save():
            save(run, student, average)
            run.log(**progress(average.values))
    save(run, student, average)
    run.log(**progress(average.values))


@dataclass(frozen=True, slots=True)
class Lesson:
    """Where the student's jump should end: where the average's does, one solver step on.

    unsaid: [N, 77, width], contexts of the empty caption.
    """

    teacher: UNet2DConditionModel
    target: UNet2DConditionModel
    unsaid: Tensor
    guidance: float = GUIDANCE

    @torch.no_grad()
    def __call__(self, noisy: Tensor, number: Tensor, context: Tensor) -> Tensor:
        times = grid_time(number)
        both = torch.cat([self.unsaid[: len(noisy)], context])
        guess = self.teacher(noisy.repeat(2, 1, 1, 1), times.repeat(2), both, return_dict=False)[0]
        without, with_words = guess.chunk(2)
        predicted = without + self.guidance * (with_words - without)
        before = solver_step(predicted, noisy, number)
        earlier = grid_time((number - 1).clamp(min=1))
        jump = self.target(before, earlier, context, return_dict=False)[0]
        first = (number == 1).view(-1, 1, 1, 1)  # there the path ends
        return torch.where(first, before, consistent(jump, before, earlier))


class Progress:
    """Share of things with the right shape and colour in four steps, as the judge sees them."""

    def __init__(self, setting: Setting, scenes: Captioned, unet: UNet2DConditionModel) -> None:
        own = setting.weights(READER)
        self.judge = open_judge(own if own.exists() else JUDGE).to(setting.device)
        self.family = Family(unet, scenes.text, load_autoencoder(setting))
        count = CHECKED_IN_SMOKE if setting.smoke else CHECKED
        self.told = held_captions(HELD_OUT)[:count]

    def __call__(self, weights: dict[str, Tensor]) -> dict[str, float]:
        self.family.unet.load_state_dict(weights)
        words = [told.words for told in self.told]
        pictures = generate(self.family, words, 1, sampler="lcm", steps=CHECKED_STEPS)
        both = adherence(read(self.judge, pictures), self.told)["both"]
        return {"both_4_steps": round(sum(both) / len(both), 3)}
