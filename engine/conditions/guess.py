"""Which detector a ControlNet file wants, by its name. A guess: names promise nothing."""

from __future__ import annotations

import re
from pathlib import PurePath

# Words of file names, the telling ones first, and detectors for them, the best first.
_WORDS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("anime",), ("lineart_anime", "lineart_standard")),
    (("mistoline", "anyline"), ("softedge_anyline", "softedge_teed")),
    (("lineart", "line"), ("lineart", "lineart_standard")),
    (
        ("softedge", "soft", "hed", "pidi", "pidinet", "teed"),
        ("softedge_hed", "softedge_teed", "softedge_hed_small", "softedge_pidinet"),
    ),
    (("canny", "edge"), ("canny",)),
    (("scribble", "sketch"), ("scribble_hed", "scribble")),
    (("mlsd",), ("mlsd", "mlsd_small")),
    (
        ("zoedepth", "zoe"),
        ("depth_zoe", "depth_anything", "depth_midas", "depth_midas_small", "depth_fast"),
    ),
    (
        ("depth", "depthanything", "midas", "leres"),
        ("depth_anything", "depth_midas", "depth_midas_small", "depth_fast"),
    ),
    (("normalbae", "bae"), ("normals_bae", "normals_fast")),
    (("normal", "normals"), ("normals_midas",)),  # the older net: its red faces us, not its blue
    (("openpose", "pose", "dwpose"), ("dwpose", "openpose", "movenet", "openpose_small")),
    (("seg", "segmentation", "ade20k"), ("segment_small",)),
    (("mediapipe", "face"), ("face_mesh",)),
    (("shuffle",), ("shuffle",)),
    (("tile",), ("tile",)),
    (("blur",), ("blur",)),
    (("inpaint", "inpainting"), ("inpaint",)),
    (("ip2p", "qrcode", "brightness"), ("ready",)),
    (("color", "colour"), ("colour",)),
)
POOLED = ("_shuffle", "_shuffle_fp16")  # ends of names at which ComfyUI pools the residuals


def guess_detectors(file_name: str) -> tuple[str, ...]:
    """Detectors that fit a ControlNet file, the best first; empty where its name says nothing.

    >>> guess_detectors("control_v11p_sd15_canny_fp16.safetensors")
    ('canny',)
    """
    words = set(re.split(r"[^a-z0-9]+", PurePath(file_name).stem.lower()))
    return next((names for told, names in _WORDS if words & set(told)), ())


def is_pooled(file_name: str) -> bool:
    """Whether ComfyUI recognises a shuffle net: under another name its residuals are not pooled."""
    return PurePath(file_name).stem.endswith(POOLED)
