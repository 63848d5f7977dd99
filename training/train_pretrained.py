"""`tandem distill`: BK-SDM's feature distillation and LCM's, of a pretrained SD1.5-class model.

The recipe is EdgeFusion's (arXiv 2404.11925): the full model teaches in both phases, and the
second starts from the first. Numbers by default are those of BK-SDM (arXiv 2305.15798) and, for a
guidance that is fixed, PixArt-delta (arXiv 2401.05252).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from ..engine.sampling.checksum import weights_crc32
from .averages import load_averaged, save, start_average
from .consistency import GRID, consistent, grid_time, pseudo_huber
from .diffusion import STEPS, add_noise
from .distillation import Watched, bk_loss
from .libraries import UNet2DConditionModel
from .long_run import DTYPES, Fixed, LongRun
from .pairs import Pairs, encode_pairs, find_pairs
from .pretrained import Pretrained, student_of
from .run import Average, Setting
from .students import feature_pairs
from .train_lcm import Lesson

ENCODED, MODELS = "pairs", "models"  # folders
WARM_UP = 500
Loss = Callable[[Tensor, Tensor], Tensor]  # of latents and contexts


@dataclass(frozen=True, slots=True)
class Course:
    """What the command line says of a phase; `checkpointing`: less memory, more time."""

    layout: str
    steps: int
    rate: float
    batch: int
    accumulate: int
    precision: str
    checkpointing: bool
    guidance: float


def distill(
    stage: str, teacher: Path, folder: Path, device: str, course: Course, pairs: Path, px: int
) -> Path:
    """Run a stage in `folder`: pairs, student or lcm; returns what it made.

    Args:
        teacher: a pipeline's folder.
        pairs: pictures of any size with captions, for the stage of that name; `px`: to which side
            they are scaled.
    """
    model = Pretrained(teacher, torch.device(_chosen(device)))
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(folder, 0.0, model.device)
    with torch.enable_grad():  # ComfyUI switches it off for its whole process
        if stage == "pairs":
            encode_pairs(model, find_pairs(pairs), folder / ENCODED, px)
            return folder / ENCODED
        phase = distill_features if stage == "student" else distill_steps
        return phase(model, setting, course)


def _chosen(device: str) -> str:
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    said = "no CUDA device: on the CPU, which takes days for a model of SD1.5's size"
    print(said, flush=True)  # noqa: T201
    return "cpu"


def distill_features(model: Pretrained, setting: Setting, course: Course) -> Path:
    """Phase one; returns the student's file.

    Raises:
        BadInput: an earlier call had another teacher.
    """
    student, taught_by = _pruned(model, course)
    run = _run(setting, course, student_name(course), taught_by)
    average = start_average(run, student, 0.9999, young=True)
    teacher = model.unet(DTYPES[course.precision])
    ours, theirs = zip(*feature_pairs(course.layout), strict=True)
    features, wanted = Watched(student, ours), Watched(teacher, theirs)

    def loss(latents: Tensor, context: Tensor) -> Tensor:
        times = torch.randint(STEPS, (len(latents),), device=latents.device)
        noise = torch.randn_like(latents)
        noisy = add_noise(latents, noise, times)
        with run.mixed():
            with torch.no_grad():
                taught = teacher(noisy, times, context, return_dict=False)[0]
            out = student(noisy, times, context, return_dict=False)[0]
        return bk_loss(out, noise, taught, features.outputs(), wanted.outputs())

    return _finish(model, run, course, student, average, loss)


def distill_steps(model: Pretrained, setting: Setting, course: Course) -> Path:
    """Phase two, from phase one's average; returns the few-step student's file.

    Raises:
        Unavailable: phase one was not run.
        BadInput: an earlier call had another teacher or guidance.
    """
    student, taught_by = _pruned(model, course)
    student.load_state_dict(load_averaged(setting.weights(student_name(course))))
    guidance = Fixed("guidance", f"{course.guidance:g}", "--guidance")
    run = _run(setting, course, f"{student_name(course)}_lcm", taught_by, guidance)
    average = start_average(run, student, 0.95, young=False)
    target = student_of(model.unet(), course.layout).eval().requires_grad_(False)
    for name, parameter in target.named_parameters():
        parameter.data = average.values[name]  # the same memory: it is the average
    pairs = Pairs(setting.folder / ENCODED, setting.device)
    unsaid = pairs.unsaid.expand(course.batch, -1, -1)
    lesson = Lesson(model.unet(DTYPES[course.precision]), target, unsaid, course.guidance)

    def loss(latents: Tensor, context: Tensor) -> Tensor:
        number = torch.randint(1, GRID + 1, (len(latents),), device=latents.device)
        times = grid_time(number)
        noisy = add_noise(latents, torch.randn_like(latents), times)
        with run.mixed():
            wanted = lesson(noisy, number, context)
            found = student(noisy, times, context, return_dict=False)[0]
        return pseudo_huber(consistent(found.float(), noisy, times), wanted)

    return _finish(model, run, course, student, average, loss)


def student_name(course: Course) -> str:
    return f"bk_{course.layout}"


def _pruned(model: Pretrained, course: Course) -> tuple[UNet2DConditionModel, Fixed]:
    """A student with the teacher's weights, and who that is."""
    teacher = model.unet()
    crc32 = weights_crc32(teacher.state_dict())
    return student_of(teacher, course.layout), Fixed("teacher", f"crc32 {crc32:08x}", "--model")


def _run(setting: Setting, course: Course, name: str, *fixed: Fixed) -> LongRun:
    return LongRun(
        setting,
        name,
        rate=course.rate,
        hold=1.0,
        warm_up=WARM_UP,
        total=course.steps,
        batch=course.batch,
        accumulate=course.accumulate,
        precision=course.precision,
        fixed=fixed,
    )


def _finish(
    model: Pretrained,
    run: LongRun,
    course: Course,
    student: UNet2DConditionModel,
    average: Average,
    loss: Loss,
) -> Path:
    """Make the steps that are left, save what resumes and what is used.

    What was learnt is kept, whatever ends the steps: Ctrl-C, full memory, a loss not finite.
    """
    file = run.setting.folder / MODELS / f"{run.name}.safetensors"
    if run.step >= run.total:
        print(f"{run.name}: nothing left to do, {run.step} steps were made")  # noqa: T201
        model.write(file, average.values, run.done())
        return file
    if course.checkpointing:
        student.enable_gradient_checkpointing()
    learning = [*student.parameters()]
    optimiser = torch.optim.AdamW(learning, lr=course.rate, weight_decay=1e-2)
    pairs = Pairs(run.setting.folder / ENCODED, run.setting.device)
    torch.manual_seed(run.samples)
    batches = pairs.batches(run.batch, run.samples)
    try:
        for _ in run.steps():
            if run.due_to_save():  # before a step: those that were made are counted
                save(run, student, average)
            run.learn(optimiser, learning, (loss(*one) for one in islice(batches, run.accumulate)))
            average.update(student)
    finally:
        if run.made:
            save(run, student, average)
    run.log()
    model.write(file, average.values, run.done())
    return file
