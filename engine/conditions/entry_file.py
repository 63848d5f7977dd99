"""A user's own network as an entry of the registry: one JSON file beside its ONNX file.

{
  "tandem_detector": 1,
  "name": "depth_mine",
  "file": "mine.onnx",
  "about": "How near things are, trained on my garden.",
  "polarity": "near is white",
  "licence": "mine",
  "network": {"height": 224, "width": 224, "layout": "nhwc", "stretch": "min_max"}
}

`network` has the keys of `DenseNetwork`. Optional: `title`, `fits` (names of ControlNets),
`commercial`, `seconds_per_mpixel`, `bytes_per_pixel`, `memory_mb` (what it holds when loaded).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..errors import BadInput
from .detector import Detector
from .networks.dense import DenseNetwork
from .networks.dense_run import dense
from .weights import WeightFile

MARK = "tandem_detector"
NEEDED = {"name": str, "file": str, "about": str, "polarity": str, "licence": str, "network": dict}
OPTIONAL = {
    "title": str,
    "fits": list,
    "commercial": bool,
    "seconds_per_mpixel": (int, float),
    "bytes_per_pixel": (int, float),
    "memory_mb": (int, float),
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
MOST_BYTES = 64 * 1024
PRIOR_S, PRIOR_BYTES, PRIOR_MB = 1.0, 0.3, 150.0  # of a network nobody has measured


def read_entry(path: Path) -> Detector | None:
    """The entry that a file describes; None if it is some other JSON file.

    Raises:
        BadInput: it says that it is one, and is not.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        form: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(form, dict) or MARK not in form:
        return None
    for key, value in form.items():
        if not _usable(value):
            raise BadInput(f"{key} of {path.name}", value, "need numbers under a thousand million")
    return _entry(path, form)


def _usable(value: Any, depth: int = 8) -> bool:
    """Whether every number in it can be reckoned with: JSON allows 1e999, Python's NaN too."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_usable(item, depth - 1) for item in items)
    return not isinstance(value, int | float) or abs(value) < 1e9


def _entry(path: Path, form: dict[str, Any]) -> Detector:
    if form[MARK] != 1:
        raise BadInput(f"{MARK} of {path.name}", form[MARK], "need version 1")
    known = NEEDED | OPTIONAL
    for key in form:
        if key != MARK and key not in known:
            raise BadInput(f"key of {path.name}", key, f"choose among {', '.join(known)}")
    for key, kind in known.items():
        if key in NEEDED and key not in form:
            raise BadInput(f"keys of {path.name}", sorted(form), f"add {key!r}")
        if key in form and not isinstance(form[key], kind):
            raise BadInput(f"{key} of {path.name}", form[key], "need another type")
    if not NAME.fullmatch(form["name"]):
        raise BadInput(f"name of {path.name}", form["name"], "use a-z, 0-9 and _, at most 40")
    if Path(form["file"]).name != form["file"]:
        raise BadInput(f"file of {path.name}", form["file"], "give a file name without a folder")
    for price in ("seconds_per_mpixel", "bytes_per_pixel", "memory_mb"):
        if not form.get(price, 1) > 0:
            raise BadInput(f"{price} of {path.name}", form[price], "need more than 0")
    network = DenseNetwork.from_dict(form["network"])
    return Detector(
        name=form["name"],
        title=form.get("title", form["name"]),
        about=form["about"],
        family="your own",
        load=dense(network),
        params=(),
        channels=network.channels,
        bits=16 if network.bits == 16 else 8,
        polarity=form["polarity"],
        fits=tuple(str(one) for one in form.get("fits", ())),
        files=(WeightFile(form["file"], form["licence"], published=f"what {path} describes"),),
        packages=("cv2", "onnxruntime"),
        licence=form["licence"],
        commercial=form.get("commercial", True),
        seconds_per_mpixel=float(form.get("seconds_per_mpixel", PRIOR_S)),
        bytes_per_pixel=float(form.get("bytes_per_pixel", PRIOR_BYTES)),
        memory_mb=float(form.get("memory_mb", PRIOR_MB)),
    )
