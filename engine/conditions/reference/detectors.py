"""One loader for each detector of controlnet-aux: files by name in, a filter out.

Each filter hands on the photo as it was given, so that its result is what calling the package
directly gives; that has sides of whole 64 pixels and is brought to the hint's size. Those that
answer in the size of what they get, TEED and Anyline, get the photo at the hint's size. Very thin
photos are squeezed before, and above four megapixels the network works on fewer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..detector import Filter, Loader
from ..networks.resize import resize, resize_back
from ..size import limited_shape, limited_side
from ..view import Pixels, View
from .package import contained, open_files, reference_module

MOST_PIXELS = 2**22  # that a network is given: the hint of a larger one is enlarged
Settings = Mapping[str, float]
Call = Callable[[Any, View, Settings], Any]


def _loader(module: str, kind: str, names: tuple[str, ...], call: Call, grey: bool) -> Loader:
    """`names` are the loader's arguments for the files, in the entry's order."""

    def load(files: Mapping[str, Path]) -> Filter:
        made = getattr(reference_module(module), kind)
        paths = list(files.values())
        # joined to a folder, an absolute path stays itself
        given = {name: str(path) for name, path in zip(names, paths, strict=True)}
        folder = str(paths[0].parent)
        detector = open_files(paths, lambda: made.from_pretrained(folder, **given))
        return _filter(detector, call, grey)

    return load


def _filter(detector: Any, call: Call, grey: bool, colours: bool = False) -> Filter:
    one_at_a_time = threading.Lock()  # the package promises nothing about threads

    def run(view: View, settings: Settings) -> Pixels:
        with one_at_a_time, contained(type(detector).__name__):
            found = np.asarray(call(detector, bounded(view), settings), dtype=np.uint8)
        picture = resize_back(found, view.size, nearest=colours)
        return np.ascontiguousarray(picture[..., 0]) if grey and picture.ndim == 3 else picture

    return run


def bounded(view: View) -> View:
    """The view itself, or one that a network of any depth can be given."""
    height, width, _ = view.photo.shape
    tall, wide = limited_shape(height, width)
    side = limited_side(tall, wide, view.resolution, MOST_PIXELS)
    if (tall, wide, side) == (height, width, view.resolution):
        return view
    return View(resize(view.photo, (tall, wide)), side)


def _sizes(view: View) -> dict[str, Any]:
    side = view.resolution
    return {"detect_resolution": side, "image_resolution": side, "output_type": "np"}


def _soft(detector: Any, view: View, settings: Settings) -> Any:
    asked = {name: bool(settings[name]) for name in ("safe", "scribble")}
    return detector(view.photo, **asked, **_sizes(view))


def _teed(detector: Any, view: View, settings: Settings) -> Any:
    steps = 2 if settings["safe"] else 0
    side = view.resolution
    return detector(view.fitted, detect_resolution=side, safe_steps=steps, output_type="np")


def _anyline(detector: Any, view: View, settings: Settings) -> Any:
    height, width, _ = view.photo.shape
    detail = limited_side(height, width, int(settings["detail"]), MOST_PIXELS)
    return detector(view.fitted, detect_resolution=detail, output_type="np")


def _plain(detector: Any, view: View, settings: Settings) -> Any:
    return detector(view.photo, **_sizes(view))


def _lineart(detector: Any, view: View, settings: Settings) -> Any:
    return detector(view.photo, coarse=bool(settings["coarse"]), **_sizes(view))


def _midas(detector: Any, view: View, settings: Settings) -> Any:
    with np.errstate(all="ignore"):  # a flat map is divided by 0; the hint is then reported
        if not settings["normals"]:
            return detector(view.photo, **_sizes(view))[..., 0]
        return detector(view.photo, depth_and_normal=True, **_sizes(view))[1]


def _zoe(detector: Any, view: View, settings: Settings) -> Any:
    with np.errstate(all="ignore"):
        return detector(view.photo, **_sizes(view))


def _openpose(detector: Any, view: View, settings: Settings) -> Any:
    return detector(
        view.photo,
        include_hand=bool(settings["hands"]),
        include_face=bool(settings["face"]),
        **_sizes(view),
    )


def _face(detector: Any, view: View, settings: Settings) -> Any:
    return detector(
        view.photo,
        max_faces=int(settings["faces"]),
        min_confidence=settings["face_confidence"],
        **_sizes(view),
    )


def _mlsd(detector: Any, view: View, settings: Settings) -> Any:
    """The package's own call swallows every error and returns black: its parts are called here."""
    import cv2

    util = reference_module("util")
    pred_lines = reference_module("mlsd.utils").pred_lines
    torch = reference_module("mlsd").torch
    photo = util.resize_image(np.array(view.photo), view.resolution)
    canvas = np.zeros(photo.shape[:2], np.uint8)
    with torch.no_grad():
        found = pred_lines(
            photo, detector.model, list(photo.shape[:2]), settings["score"], settings["distance"]
        )
    for line in found:
        x1, y1, x2, y2 = (int(value) for value in line)
        cv2.line(canvas, (x1, y1), (x2, y2), 255, 1)
    return canvas


def load_face(files: Mapping[str, Path]) -> Filter:
    """mediapipe brings its own weights."""
    made = reference_module("mediapipe_face").MediapipeFaceDetector
    if reference_module("mediapipe_face.mediapipe_face_common").mp is None:  # import failed
        raise ImportError("mediapipe, or what it needs", name="mediapipe.python.solutions")
    return _filter(made(), _face, grey=False, colours=True)


def load_leres(files: Mapping[str, Path]) -> Filter:
    """Without the network that only boost uses, and that is for academic use only."""
    package = reference_module("leres")
    torch = reference_module("mlsd").torch
    [path] = files.values()

    def make() -> Any:
        saved = torch.load(path, map_location="cpu", weights_only=True)["depth_model"]
        model = package.RelDepthModel(backbone="resnext101")
        model.load_state_dict(package.strip_prefix_if_present(saved, "module."))
        return package.LeresDetector(model, None)

    return _filter(open_files([path], make), _plain, grey=True)


def load_zoe(files: Mapping[str, Path]) -> Filter:
    """The package's own loader opens a file that lacks half the weights, and keeps random ones."""
    package = reference_module("zoe")
    torch = reference_module("mlsd").torch
    [path] = files.values()

    def make() -> Any:
        model = package.ZoeDepth.build_from_config(package.get_config("zoedepth", "infer"))
        saved = torch.load(path, map_location="cpu", weights_only=True)["model"]
        computed = "relative_position_index"  # newer timm makes these itself
        missing = [key for key in model.state_dict().keys() - saved if computed not in key]
        if missing:
            raise KeyError(sorted(missing)[0])
        model.load_state_dict(saved)
        return package.ZoeDetector(model.eval())

    return _filter(open_files([path], make), _zoe, grey=True)


FILE = ("filename",)
load_hed = _loader("hed", "HEDdetector", FILE, _soft, grey=True)
load_pidinet = _loader("pidi", "PidiNetDetector", FILE, _soft, grey=True)
load_teed = _loader("teed", "TEEDdetector", FILE, _teed, grey=True)
load_anyline = _loader("anyline", "AnylineDetector", FILE, _anyline, grey=True)
load_lineart = _loader(
    "lineart", "LineartDetector", ("filename", "coarse_filename"), _lineart, grey=True
)
load_lineart_anime = _loader("lineart_anime", "LineartAnimeDetector", FILE, _plain, grey=True)
load_mlsd_large = _loader("mlsd", "MLSDdetector", FILE, _mlsd, grey=True)
load_midas = _loader("midas", "MidasDetector", FILE, _midas, grey=False)
load_normalbae = _loader("normalbae", "NormalBaeDetector", FILE, _plain, grey=False)
load_openpose = _loader(
    "open_pose",
    "OpenposeDetector",
    ("filename", "hand_filename", "face_filename"),
    _openpose,
    grey=False,
)
