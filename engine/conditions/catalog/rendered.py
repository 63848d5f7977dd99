"""Ground truth of a rendered scene: passes of a 3D program in ControlNet's conventions."""

from __future__ import annotations

from functools import partial

from ..detector import Detector
from ..filters.rendered import class_pass, distance_pass, normal_pass, object_pass, rendered
from .edges import CANNY
from .pictures import SEGMENT_NETS, SEGMENT_POLARITY
from .shapes import DEPTH, FACING, NEAR, NORMALS

rendered_entry = partial(Detector, family="rendered", params=())

RENDERED = (
    rendered_entry(
        name="rendered_depth",
        title="Rendered depth",
        about="The picture is a renderer's distance pass, black nearest: how near things are.",
        load=rendered(distance_pass),
        channels=1,
        polarity=NEAR,
        fits=DEPTH,
        seconds_per_mpixel=0.02,
        bytes_per_pixel=0.3,
    ),
    rendered_entry(
        name="rendered_normals",
        title="Rendered normals",
        about="The picture is a renderer's normal pass (red right, green up, blue to us).",
        load=rendered(normal_pass),
        channels=3,
        polarity=FACING,
        fits=NORMALS,
        seconds_per_mpixel=0.02,
        bytes_per_pixel=0.9,
    ),
    rendered_entry(
        name="rendered_edges",
        title="Rendered outlines",
        about="The picture is a renderer's object pass, one flat colour each: where two meet.",
        load=rendered(object_pass),
        channels=1,
        polarity=CANNY.polarity,
        fits=CANNY.fits,
        seconds_per_mpixel=0.02,
        bytes_per_pixel=0.03,
    ),
    rendered_entry(
        name="rendered_segments",
        title="Rendered segmentation",
        about="The picture is a renderer's class pass, grey level n the n-th class of ADE20K.",
        load=rendered(class_pass),
        channels=3,
        polarity=SEGMENT_POLARITY,
        fits=SEGMENT_NETS,
        seconds_per_mpixel=0.02,
        bytes_per_pixel=0.03,
    ),
)
