"""Profiles as files: their JSON form, checked, and the folder of the user's own copies."""

from __future__ import annotations

import json
import logging
import os
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import BadInput, TandemError
from .profile import Measured, Profile

if TYPE_CHECKING:
    from .costs import Costs

log = logging.getLogger(__name__)
FOLDER = "profiles"
SHIPPED = Path(__file__).resolve().parents[2] / FOLDER
SCHEMA = "schema.json"
MOST_BYTES = 2**20
Name = Field(min_length=1, max_length=100)
Seconds = Field(ge=0, lt=1e5, allow_inf_nan=False)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MeasuredForm(_Strict):
    """One detector at one size."""

    detector: str = Name
    resolution: int = Field(ge=1, le=65536, description="shorter side of the hint in pixels")
    pixels: int = Field(ge=1, le=2**32, description="of the hint")
    warm_s: float = Seconds
    cold_s: float = Seconds
    cpu_s: float | None = Seconds
    memory_bytes: int | None = Field(ge=0, lt=2**50)
    hint_bytes: int = Field(ge=0, lt=2**40)


class ProfileForm(_Strict):
    """What detectors take on one device."""

    version: int = Field(ge=1, le=1)
    name: str = Name
    device: str = Field(max_length=300)
    date: str = Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    versions: dict[str, str]
    measured: list[MeasuredForm] = Field(max_length=4096)
    ratios: dict[str, list[float]] = Field(
        default_factory=dict, description="latest actual / expected seconds by detector"
    )


def schema() -> dict[str, Any]:
    """The JSON schema of a profile."""
    return ProfileForm.model_json_schema()


def read_profile(path: Path) -> Profile:
    """The profile of a file.

    Raises:
        BadInput: it cannot be read, or is no profile.
    """
    try:
        with path.open("rb") as file:
            form = ProfileForm.model_validate_json(file.read(MOST_BYTES))
    except OSError as error:
        raise BadInput("profile", path.name, f"{type(error).__name__} on reading") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole file"
        raise BadInput(f"profile {path.name}", place, f"mend it: {first['msg']}") from error
    if not all(0 < ratio < 1e6 for ratios in form.ratios.values() for ratio in ratios):
        raise BadInput(f"ratios of profile {path.name}", form.ratios, "need numbers above 0")
    rows = tuple(Measured(**row.model_dump()) for row in form.measured)
    ratios = {name: tuple(values) for name, values in form.ratios.items()}
    return Profile(form.name, form.device, form.date, form.versions, rows, ratios)


def write_profile(path: Path, profile: Profile) -> None:
    """Puts a profile in a file's place, whole or not at all."""
    text = json.dumps({"version": 1, **asdict(profile)}, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def shipped_profiles() -> dict[str, Path]:
    """Those that come with the pack, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.json")) if path.name != SCHEMA}


class OwnProfiles:
    """The user's own copies: a file a lane, read when it changed, corrected after runs."""

    def __init__(self, user_folder: Path) -> None:
        self.folder = user_folder / FOLDER
        self._read: dict[Path, int] = {}  # time of change
        self._profiles: dict[str, Profile] = {}
        self._broken: set[str] = set()

    def path(self, lane: str) -> Path:
        return self.folder / f"{lane}.json"

    @property
    def lanes(self) -> list[str]:
        """Lanes with a file."""
        return [path.stem for path in sorted(self.folder.glob("*.json"))]

    def teach(self, costs: Costs) -> None:
        """Hands on what is new; a broken file costs its lane the profile, and a line in the log."""
        for lane in self.lanes:
            path = self.path(lane)
            try:
                changed = path.stat().st_mtime_ns
                if self._read.get(path) == changed:
                    continue
                self._read[path] = changed
                self._profiles[lane] = profile = read_profile(path)
                self._broken.discard(lane)
            except (TandemError, OSError) as error:
                self._broken.add(lane)
                log.warning("Tandem: a profile is left out: %s", error)
                continue
            costs.adopt(lane, profile)

    def learn(self, costs: Costs) -> None:
        """Writes down what runs have shown; never over a newer or a broken file."""
        self.teach(costs)
        for lane, ratios in costs.ratios().items():
            if " " in lane:  # planned as another device: nothing about the lane itself
                continue
            own = self._profiles.get(lane) or Profile(lane, "", "", {})
            if lane in self._broken or dict(own.ratios) == ratios:
                continue
            own = replace(own, ratios=ratios)
            try:
                write_profile(self.path(lane), own)
                self._read[self.path(lane)] = os.stat(self.path(lane)).st_mtime_ns
            except OSError as error:  # a full or read-only disk: the run was good all the same
                log.warning("Tandem: %s cannot be written: %s", self.path(lane), error)
                return
            self._profiles[lane] = own
