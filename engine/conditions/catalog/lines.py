"""Line art and straight lines."""

from __future__ import annotations

from functools import partial

from ..detector import Detector, Param
from ..filters.line_art import line_art
from ..networks.mlsd import load_mlsd
from ..reference.detectors import load_lineart, load_lineart_anime, load_mlsd_large
from .edges import AUX, ONNX
from .hub import annotator, converted

ART = ("control_v11p_sd15_lineart",)
STRAIGHT = ("control_v11p_sd15_mlsd", "control_sd15_mlsd")
SKETCH = (annotator("sk_model.pth", "MIT"), annotator("sk_model2.pth", "MIT"))
ANIME = annotator("netG.pth", "MIT")
MLSD = annotator("mlsd_large_512_fp32.pth", "Apache-2.0")
SMALL_MLSD = converted(
    "mlsd_tiny_512.onnx",
    "Apache-2.0",
    "tflite_models/M-LSD_512_tiny_fp32.tflite of navervision/mlsd on GitHub",
)
line_entry = partial(Detector, family="lines", channels=1, polarity="white lines on black")
SCORE = Param("score", 0.1, 0.01, 2.0, "Fewer, surer lines when higher.")

LINES = (
    line_entry(
        name="lineart_standard",
        title="Line art (no network)",
        about="Dark strokes and shadows as lines.",
        run=line_art,
        params=(
            Param("sigma", 6.0, 0.1, 30.0, "Width of the surroundings compared with, in pixels."),
            Param("threshold", 8, 0, 255, "What counts as a line for the brightness.", whole=True),
        ),
        fits=ART,
        seconds_per_mpixel=0.085,
        bytes_per_pixel=0.4,
    ),
    line_entry(
        name="lineart",
        title="Line art (realistic)",
        about="The photo as a pen drawing.",
        load=load_lineart,
        files=SKETCH,
        packages=AUX,
        licence="MIT",
        params=(Param("coarse", 0, 0, 1, "1: fewer and rougher lines.", whole=True),),
        fits=ART,
        seconds_per_mpixel=9.8,
        memory_mb=130.0,
        bytes_per_pixel=0.3,
    ),
    line_entry(
        name="lineart_anime",
        title="Line art (anime)",
        about="A drawing's own lines.",
        load=load_lineart_anime,
        files=(ANIME,),
        packages=AUX,
        licence=ANIME.licence,
        params=(),
        fits=("control_v11p_sd15s2_lineart_anime",),
        seconds_per_mpixel=2.8,
        memory_mb=420.0,
        bytes_per_pixel=0.3,
    ),
    line_entry(
        name="mlsd",
        title="Straight lines (M-LSD)",
        about="Walls, windows, furniture.",
        load=load_mlsd_large,
        files=(MLSD,),
        packages=AUX,
        licence=MLSD.licence,
        params=(SCORE, Param("distance", 0.1, 0.01, 20.0, "Longer lines only, when higher.")),
        fits=STRAIGHT,
        seconds_per_mpixel=3.0,
        memory_mb=250.0,
        bytes_per_pixel=0.02,
    ),
    line_entry(
        name="mlsd_small",
        title="Straight lines (small M-LSD)",
        about="Walls, windows, furniture; by a network of three megabytes.",
        load=load_mlsd,
        files=(SMALL_MLSD,),
        packages=ONNX,
        licence=SMALL_MLSD.licence,
        params=(SCORE,),
        fits=STRAIGHT,
        seconds_per_mpixel=0.33,
        memory_mb=115.0,
        bytes_per_pixel=0.02,
    ),
)
