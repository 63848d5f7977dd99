"""The photo itself in some form, and segmentation into colours."""

from __future__ import annotations

from ..detector import Detector, Param
from ..filters.blur import blur
from ..filters.mosaic import mosaic
from ..filters.ready import ready
from ..filters.shuffle import shuffle
from ..filters.tile import tile
from ..networks.dense import DenseNetwork
from ..networks.dense_run import dense
from .edges import ONNX
from .hub import converted

TILE_NETS = ("control_v11f1e_sd15_tile",)
SEGMENT_NETS = ("control_v11p_sd15_seg", "control_sd15_seg")
SEGMENT_POLARITY = "ADE20K's colours, black for what is none of them"
COLOURS = "colours of the photo"
DEEPLAB = converted(
    "ade20k_deeplab_512.onnx",
    "Apache-2.0",
    "v0_7/tflite/deeplabv3_mnv2_ade20k_uint8.tflite of mlcommons/mobile_models on GitHub",
)
# Its class 0 is "other", and 1 is ADE20K's first.
DEEPLAB_SPEC = DenseNetwork(
    height=512,
    width=512,
    layout="nhwc",
    dtype="uint8",
    activation="classes",
    palette="ade20k",
    first_class=1,
)

BLUR = Detector(
    name="blur",
    title="Blur",
    about="The photo softened: colours and composition without detail.",
    family="tile",
    run=blur,
    params=(Param("sigma", 9.0, 0.5, 64.0, "Width of the blur in pixels of the hint."),),
    channels=3,
    polarity=COLOURS,
    fits=TILE_NETS,
    seconds_per_mpixel=0.03,
    bytes_per_pixel=0.8,
)
TILE = Detector(
    name="tile",
    title="Tile",
    about="The photo at a lower resolution, enlarged again: detail is invented anew.",
    family="tile",
    run=tile,
    params=(Param("factor", 4.0, 1.0, 32.0, "How many times smaller."),),
    channels=3,
    polarity=COLOURS,
    fits=TILE_NETS,
    seconds_per_mpixel=0.004,
    bytes_per_pixel=1.2,
)

PICTURES = (
    Detector(
        name="segment_small",
        title="Segmentation (small DeepLab)",
        about="Scenes in the colours of 31 kinds of things; not for close-ups.",
        family="segmentation",
        load=dense(DEEPLAB_SPEC),
        files=(DEEPLAB,),
        packages=ONNX,
        licence=DEEPLAB.licence,
        params=(),
        channels=3,
        polarity=SEGMENT_POLARITY,
        fits=SEGMENT_NETS,
        seconds_per_mpixel=0.51,
        memory_mb=120.0,
        bytes_per_pixel=0.03,
    ),
    Detector(
        name="shuffle",
        title="Shuffle",
        about="The photo warped at random: its colours and style without its shapes.",
        family="shuffle",
        run=shuffle,
        params=(Param("seed", 0, 0, 2**32 - 1, "The same seed, the same picture.", whole=True),),
        channels=3,
        polarity=COLOURS,
        fits=("control_v11e_sd15_shuffle",),
        seconds_per_mpixel=0.03,
        bytes_per_pixel=1.0,
    ),
    Detector(
        name="colour",
        title="Colour squares",
        about="Large squares of the photo's colours.",
        family="colour",
        run=mosaic,
        params=(Param("square", 64, 2, 512, "Side of a square in pixels of the hint."),),
        channels=3,
        polarity=COLOURS,
        fits=("t2iadapter_color_sd14v1",),
        seconds_per_mpixel=0.004,
        bytes_per_pixel=0.02,
    ),
    Detector(
        name="inpaint",
        title="Inpaint",
        about="The photo at the hint's size; where the mask is set, ControlNet fills in.",
        family="inpaint",
        load=ready,
        params=(),
        fixed=(("keep_colours", 0),),
        channels=3,
        polarity="colours of the photo; masked pixels become -1 when it is applied",
        fits=("control_v11p_sd15_inpaint",),
        seconds_per_mpixel=0.003,
        bytes_per_pixel=1.6,
    ),
    Detector(
        name="ready",
        title="Already a hint",
        about="The picture is a hint made elsewhere: it is brought to size, nothing else.",
        family="ready",
        load=ready,
        params=(Param("keep_colours", 0, 0, 1, "1: resize without mixing colours.", whole=True),),
        channels=3,
        polarity="as it was made",
        fits=(),
        seconds_per_mpixel=0.003,
        bytes_per_pixel=1.0,
    ),
)
