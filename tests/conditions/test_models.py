"""Folders of weights: what is found, what is missing, what is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import DETECTORS, ConditionRequest, Models, detect, load
from comfyui_tandem.engine.conditions.models import held_bytes, missing_package
from comfyui_tandem.engine.conditions.weights import find_weights
from comfyui_tandem.engine.errors import BadInput, Unavailable

from .material import DATA, NETWORKS, noise, real_models, real_photo

NEEDY = [name for name, entry in DETECTORS.items() if entry.files]


@pytest.mark.parametrize("name", NEEDY)
def test_missing_weights_say_which_file_where_looked_where_published(
    name: str, tmp_path: Path
) -> None:
    file = DETECTORS[name].files[0]
    with pytest.raises(Unavailable) as error:
        detect(ConditionRequest(name, 64), noise(64, 64), Models([tmp_path]))
    text = str(error.value)
    assert file.name in text and str(tmp_path) in text and file.source in text
    assert Models([tmp_path]).obstacle(name)


def test_an_obstacle_is_known_without_loading_anything(tmp_path: Path) -> None:
    empty, real = Models([tmp_path]), real_models()
    assert all(empty.obstacle(name) for name in NEEDY)
    assert not any(real.obstacle(name) for name in NETWORKS)
    assert empty.obstacle("canny") is None and isinstance(empty.obstacle("cany"), BadInput)
    assert real.shelf.loads == 0


def test_weights_are_found_flat_or_in_their_repository_folder(tmp_path: Path) -> None:
    file = DETECTORS["depth_anything"].files[0]
    nested = tmp_path / "b" / file.repo / file.path_in_repo
    nested.parent.mkdir(parents=True)
    nested.write_bytes(b"x")
    folders = [tmp_path / "a", tmp_path / "b"]
    assert find_weights(file, folders) == nested
    (tmp_path / "a").mkdir()
    flat = tmp_path / "a" / file.name
    flat.write_bytes(b"x")
    assert find_weights(file, folders) == flat


@pytest.mark.parametrize("name", NETWORKS)
def test_the_second_hint_loads_nothing(name: str) -> None:
    models, photo = real_models(), noise(64, 64)
    first = detect(ConditionRequest(name, 64), photo, models)
    np.testing.assert_array_equal(first, detect(ConditionRequest(name, 64), photo, models))
    assert models.shelf.loads == 1


def test_entries_of_one_network_share_it() -> None:
    models, photo = real_models(), noise(64, 64)
    for name in ("depth_fast", "normals_fast"):
        detect(ConditionRequest(name, 64), photo, models)
    assert models.shelf.loads == 1


RESIDENT = """
import gc, sys
from pathlib import Path
import numpy as np
from comfyui_tandem.engine.conditions import ConditionRequest, Models, Photo, detect

def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

models = Models([Path(sys.argv[1])])
photo = Photo(np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8))
first, *names = sys.argv[2:]
for _ in range(2):
    detect(ConditionRequest(first, 512), photo, models)  # imports are nobody's memory
shelf, before = models.shelf.bytes, resident()
for name in names:
    for _ in range(2):
        detect(ConditionRequest(name, 512), photo, models)
print(resident() - before, models.shelf.bytes - shelf)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_the_memory_that_is_counted_is_the_memory_that_is_held() -> None:
    command = [sys.executable, "-c", RESIDENT, str(real_models().folders[0]), *NETWORKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, counted = map(int, done.stdout.split())
    assert 0.5 * counted < grown < 1.3 * counted, (grown, counted)


def test_large_files_count_by_their_bytes_whatever_the_entry_says() -> None:
    entry = DETECTORS["person_mask"]
    assert held_bytes(entry, 450_000) == entry.memory_mb * 1e6
    assert held_bytes(entry, 10**9) > 10**9


def test_every_network_says_what_it_holds() -> None:
    for entry in DETECTORS.values():
        assert bool(entry.files) <= (entry.memory_mb > 0), entry.name


def test_two_detectors_at_once_give_what_they_give_alone() -> None:
    photo, names = real_photo("couple"), ("openpose_small", "segment_small", "depth_fast")
    alone = {name: detect(ConditionRequest(name, 256), photo, real_models()) for name in names}
    models, start = real_models(), threading.Barrier(6, timeout=60)

    def run(name: str) -> bool:
        start.wait()
        return bool((detect(ConditionRequest(name, 256), photo, models) == alone[name]).all())

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(run, [*names, *names]))
    assert models.shelf.loads == 3


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_a_broken_onnx_file_is_named(content: bytes | None, tmp_path: Path) -> None:
    if content is None:
        if not (DATA / "onnx").is_dir():
            pytest.skip("no weights")
        content = (DATA / "onnx" / "selfie_256.onnx").read_bytes()[:-5000]
    (tmp_path / "selfie_256.onnx").write_bytes(content)
    with pytest.raises(BadInput, match=r"selfie_256\.onnx.*models verify"):
        detect(ConditionRequest("person_mask", 64), noise(64, 64), Models([tmp_path]))


def test_another_network_under_the_name_is_told_apart(tmp_path: Path) -> None:
    if not (DATA / "onnx").is_dir():
        pytest.skip("no weights")
    shutil.copy(DATA / "onnx" / "movenet_lightning_192.onnx", tmp_path / "selfie_256.onnx")
    with pytest.raises(BadInput, match="is it another network"):
        detect(ConditionRequest("person_mask", 64), noise(64, 64), Models([tmp_path]))


def test_a_replaced_file_is_loaded_anew(tmp_path: Path) -> None:
    if not (DATA / "onnx").is_dir():
        pytest.skip("no weights")
    file = tmp_path / "selfie_256.onnx"
    shutil.copy(DATA / "onnx" / "selfie_256.onnx", file)
    models = Models([tmp_path])
    load("person_mask", models)
    file.write_bytes(b"broken")
    with pytest.raises(BadInput):
        load("person_mask", models)


def test_a_very_long_hint_is_refused() -> None:
    with pytest.raises(BadInput, match="size of the hint"):
        detect(ConditionRequest("canny", 4096), noise(1, 4000))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entry = replace(DETECTORS["canny"], packages=("no_such_package",))
    monkeypatch.setattr(
        "comfyui_tandem.engine.conditions.registry.DETECTORS", {**DETECTORS, "canny": entry}
    )
    assert "no_such_package" in str(Models().obstacle("canny"))


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("cv2", "pip install opencv-python-headless"),
        ("mediapipe.python.solutions", "pip install 'mediapipe<0.10.30'"),
        ("timm", "pip install timm"),
    ],
)
def test_a_missing_package_says_what_pip_calls_it(package: str, told: str) -> None:
    assert told in str(missing_package("x", package))


@pytest.mark.parametrize("name", DETECTORS)
def test_metadata_is_whole(name: str) -> None:
    entry = DETECTORS[name]
    assert entry.name == name and entry.title and entry.about and entry.polarity and entry.family
    assert (entry.run is None) != (entry.load is None)
    assert entry.seconds_per_mpixel > 0 and entry.bytes_per_pixel > 0
    assert entry.cost in ("light", "medium", "heavy")
    for file in entry.files:
        assert file.licence and (file.repo or file.published)
        assert len(file.sha256) in (0, 64)
    if "commercial" in entry.licence or "research" in entry.licence:
        assert not entry.commercial
    assert bool(entry.files) <= (entry.licence != "no weights")


def test_what_is_not_for_commerce_is_marked() -> None:
    marked = {name for name, entry in DETECTORS.items() if not entry.commercial}
    assert marked == {"softedge_pidinet", "scribble_pidinet", "openpose"}


def test_published_files_are_pinned_but_those_of_which_no_source_names_a_hash() -> None:
    files = {file for entry in DETECTORS.values() for file in entry.files}
    converted = {file for file in files if "tf2onnx" in file.source}  # nobody publishes the result
    unpinned = {file.name for file in files - converted if not file.sha256}
    assert unpinned == {"ZoeD_M12_N.pt", "5_model.pth", "MTEED.pth"}
    assert not any(file.sha256 for file in converted)
