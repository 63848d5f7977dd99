"""What a worker is started with: one frozen value, made once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..engine.errors import BadInput
from ..engine.wire.codecs import PhotoLimits

CHILD_PROGRAM = Path(__file__).with_name("boot_child.py")


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and secrets of one worker.

    `allowed_hosts` are names besides localhost and the address a connection arrived at.
    """

    token: str | None = field(default=None, repr=False)
    allowed_hosts: frozenset[str] = frozenset()
    slots: int = 1  # jobs at the same time
    spare: bool = True  # one more child that waits with its imports done
    queue_length: int = 64  # tasks waiting, for each slot
    json_bytes: int = 64 * 1024
    photo: PhotoLimits = field(default_factory=PhotoLimits)
    hint_pixels: int = 2**24
    blob_store_bytes: int = 2**30
    blob_seconds: float = 3600.0
    blob_folder: Path | None = None  # a private folder is made inside; None: the system's own
    result_store_bytes: int = 2**28
    result_seconds: float = 600.0
    task_seconds: float = 120.0  # where the client gives no deadline
    child_memory_bytes: int = 2**32
    model_folders: tuple[Path, ...] = ()  # where weights are looked for; none is fetched
    child_program: Path = CHILD_PROGRAM

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= 64:
            raise BadInput("slots", self.slots, "choose 1 to 64")
        if self.blob_store_bytes < self.photo.bytes:
            do = f"give at least one photo's {self.photo.bytes} bytes"
            raise BadInput("blob_store_bytes", self.blob_store_bytes, do)
