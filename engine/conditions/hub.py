"""Getting weights from the hub and checking them. Nodes never come here: only a command does."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import pickletools
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import BadInput, Unavailable
from .detector import Detector
from .networks.session import Network
from .weights import WeightFile, find_weights

Verdict = Literal["good", "unpinned", "missing", "broken"]
log = logging.getLogger(__name__)
_BLOCK_BYTES = 1 << 20
_SMALLEST_ONNX = 16
_PICKLES = 5  # magic number, protocol, system, objects, keys of the storages that follow


@dataclass(frozen=True, slots=True)
class Checked:
    """One file of a detector: where it is and what is known of it."""

    file: WeightFile
    path: Path | None
    verdict: Verdict
    why: str


def download(detector: Detector, folder: Path, folders: Sequence[Path] = ()) -> list[Path]:
    """The detector's files; those that are not whole in one of the folders go into `folder`.

    A broken one in `folder` is set aside under another name; one in `folders` is left alone, as
    `folder` comes first. huggingface_hub brings what it has: progress,
    resuming, proxies, mirrors (HF_ENDPOINT), tokens.

    Raises:
        BadInput: a file is in no hub repository, or is not the one that was pinned.
        Unavailable: the hub or the file cannot be reached, or huggingface_hub is not installed.
    """
    if not detector.files:
        return []
    return [_whole(file, folder, folders) or _fetch(file, folder) for file in detector.files]


def _whole(file: WeightFile, folder: Path, folders: Sequence[Path]) -> Path | None:
    """The file where it is found first and not broken."""
    for place in (folder, *folders):
        path = find_weights(file, [place])
        if path is None:
            continue
        checked = check(file, path)
        if checked.verdict != "broken":
            return path
        log.warning("%s is broken: %s", path, checked.why)
        if place == folder:
            path.replace(path.with_name(f"{path.name}.broken"))
            return _whole(file, folder, folders)  # it may be there twice: flat and nested
    return None


def _fetch(file: WeightFile, folder: Path) -> Path:
    if not file.repo:
        raise BadInput("weights file", file.name, f"put it into {folder}: {file.source}")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        do = "pip install huggingface_hub, or put the files there yourself"
        raise Unavailable("package for downloads", "huggingface_hub", do) from error
    try:
        got = hf_hub_download(file.repo, file.path_in_repo, local_dir=folder / file.repo)
    except Exception as error:  # its own, httpx's or requests', OSError
        seen = f"{type(error).__name__}: {error}"
        do = f"getting {file.source} failed: try again, what has arrived is kept"
        raise Unavailable(f"download of {file.name}", seen, do) from error
    path = Path(got)
    checked = check(file, path)
    if checked.verdict == "broken":
        path.unlink()
        raise BadInput(f"downloaded {file.name}", checked.why, "it was removed: try again")
    return path


def check_all(detector: Detector, folders: Sequence[Path]) -> list[Checked]:
    """Each of the detector's files, read as a whole."""
    found = [(file, find_weights(file, folders)) for file in detector.files]
    return [
        Checked(file, None, "missing", file.source) if path is None else check(file, path)
        for file, path in found
    ]


def check(file: WeightFile, path: Path) -> Checked:
    """A file against its pinned hash, else against what the hub named when it was downloaded.

    Without either it is "unpinned": then only its outer form was looked at.
    """
    size = path.stat().st_size
    if file.bytes and size != file.bytes:
        return Checked(file, path, "broken", f"{size} bytes instead of {file.bytes}")
    wanted = file.sha256 or _named_by_hub(file, path)
    if wanted:
        found = sha256_of(path)
        if found != wanted:
            return Checked(file, path, "broken", f"sha256 {found} instead of {wanted}")
        pinned = "pinned sha256" if file.sha256 else "as the hub named it at the download"
        return Checked(file, path, "good", pinned)
    if (why := _outer_fault(path, size)) is not None:
        return Checked(file, path, "broken", why)
    return Checked(file, path, "unpinned", f"no source names a hash; sha256 {sha256_of(path)}")


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _named_by_hub(file: WeightFile, path: Path) -> str:
    """The hash in huggingface_hub's note beside a download: its second line, the file's etag."""
    root = path
    for _ in Path(file.path_in_repo).parts:
        root = root.parent
    note = root / ".cache" / "huggingface" / "download" / f"{file.path_in_repo}.metadata"
    try:
        lines = note.read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    etag = lines[1].strip() if len(lines) > 1 else ""
    return etag if len(etag) == 64 else ""  # shorter: git's hash of a small file


def _outer_fault(path: Path, size: int) -> str | None:
    if path.suffix == ".onnx":
        with path.open("rb") as stream:
            is_model = stream.read(1) == b"\x08"  # field 1, the format's version, comes first
        if not is_model or size < _SMALLEST_ONNX:
            return "it is no ONNX file"
        return _onnx_fault(path)
    with path.open("rb") as stream:
        start = stream.read(2)
    if start == b"PK":
        try:
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
        except (zipfile.BadZipFile, OSError, EOFError):
            return "its archive is cut off"
        return f"{bad} inside is damaged" if bad else None
    if start[:1] != b"\x80":
        return "it is no file of torch"
    return _pickle_fault(path)


def _onnx_fault(path: Path) -> str | None:
    """What opening the network says; nothing where onnxruntime is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    try:
        Network(path)
    except BadInput as error:
        return f"onnxruntime cannot open it: {error.__cause__}".splitlines()[0][:200]
    return None


def _pickle_fault(path: Path) -> str | None:
    """Reads the pickles at the start of torch's older format, running nothing of them."""
    try:
        with path.open("rb") as stream:
            for _ in range(_PICKLES):
                for _ in pickletools.genops(stream):
                    pass
    except ValueError:
        return "its pickles are cut off or damaged"
    return None
