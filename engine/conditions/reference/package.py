"""Importing controlnet-aux, and opening its detectors on files that were found already.

What is contained: one broken optional package of it (mediapipe without `solutions`) fails all its
detectors; its import sets an environment variable and warns of others' changes; its loaders look
for weights on the network unless given a folder; one reads the command line of the process.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...commands import command
from ...errors import BadInput, Unavailable

PACKAGE = "controlnet_aux"
TORCHVISION_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_lock = threading.RLock()
_declared: list[Any] = []  # torch forgets operators whose declaration is dropped


def reference_module(name: str) -> Any:
    """A module of the package, such as "hed".

    Raises:
        ImportError: it, or a package that it needs, is not installed.
        Unavailable: it is installed and cannot be imported.
    """
    with _lock, _without_half_mediapipe(), _same_environment(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _import_torchvision()
            return importlib.import_module(f"{PACKAGE}.{name}")
        except ImportError:
            raise
        except Exception as error:  # whatever its many packages raise while they are imported
            seen = f"{type(error).__name__}: {error}"
            raise Unavailable(PACKAGE, seen, "mend or reinstall it") from error


def open_files(paths: list[Path], make: Callable[[], Any]) -> Any:
    """What `make` builds from these files: weights alone, never code, with an empty command line.

    Raises:
        BadInput: it cannot read them.
    """
    with _lock, _bare_command_line(), _weights_alone(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return make()
        except ImportError:
            raise
        except Exception as error:  # broken files: pickle, zip, KeyError, RuntimeError, ...
            names = ", ".join(path.name for path in paths)
            do = f"{type(error).__name__} on reading: check with {command('models verify')}"
            raise BadInput("weights file", names, do) from error


def _import_torchvision() -> None:
    """Beside a CPU build of torch its own operators are missing; nothing here uses them."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = importlib.import_module("torch").library.Library("torchvision", "DEF")
        for operator in TORCHVISION_OPERATORS:
            library.define(operator)
        _declared.append(library)
        importlib.import_module("torchvision")


@contextmanager
def contained(detector: str) -> Generator[None]:
    """What goes wrong inside becomes one line.

    Raises:
        Unavailable: the package's code failed.
    """
    try:
        with warnings.catch_warnings():  # of names its own packages have given up
            warnings.simplefilter("ignore")
            yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # anything its code raises on an unusual picture
        seen = f"{type(error).__name__}: {error}"
        do = "it failed on this picture: try another resolution or detector"
        raise Unavailable(f"{detector} of {PACKAGE}", seen, do) from error


@contextmanager
def _without_half_mediapipe() -> Generator[None]:
    """Newer mediapipe has no `solutions`; hidden, it costs the face detector alone."""
    if PACKAGE in sys.modules or not _lacks_solutions():
        yield
        return
    before = sys.modules.get("mediapipe")
    sys.modules["mediapipe"] = None  # pyright: ignore
    try:
        yield
    finally:
        del sys.modules["mediapipe"]
        if before is not None:
            sys.modules["mediapipe"] = before


def _lacks_solutions() -> bool:
    try:
        mediapipe = importlib.import_module("mediapipe")
    except Exception:  # absent: nothing to hide; broken: better hidden
        return importlib.util.find_spec("mediapipe") is not None
    return not hasattr(mediapipe, "solutions")


@contextmanager
def _same_environment() -> Generator[None]:
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]


@contextmanager
def _weights_alone() -> Generator[None]:
    """The package's own `torch.load`s run code in a file before torch 2.6: in this thread, never.

    Files that were saved on a GPU open on the CPU.
    """
    torch: Any = importlib.import_module("torch")
    before, mine = torch.load, threading.get_ident()

    @functools.wraps(before)
    def load(*args: Any, **given: Any) -> Any:
        if threading.get_ident() == mine:
            given = {"map_location": "cpu", **given, "weights_only": True}
        return before(*args, **given)

    torch.load = load
    try:
        yield
    finally:
        torch.load = before


@contextmanager
def _bare_command_line() -> Generator[None]:
    """LeReS parses `sys.argv` for its own options, and ends the process at ComfyUI's."""
    before = sys.argv
    sys.argv = before[:1]
    try:
        yield
    finally:
        sys.argv = before
