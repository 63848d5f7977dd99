"""Hard and soft edges, and scribbles."""

from __future__ import annotations

from functools import partial

from ..detector import Detector, Param
from ..filters.canny import canny
from ..filters.drawing import drawing
from ..filters.scribble import scribble
from ..networks.dense import DenseNetwork
from ..networks.soft_edges import soft_edges
from ..reference.detectors import load_anyline, load_hed, load_pidinet, load_teed
from ..weights import WeightFile
from .hub import annotator, converted

Fixed = tuple[tuple[str, float], ...]
AUX = ("cv2", "torch", "torchvision", "controlnet_aux")
ONNX = ("cv2", "onnxruntime")
SAFE = Param("safe", 0, 0, 1, "1: shades in three steps, which hide the photo better.", whole=True)
SOFT = ("control_v11p_sd15_softedge", "control_sd15_hed")
ROUGH = ("control_v11p_sd15_scribble", "control_sd15_scribble")
SOFT_POLARITY, ROUGH_POLARITY = "soft white edges on black", "white strokes on black"
PLAIN: Fixed = (("scribble", 0),)
STROKES: Fixed = (("scribble", 1), ("safe", 0))

soft_edges_entry = partial(
    Detector, family="soft edges", channels=1, polarity=SOFT_POLARITY, fits=SOFT
)
scribble_entry = partial(
    Detector, family="scribble", channels=1, polarity=ROUGH_POLARITY, fits=ROUGH
)

HED = annotator("ControlNetHED.pth", "Apache-2.0")
PIDINET_LICENCE = "research use; ask the authors for commercial use"
PIDINET = annotator("table5_pidinet.pth", PIDINET_LICENCE)
TEED = WeightFile("5_model.pth", "MIT", repo="fal-ai/teed")
ANYLINE = WeightFile("MTEED.pth", "OpenRAIL", repo="TheMistoAI/MistoLine", path="Anyline/MTEED.pth")
SMALL_HED = converted(
    "hed_mobilenet_256.onnx",
    "Apache-2.0",
    "smartcropperlib/src/main/assets/models/hed_lite_model_quantize.tflite of pqpo/SmartCropper "
    "on GitHub",
)
LOAD_SMALL_HED = soft_edges(DenseNetwork(height=256, width=256, layout="hwc", activation="sigmoid"))

CANNY = Detector(
    name="canny",
    title="Canny edges",
    about="Hard edges, one pixel wide.",
    family="edges",
    run=canny,
    params=(
        Param("low", 100, 1, 255, "Weaker edges than this are dropped.", whole=True),
        Param("high", 200, 1, 255, "Stronger edges than this always stay.", whole=True),
    ),
    channels=1,
    polarity="white edges on black",
    fits=("control_v11p_sd15_canny", "control_sd15_canny"),
    seconds_per_mpixel=0.02,
    bytes_per_pixel=0.1,
)
SCRIBBLE = scribble_entry(
    name="scribble",
    title="Scribble (XDoG)",
    about="Rough strokes along contrasts, without a network.",
    run=scribble,
    params=(Param("threshold", 12, 1, 64, "Fewer strokes when higher.", whole=True),),
    seconds_per_mpixel=0.07,
    bytes_per_pixel=0.05,
)

EDGES = (
    scribble_entry(
        name="scribble_drawing",
        title="Scribble (drawing)",
        about="A drawing on light paper as strokes.",
        run=drawing,
        params=(Param("ink", 128, 1, 255, "What is darker than this is a stroke.", whole=True),),
        seconds_per_mpixel=0.002,
        bytes_per_pixel=0.03,
    ),
    soft_edges_entry(
        name="softedge_hed",
        title="Soft edges (HED)",
        about="Outlines as a network sees them.",
        load=load_hed,
        files=(HED,),
        packages=AUX,
        licence=HED.licence,
        params=(SAFE,),
        fixed=PLAIN,
        seconds_per_mpixel=7.7,
        memory_mb=145.0,
        bytes_per_pixel=0.3,
    ),
    soft_edges_entry(
        name="softedge_hed_small",
        title="Soft edges (small HED)",
        about="Outlines by a network of one megabyte.",
        load=LOAD_SMALL_HED,
        files=(SMALL_HED,),
        packages=ONNX,
        licence=SMALL_HED.licence,
        params=(SAFE,),
        fixed=PLAIN,
        seconds_per_mpixel=0.03,
        memory_mb=45.0,
        bytes_per_pixel=0.3,
    ),
    soft_edges_entry(
        name="softedge_pidinet",
        title="Soft edges (PiDiNet)",
        about="The softest outlines; the steadiest for ControlNet with `safe`.",
        load=load_pidinet,
        files=(PIDINET,),
        packages=AUX,
        licence=PIDINET_LICENCE,
        commercial=False,
        params=(SAFE,),
        fixed=PLAIN,
        seconds_per_mpixel=9.0,
        memory_mb=105.0,
        bytes_per_pixel=0.3,
    ),
    soft_edges_entry(
        name="softedge_teed",
        title="Soft edges (TEED)",
        about="Fine outlines by a tiny network.",
        load=load_teed,
        files=(TEED,),
        packages=AUX,
        licence=TEED.licence,
        params=(SAFE,),
        seconds_per_mpixel=1.0,
        memory_mb=205.0,
        bytes_per_pixel=0.3,
    ),
    soft_edges_entry(
        name="softedge_anyline",
        title="Soft edges (Anyline)",
        about="TEED's outlines and line art in one.",
        load=load_anyline,
        files=(ANYLINE,),
        packages=(*AUX, "skimage"),
        licence=ANYLINE.licence,
        params=(
            Param(
                "detail", 1280, 64, 2048, "Shorter side that it works at, in pixels.", whole=True
            ),
        ),
        seconds_per_mpixel=6.0,
        memory_mb=400.0,
        bytes_per_pixel=0.4,
    ),
    scribble_entry(
        name="scribble_hed",
        title="Scribble (HED)",
        about="HED's outlines as strokes.",
        load=load_hed,
        files=(HED,),
        packages=AUX,
        licence=HED.licence,
        params=(),
        fixed=STROKES,
        seconds_per_mpixel=7.8,
        memory_mb=145.0,
        bytes_per_pixel=0.03,
    ),
    scribble_entry(
        name="scribble_hed_small",
        title="Scribble (small HED)",
        about="The small HED's outlines as strokes.",
        load=LOAD_SMALL_HED,
        files=(SMALL_HED,),
        packages=ONNX,
        licence=SMALL_HED.licence,
        params=(),
        fixed=STROKES,
        seconds_per_mpixel=0.06,
        memory_mb=45.0,
        bytes_per_pixel=0.03,
    ),
    scribble_entry(
        name="scribble_pidinet",
        title="Scribble (PiDiNet)",
        about="PiDiNet's outlines as strokes.",
        load=load_pidinet,
        files=(PIDINET,),
        packages=AUX,
        licence=PIDINET_LICENCE,
        commercial=False,
        params=(),
        fixed=STROKES,
        seconds_per_mpixel=9.1,
        memory_mb=105.0,
        bytes_per_pixel=0.03,
    ),
)
