"""Depth and normals."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..detector import Detector, Param
from ..filters.relief import relief
from ..networks.dense import DenseNetwork
from ..networks.dense_run import dense
from ..networks.depth_normals import depth_and_normals
from ..reference.detectors import load_leres, load_midas, load_normalbae, load_zoe
from ..weights import WeightFile
from .edges import AUX, ONNX
from .hub import annotator, converted

DEPTH = ("control_v11f1p_sd15_depth", "control_sd15_depth")
NORMALS = ("control_v11p_sd15_normalbae",)
NEAR = "near is white"
FACING = "blue faces us, red faces left, green faces up"

depth_entry = partial(Detector, family="depth", channels=1, polarity=NEAR, fits=DEPTH)
normals_entry = partial(Detector, family="normals", channels=3, bytes_per_pixel=0.9)

IMAGENET_NET = DenseNetwork(
    scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), stretch="min_max"
)  # ImageNet's mean and spread in, nearness out
FINE = replace(IMAGENET_NET, bits=16)

MIDAS = annotator("dpt_hybrid-midas-501f0c75.pt", "MIT")
ZOE = annotator("ZoeD_M12_N.pt", "MIT")
LERES = annotator("res101.pth", "MIT")
BAE = annotator("scannet.pt", "MIT")
# Hashes and sizes of the two ONNX files: as several public programs that download them name them.
ANYTHING = WeightFile(
    "depth_anything_v2_small.onnx",
    "Apache-2.0",
    repo="onnx-community/depth-anything-v2-small",
    path="onnx/model.onnx",
    sha256="afb6a5c28f3b6bf1618c6e43f02073ef9dfdc70e937502d51603e57b0a1df10c",
    bytes=99060839,
)
SMALL_MIDAS = WeightFile(
    "model-small.onnx",
    "MIT",
    published="github.com/isl-org/MiDaS/releases/download/v2_1/model-small.onnx",
    sha256="2d8c6cb8f415229daf1eb041024208e2608c9f98e17c81cc7c6ecb449c56fd58",
    bytes=66764249,
)
FAST = converted(
    "fastdepth_224.onnx", "MIT", "lib/models/fast_depth_224.tflite of openmv/openmv on GitHub"
)
# Its bytes are metres / 0.0717.
LOAD_FAST = depth_and_normals(
    DenseNetwork(
        height=224,
        width=224,
        layout="nhwc",
        dtype="uint8",
        activation="reciprocal",
        least=1.0,
        stretch="percentiles",
    )
)

SHAPES = (
    depth_entry(
        name="depth_midas",
        title="Depth (MiDaS)",
        about="How near things are.",
        load=load_midas,
        files=(MIDAS,),
        packages=(*AUX, "timm"),
        licence=MIDAS.licence,
        params=(),
        fixed=(("normals", 0),),
        seconds_per_mpixel=20.0,
        memory_mb=690.0,
        bytes_per_pixel=0.3,
    ),
    depth_entry(
        name="depth_zoe",
        title="Depth (ZoeDepth)",
        about="How near things are, trained on metres.",
        load=load_zoe,
        files=(ZOE,),
        packages=(*AUX, "timm"),
        licence=ZOE.licence,
        params=(),
        seconds_per_mpixel=56.0,  # not measured: MiDaS's price by its parameters
        memory_mb=2200.0,
        bytes_per_pixel=0.3,
    ),
    depth_entry(
        name="depth_leres",
        title="Depth (LeReS)",
        about="How near things are, with much detail.",
        load=load_leres,
        files=(LERES,),
        packages=AUX,
        licence=LERES.licence,
        params=(),
        seconds_per_mpixel=17.0,
        memory_mb=570.0,
        bytes_per_pixel=0.35,
    ),
    depth_entry(
        name="depth_anything",
        title="Depth (Depth Anything V2 small)",
        about="How near things are; the best of the small networks.",
        load=dense(FINE),
        files=(ANYTHING,),
        packages=ONNX,
        licence=ANYTHING.licence,
        params=(),
        bits=16,
        seconds_per_mpixel=5.0,  # not measured: by its parameters
        memory_mb=500.0,  # not measured
        bytes_per_pixel=1.1,
    ),
    depth_entry(
        name="depth_midas_small",
        title="Depth (small MiDaS)",
        about="How near things are, quickly.",
        load=dense(replace(FINE, height=256, width=256)),
        files=(SMALL_MIDAS,),
        packages=ONNX,
        licence=SMALL_MIDAS.licence,
        params=(),
        bits=16,
        seconds_per_mpixel=0.6,  # not measured: by its parameters
        memory_mb=150.0,  # not measured
        bytes_per_pixel=1.1,
    ),
    depth_entry(
        name="depth_fast",
        title="Depth (FastDepth)",
        about="How near things are, blurry and very quick; trained indoors.",
        load=LOAD_FAST,
        files=(FAST,),
        packages=ONNX,
        licence=FAST.licence,
        params=(),
        fixed=(("normals", 0),),
        seconds_per_mpixel=0.06,
        memory_mb=45.0,
        bytes_per_pixel=0.25,
    ),
    normals_entry(
        name="normals_bae",
        title="Normals (BAE)",
        about="Which way surfaces face.",
        load=load_normalbae,
        files=(BAE,),
        packages=(*AUX, "timm"),
        licence=BAE.licence,
        params=(),
        polarity=FACING,
        fits=NORMALS,
        seconds_per_mpixel=17.0,
        memory_mb=515.0,
    ),
    normals_entry(
        name="normals_midas",
        title="Normals (MiDaS)",
        about="Which way surfaces face, in the colours of the first normal ControlNet.",
        load=load_midas,
        files=(MIDAS,),
        packages=(*AUX, "timm"),
        licence=MIDAS.licence,
        params=(),
        fixed=(("normals", 1),),
        polarity="red faces us; blue and green as the first normal ControlNet has them",
        fits=("control_sd15_normal",),
        seconds_per_mpixel=20.0,
        memory_mb=690.0,
    ),
    normals_entry(
        name="normals_fast",
        title="Normals (FastDepth)",
        about="Which way surfaces face, roughly and quickly.",
        load=LOAD_FAST,
        files=(FAST,),
        packages=ONNX,
        licence=FAST.licence,
        params=(
            Param("view", 55.0, 10.0, 120.0, "Degrees that the camera sees across the picture."),
            Param("smooth", 10.0, 0.0, 64.0, "Blur of the depth before, in pixels at 512."),
        ),
        fixed=(("normals", 1),),
        polarity=FACING,
        fits=NORMALS,
        seconds_per_mpixel=0.25,
        memory_mb=45.0,
    ),
    normals_entry(
        name="normals_from_depth",
        reads=NEAR,
        title="Normals (of a depth picture)",
        about="The photo is a depth picture, near white: which way its surfaces face.",
        run=relief,
        params=(
            Param("relief", 1.0, 0.01, 10.0, "Depth of the scene as a share of its shorter side."),
            Param(
                "soften", 2.0, 0.1, 64.0, "Blur of the depth before, in pixels; 8 if it is coarse."
            ),
        ),
        polarity=FACING,
        fits=NORMALS,
        seconds_per_mpixel=0.2,
    ),
)
