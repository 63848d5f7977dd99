"""Photos that clients sent, known by the sha256 of their bytes, in a private folder."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Self

from ..engine.wire.codecs import photo_type
from .folders import private_folder
from .problem import Problem
from .settings import Settings

_MAGIC_BYTES = 12
LONGEST_UPLOAD_S = 600.0
MOST_PHOTOS = 1024  # however small: each is a file, and an entry to look through


@dataclass(slots=True)
class _Blob:
    bytes: int
    used_at: float
    holders: int = 0


class Upload:
    """One body on its way in: counted, hashed, looked at, then kept or dropped."""

    def __init__(
        self, store: BlobStore, blob: str, address: str, reserved: int, most_bytes: int
    ) -> None:
        self._store, self._blob, self.reserved = store, blob, reserved
        self._address, self._until = address, store.clock() + LONGEST_UPLOAD_S
        self._most_bytes = most_bytes
        self._digest = hashlib.sha256()
        self._path = store.folder / f"{secrets.token_hex(8)}.part"
        # Without a buffer, which would try again on closing, when the disk is still full.
        self._file = self._path.open("xb", buffering=0)
        self._start = b""
        self.bytes = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            Problem: too many of them, no picture, or the disk is full.
        """
        if self._store.clock() > self._until:
            raise Problem("deadline", f"an upload takes at most {LONGEST_UPLOAD_S:.0f} s")
        self.bytes += len(chunk)
        if self.bytes > min(self._most_bytes, self.reserved):
            raise Problem("too_large", f"a photo takes at most {self._most_bytes} bytes here")
        if len(self._start) < _MAGIC_BYTES:
            self._start += chunk[:_MAGIC_BYTES]
            if len(self._start) >= _MAGIC_BYTES and photo_type(self._start) is None:
                raise Problem("unsupported_type", "send PNG, JPEG, WebP or raw safetensors")
        self._digest.update(chunk)
        try:
            left = memoryview(chunk)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _no_space(error) from error

    def keep(self) -> None:
        """All bytes are here.

        Raises:
            Problem: they are no picture or not those of the name, or the disk is full.
        """
        if len(self._start) < _MAGIC_BYTES:
            raise Problem("unsupported_type", "send PNG, JPEG, WebP or raw safetensors")
        if self._digest.hexdigest() != self._blob:
            raise Problem("bad_request", "the body's sha256 is not the one in the path")
        try:
            self._file.close()
        except OSError as error:
            raise _no_space(error) from error
        self._store.add(self._path, self._blob, self.bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        finally:
            self._path.unlink(missing_ok=True)  # gone already if it was kept
            self._store.incoming[self._address] -= self.reserved
            self._store.incoming += Counter()  # drops those at zero


class BlobStore:
    """Least recently used photos go first; none that a task holds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self.clock = settings, clock
        self._blobs: OrderedDict[str, _Blob] = OrderedDict()
        self.folder, self._lock = Path(), None
        self.bytes = 0
        self.incoming: Counter[str] = Counter()  # reserved bytes by address

    @property
    def incoming_bytes(self) -> int:
        return self.incoming.total()

    def open(self) -> None:
        self.close()
        self.folder, self._lock = private_folder(self._settings.blob_folder)

    def close(self) -> None:
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._blobs.clear()
        self.bytes = 0

    def has(self, blob: str) -> bool:
        self.expire()
        if blob not in self._blobs:
            return False
        if not self._path(blob).is_file():  # whoever tidies temporary folders took it
            self._drop(blob)
            return False
        self._blobs[blob].used_at = self.clock()
        self._blobs.move_to_end(blob)
        return True

    def receive(self, blob: str, address: str, declared: int | None) -> Upload:
        """A place for a body of the declared size, or of the largest one allowed.

        An address gets half of the room, and one upload in any case.

        Raises:
            Problem: it is too large, or there is no room for it.
        """
        most = self._settings.photo.bytes
        if declared is not None and declared > most:
            raise Problem("too_large", f"a photo takes at most {most} bytes here")
        reserved = most if declared is None else declared
        room, of_it = self._settings.blob_store_bytes, self.incoming[address]
        if self.incoming_bytes + reserved > room or (of_it and of_it + reserved > room // 2):
            raise Problem("queue_full", "too many photos are on their way in", retry_after_s=1)
        try:
            if not self.folder.is_dir():  # tidied away as a whole
                self.open()
            upload = Upload(self, blob, address, reserved, most)
        except OSError as error:
            raise _no_space(error) from error
        self.incoming[address] += reserved
        return upload

    def add(self, path: Path, blob: str, count: int) -> None:
        path.replace(self._path(blob))
        if blob not in self._blobs:
            self._blobs[blob] = _Blob(count, self.clock())
            self.bytes += count
        self.has(blob)
        self._shrink(keep=blob)

    @contextmanager
    def hold(self, blob: str) -> Generator[Path]:
        """The file of a photo, which stays while it is held.

        Raises:
            Problem: it is not here.
        """
        if not self.has(blob):
            raise Problem("unknown_blob", "send the photo first: PUT /v1/blobs/{sha256}")
        entry = self._blobs[blob]
        entry.holders += 1
        try:
            yield self._path(blob)
        finally:
            entry.holders -= 1

    def _path(self, blob: str) -> Path:
        return self.folder / blob

    def expire(self) -> None:
        """Drop what nobody asked for in a while."""
        too_old = self.clock() - self._settings.blob_seconds
        old = takewhile(lambda item: item[1].used_at <= too_old, self._blobs.items())
        for blob in [blob for blob, _ in old]:  # the rest was used later
            self._drop(blob)

    def _shrink(self, keep: str) -> None:
        for blob in list(self._blobs):
            if self.bytes <= self._settings.blob_store_bytes and len(self._blobs) <= MOST_PHOTOS:
                return
            if blob != keep:
                self._drop(blob)

    def _drop(self, blob: str) -> None:
        entry = self._blobs[blob]
        if entry.holders:
            return
        self._path(blob).unlink(missing_ok=True)
        del self._blobs[blob]
        self.bytes -= entry.bytes


def _no_space(error: OSError) -> Problem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Problem("no_space", "the photo does not fit on the worker's disk")
    return Problem("internal", f"writing the photo failed: {os.strerror(error.errno or 0)}")
