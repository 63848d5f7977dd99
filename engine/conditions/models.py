"""Where this process finds weights, and what it has loaded of them.

The folders come from outside: a node pack, a worker or a command hands them in once, with
`use_models`. Without that there are none, and the detectors that are formulas still run.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ..errors import BadInput, TandemError, Unavailable
from . import registry
from .detector import Detector, Filter
from .entry_file import read_entry
from .shelf import Shelf
from .view import Pixels, View
from .weights import find_weights, missing_weights

log = logging.getLogger(__name__)
LIMIT_BYTES, IDLE_S = 4 * 2**30, 600.0
WEIGHTS_FACTOR = 1.2  # memory of weights by their bytes in the file; measured 1.02 to 1.19

Marks = tuple[tuple[str, int, int], ...]  # path, time of change, bytes


class Models:
    """Model folders, the detectors that their JSON files add, and what is loaded."""

    def __init__(
        self, folders: Sequence[Path] = (), limit_bytes: int = LIMIT_BYTES, idle_s: float = IDLE_S
    ) -> None:
        self.folders = tuple(Path(folder) for folder in folders)
        self.shelf: Shelf[Filter] = Shelf(limit_bytes, idle_s)
        self._read: dict[Path, tuple[int, Detector | None]] = {}  # by when it was changed

    @property
    def detectors(self) -> Mapping[str, Detector]:
        """All entries: the registry's, then those of JSON files in the folders.

        A file that claims to be one and is broken, or takes a name that is taken, is left out with
        a warning in the log.
        """
        found = dict(registry.DETECTORS)
        for path in sorted(path for folder in self.folders for path in folder.glob("*.json")):
            entry = self._entry(path)
            if entry is not None and found.setdefault(entry.name, entry) is not entry:
                log.warning("%s: a detector %s exists already", path, entry.name)
        return MappingProxyType(found)

    def _entry(self, path: Path) -> Detector | None:
        try:
            changed = path.stat().st_mtime_ns
            if (known := self._read.get(path)) and known[0] == changed:
                return known[1]
            self._read[path] = (changed, None)
            self._read[path] = (changed, read_entry(path))
        except (BadInput, OSError) as error:
            log.warning("%s is left out: %s", path, error)
            return None
        return self._read[path][1]

    def find(self, name: str) -> Detector:
        """The entry of that name.

        Raises:
            BadInput: there is none.
        """
        if name in registry.DETECTORS:
            return registry.DETECTORS[name]
        known = self.detectors
        if name not in known:
            raise BadInput("detector", name, f"choose one of {', '.join(known)}")
        return known[name]

    def obstacle(self, name: str) -> TandemError | None:
        """Why this process cannot run a detector; None if nothing is in the way. Loads nothing."""
        try:
            detector = self.find(name)
        except BadInput as error:
            return error
        for package in detector.packages:
            if not _installed(package):
                return missing_package(detector.name, package)
        for file in detector.files:
            if find_weights(file, self.folders) is None:
                return missing_weights(detector.name, file, self.folders)
        return None

    def filter(self, detector: Detector) -> Filter:
        """What runs a detector: its formula, or its network, loaded at the first call.

        Raises:
            Unavailable: a package or a weights file is not there.
            BadInput: a weights file is broken.
        """
        if detector.load is None:
            return _on_fitted(detector)
        found = self._found(detector)
        for file in detector.files:
            if file.name not in found:
                raise missing_weights(detector.name, file, self.folders)
        marks = _marks(found)
        size = held_bytes(detector, sum(bytes for *_, bytes in marks))
        load = detector.load
        return self.shelf.take((detector.load, marks), size, lambda: load(found))

    def marks(self, name: str) -> Marks:
        """Which weights a detector has here now: the path, time and size of each file found."""
        return _marks(self._found(self.find(name)))

    def _found(self, detector: Detector) -> dict[str, Path]:
        paths = {file.name: find_weights(file, self.folders) for file in detector.files}
        return {name: path for name, path in paths.items() if path is not None}


def _marks(found: Mapping[str, Path]) -> Marks:
    stats = [(path, path.stat()) for path in found.values()]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)


def held_bytes(detector: Detector, file_bytes: int) -> int:
    """What a detector holds when it is loaded: its measured figure, but no less than its weights.

    Small networks hold 10 to 60 times their file: onnxruntime keeps the memory of its last run.
    """
    return max(int(detector.memory_mb * 1e6), int(file_bytes * WEIGHTS_FACTOR))


def _on_fitted(detector: Detector) -> Filter:
    run = detector.run
    if run is None:
        raise BadInput("detector", detector.name, "give its entry a formula or a network")

    def formula(view: View, settings: Mapping[str, float]) -> Pixels:
        return run(view.fitted, settings)

    return formula


def _installed(package: str) -> bool:
    """Whether a package, or a dotted part of one, is there; nothing is imported for it."""
    root, *parts = package.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):  # a stub without a spec
        return False
    if spec is None:
        return False
    folders = [Path(folder, *parts) for folder in spec.submodule_search_locations or ()]
    return not parts or any(folder.is_dir() for folder in folders)


# Import names that are not what pip calls them.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "controlnet_aux": "controlnet-aux",
    "mediapipe.python.solutions": "'mediapipe<0.10.30'",  # newer ones have none
}


def missing_package(detector: str, package: str) -> Unavailable:
    name = DISTRIBUTIONS.get(package, package)
    do = f"pip install {name}, or choose another detector"
    return Unavailable(f"package for {detector}", package, do)


_models = Models()


def models() -> Models:
    """Those of this process."""
    return _models


def use_models(made: Models) -> None:
    """Let this process use these folders from now on."""
    global _models
    _models = made
