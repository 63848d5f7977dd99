"""With the same weights our hint is what calling controlnet-aux directly gives, at any size.

ZoeDepth takes minutes and gigabytes: it is made narrower unless TANDEM_LARGE_TESTS is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest
from comfyui_tandem.benchmarks.random_weights import narrow_zoe, write_weights
from comfyui_tandem.engine.conditions import (
    DETECTORS,
    ConditionRequest,
    Models,
    Photo,
    detect,
    obstacle,
)
from comfyui_tandem.engine.conditions.view import View
from comfyui_tandem.engine.errors import BadInput
from numpy.typing import NDArray

from .material import noise, real_photo, reference

A = "filename"
# detector: module, class, names of its files, settings, arguments of the direct call
CASES: dict[str, tuple[str, str, dict[str, str], dict[str, float], dict[str, Any]]] = {
    "softedge_hed": ("hed", "HEDdetector", {A: "ControlNetHED.pth"}, {"safe": 1}, {"safe": True}),
    "scribble_hed": ("hed", "HEDdetector", {A: "ControlNetHED.pth"}, {}, {"scribble": True}),
    "softedge_pidinet": ("pidi", "PidiNetDetector", {A: "table5_pidinet.pth"}, {}, {}),
    "scribble_pidinet": (
        *("pidi", "PidiNetDetector", {A: "table5_pidinet.pth"}),
        *({}, {"scribble": True}),
    ),
    "softedge_teed": ("teed", "TEEDdetector", {A: "5_model.pth"}, {"safe": 1}, {"safe_steps": 2}),
    "softedge_anyline": ("anyline", "AnylineDetector", {A: "MTEED.pth"}, {"detail": 128}, {}),
    "lineart": (
        *("lineart", "LineartDetector"),
        {A: "sk_model.pth", "coarse_filename": "sk_model2.pth"},
        *({"coarse": 1}, {"coarse": True}),
    ),
    "mlsd": ("mlsd", "MLSDdetector", {A: "mlsd_large_512_fp32.pth"}, {}, {}),
    "lineart_anime": ("lineart_anime", "LineartAnimeDetector", {A: "netG.pth"}, {}, {}),
    "depth_midas": ("midas", "MidasDetector", {A: "dpt_hybrid-midas-501f0c75.pt"}, {}, {}),
    "normals_midas": (
        *("midas", "MidasDetector", {A: "dpt_hybrid-midas-501f0c75.pt"}),
        *({}, {"depth_and_normal": True}),
    ),
    "depth_zoe": ("zoe", "ZoeDetector", {A: "ZoeD_M12_N.pt"}, {}, {}),
    "depth_leres": ("leres", "LeresDetector", {A: "res101.pth"}, {}, {}),
    "normals_bae": ("normalbae", "NormalBaeDetector", {A: "scannet.pt"}, {}, {}),
    "openpose": (
        *("open_pose", "OpenposeDetector"),
        {
            A: "body_pose_model.pth",
            "hand_filename": "hand_pose_model.pth",
            "face_filename": "facenet.pth",
        },
        *({}, {"include_hand": True, "include_face": True}),
    ),
}
SIZES = [(64, 128), (61, 143)]  # whole 64 pixels, and not
RESOLUTION = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where detectors of one file find what the first of them wrote."""
    made = tmp_path_factory.mktemp("random")
    yield made
    shutil.rmtree(made)  # gigabytes


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_hint_equals_the_direct_call(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = reference()
    where, kind, files, settings, given = CASES[name]
    with ExitStack() as stack:
        if name == "depth_zoe" and "TANDEM_LARGE_TESTS" not in os.environ:
            stack.enter_context(narrow_zoe(module))
        if not all((folder / file).exists() for file in files.values()):
            write_weights(name, folder, module)
        if name == "depth_leres":
            monkeypatch.chdir(tmp_path)  # it makes folders, reads the command line, and loads boost
            monkeypatch.setattr(sys, "argv", sys.argv[:1])
            monkeypatch.setattr(module("leres"), "Pix2Pix4DepthModel", mock.MagicMock())
        made = getattr(module(where), kind).from_pretrained(str(folder), **files)
        models = Models([folder])
        for size in SIZES:
            photo = smooth(*size)
            found = detect(ConditionRequest(name, RESOLUTION, settings), photo, models)
            direct = call(name, made, View(photo.pixels, RESOLUTION), given)
            expected = cv2.resize(direct, found.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            expected = expected[..., 0] if found.ndim == 2 else expected
            np.testing.assert_array_equal(found, expected)
            # random weights find nobody; see the next test
            assert np.ptp(found) > 0 or name == "openpose", (
                "weights that show nothing prove nothing"
            )
    assert models.shelf.loads == 1


# Joint: place as shares of width and height; one arm, so one hand.
STANDING = {
    **{0: (0.5, 0.15), 1: (0.5, 0.25), 2: (0.4, 0.25), 3: (0.33, 0.4), 4: (0.3, 0.52)},
    **{5: (0.6, 0.25), 8: (0.44, 0.55), 9: (0.43, 0.75), 11: (0.56, 0.55), 12: (0.57, 0.75)},
    **{14: (0.47, 0.12), 15: (0.53, 0.12), 16: (0.42, 0.14), 17: (0.58, 0.14)},
}


@pytest.mark.slow
def test_openpose_draws_whom_its_networks_find(folder: Path) -> None:
    """What they find is told, as random weights find nothing: a body, its hand and its face."""
    module = reference()
    files = CASES["openpose"][2]
    if not all((folder / file).exists() for file in files.values()):
        write_weights("openpose", folder, module)

    def standing(self: object, picture: NDArray) -> tuple[NDArray, NDArray]:
        height, width = picture.shape[:2]
        places = [(x * width, y * height, 1.0, n) for n, (x, y) in enumerate(STANDING.values())]
        person = np.full(20, -1.0)
        person[list(STANDING)] = range(len(STANDING))
        person[18:] = len(STANDING)
        return np.array(places), person[None]

    def points(count: int) -> NDArray:
        return 1 + np.random.default_rng(count).random((count, 2)) * 20

    made = module("open_pose").OpenposeDetector.from_pretrained(str(folder), **files)
    photo, models, drawn = smooth(320, 250), Models([folder]), []
    face = module("open_pose.face").Face
    with ExitStack() as stack:
        for owner, name, told in (
            (module("open_pose.body").Body, "__call__", standing),
            (module("open_pose.hand").Hand, "__call__", lambda *_: points(21)),
            (face, "__call__", lambda *_: None),
            (face, "compute_peaks_from_heatmaps", lambda *_: points(70)),
        ):
            stack.enter_context(mock.patch.object(owner, name, told))
        for both in (0, 1):
            wish = {"hands": both, "face": both}
            drawn.append(detect(ConditionRequest("openpose", 256, wish), photo, models))
            given = {"include_hand": bool(both), "include_face": bool(both), "output_type": "np"}
            direct = made(photo.pixels, detect_resolution=256, image_resolution=256, **given)
            expected = cv2.resize(direct, drawn[both].shape[1::-1], interpolation=cv2.INTER_LINEAR)
            np.testing.assert_array_equal(drawn[both], expected)
    white = [(one > 250).all(axis=2).any() for one in drawn]  # a face's dots
    assert drawn[0].any() and white == [False, True]


def smooth(height: int, width: int) -> Photo:
    return Photo(cv2.GaussianBlur(noise(height, width).pixels, (0, 0), 3) * np.uint8(1))


def call(name: str, made: Any, view: View, given: dict[str, Any]) -> NDArray[np.uint8]:
    if name == "softedge_anyline":
        return made(view.fitted, detect_resolution=128, output_type="np")
    if name == "softedge_teed":
        return made(view.fitted, detect_resolution=RESOLUTION, output_type="np", **given)
    sizes = {"detect_resolution": RESOLUTION, "image_resolution": RESOLUTION}
    found = made(np.array(view.photo), output_type="np", **sizes, **given)
    return found[1] if isinstance(found, tuple) else found


@pytest.mark.slow
def test_a_zoe_file_without_some_weights_is_refused(tmp_path: Path) -> None:
    """The package keeps random ones in their place."""
    import torch

    module = reference()
    with narrow_zoe(module):
        write_weights("depth_zoe", tmp_path, module)
        file = tmp_path / "ZoeD_M12_N.pt"
        state = torch.load(file)["model"]
        del state["conv2.weight"]
        torch.save({"model": state}, file)
        with pytest.raises(BadInput, match=r"ZoeD_M12_N\.pt.*KeyError"):
            detect(ConditionRequest("depth_zoe", 64), noise(64, 64), Models([tmp_path]))


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04"])
def test_a_broken_file_is_named(content: bytes, tmp_path: Path) -> None:
    reference()
    (tmp_path / "ControlNetHED.pth").write_bytes(content)
    with pytest.raises(BadInput, match=r"ControlNetHED\.pth.*models verify"):
        detect(ConditionRequest("softedge_hed", 64), noise(64, 64), Models([tmp_path]))


@pytest.mark.parametrize("old", [True, False], ids=["torch before 2.6", "this torch"])
def test_a_pickle_with_code_is_refused(
    old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    reference()
    if old:  # which ran what a file told it to, unless it was asked not to
        import torch

        plain = torch.load

        def load(*args: Any, weights_only: bool = False, **given: Any) -> Any:
            return plain(*args, weights_only=weights_only, **given)

        monkeypatch.setattr(torch, "load", load)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "ControlNetHED.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BadInput):
        detect(ConditionRequest("softedge_hed", 64), noise(64, 64), Models([tmp_path]))
    assert not (tmp_path / "ran").exists()


def test_others_load_as_they_please_while_a_detector_is_opened() -> None:
    import threading

    import torch
    from comfyui_tandem.engine.conditions.reference.package import open_files

    reference()
    asked: list[tuple[str, Any]] = []

    def note(*args: Any, **given: Any) -> None:
        asked.append((args[0], given.get("weights_only")))

    def make() -> None:
        torch.load("mine", weights_only=False)
        other = threading.Thread(target=torch.load, args=["theirs"])
        other.start()
        other.join()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", note)
        open_files([], make)
        assert torch.load is note
    assert asked == [("mine", True), ("theirs", None)]


@pytest.mark.parametrize(
    ("size", "resolution", "fed", "side"),
    [
        ((64, 128), 512, (64, 128), 512),
        ((600, 400), 2048, (600, 400), 1672),  # 4 megapixels
        ((2, 6000), 512, (2, 32), 512),
        ((200, 2), 600, (32, 2), 512),
    ],
)
def test_no_photo_makes_a_network_huge(
    size: tuple[int, int], resolution: int, fed: tuple[int, int], side: int
) -> None:
    from comfyui_tandem.engine.conditions.reference.detectors import _filter

    seen: list[View] = []

    def call(detector: object, view: View, settings: object) -> NDArray[np.uint8]:
        seen.append(view)
        return np.zeros((64, 64, 3), np.uint8)

    asked = View(np.zeros((*size, 3), np.uint8), resolution)
    found = _filter(object(), call, grey=True)(asked, {})
    assert found.shape == asked.size
    assert seen[0].photo.shape[:2] == fed and seen[0].resolution == side


@pytest.mark.parametrize("name", ["softedge_teed", "softedge_anyline", "softedge_pidinet", "mlsd"])
def test_tiny_and_thin_photos_have_a_hint(name: str, tmp_path: Path) -> None:
    write_weights(name, tmp_path, reference())
    models = Models([tmp_path])
    params = {"detail": 64} if name == "softedge_anyline" else {}
    for size in [(1, 1), (2, 300)]:
        view = View(noise(*size).pixels, 64)
        found = detect(ConditionRequest(name, 64, params), noise(*size), models)
        assert found.shape == view.size


@pytest.mark.slow
def test_a_half_mediapipe_costs_the_face_alone(tmp_path: Path) -> None:
    """Newer mediapipe without `solutions` must not take every detector down."""
    reference()
    (tmp_path / "mediapipe").mkdir()
    (tmp_path / "mediapipe" / "__init__.py").write_text("")
    code = (
        "from comfyui_tandem.engine.conditions.reference.package import reference_module as r\n"
        "import sys, os\nbefore = dict(os.environ)\nprint(r('hed').HEDdetector.__name__)\n"
        "assert os.environ == before, 'changed'\n"
        "assert sys.modules['mediapipe'].__file__.startswith(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == "HEDdetector", done.stderr[-500:]


def test_face_mesh_equals_the_direct_call() -> None:
    """Where a mediapipe with `solutions` is installed, whose wheel has its weights."""
    if obstacle("face_mesh") is not None:
        pytest.skip(str(obstacle("face_mesh")))
    made = reference()("mediapipe_face").MediapipeFaceDetector()
    for photo, has_face in (("astronaut", True), ("coffee", False)):
        taken = real_photo(photo)
        found = detect(ConditionRequest("face_mesh", 512), taken, Models())
        sizes = {"detect_resolution": 512, "image_resolution": 512, "output_type": "np"}
        direct = made(np.array(taken.pixels), max_faces=1, min_confidence=0.5, **sizes)
        shape = found.shape[1::-1]
        expected = cv2.resize(direct, shape, interpolation=cv2.INTER_NEAREST)
        np.testing.assert_array_equal(found, expected)
        assert bool(found.any()) == has_face


def test_a_missing_face_package_is_told() -> None:
    if obstacle("face_mesh") is None:
        pytest.skip("mediapipe with solutions is installed")
    assert "mediapipe" in str(obstacle("face_mesh")) or "controlnet_aux" in str(
        obstacle("face_mesh")
    )


def test_every_detector_of_the_package_has_a_case() -> None:
    ours = {name for name, entry in DETECTORS.items() if "controlnet_aux" in entry.packages}
    assert ours - set(CASES) == {"face_mesh"}  # see above
