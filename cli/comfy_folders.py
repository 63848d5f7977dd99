"""Where the ComfyUI around this pack looks for detectors' weights, without importing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..engine.errors import BadInput, Unavailable

FOLDER = "tandem_detectors"  # among ComfyUI's model folders, and in extra_model_paths.yaml
EXTRA = "extra_model_paths.yaml"


def detector_folders(comfyui: Path) -> list[Path]:
    """Those of its extra_model_paths.yaml, then its own; in the order in which it looks.

    Raises:
        BadInput: the file cannot be read.
        Unavailable: it is there, and PyYAML is not.
    """
    found: list[Path] = []
    for folder, is_default in _extra(comfyui / EXTRA):
        if folder in found and is_default:
            found.remove(folder)
        if folder not in found:
            found.insert(0 if is_default else len(found), folder)
    own = comfyui / "models" / FOLDER
    return [*found, *([] if own in found else [own])]


def _extra(file: Path) -> list[tuple[Path, bool]]:
    """Each folder for detectors that the file names, and whether it is to come first."""
    if not file.is_file():
        return []
    try:
        import yaml
    except ImportError as error:
        do = f"pip install pyyaml to read {file}, or name the folders with --models"
        raise Unavailable("package", "yaml", do) from error
    try:
        sections: Any = yaml.safe_load(file.read_text("utf-8")) or {}
        return [found for section in sections.values() for found in _section(file, section or {})]
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise BadInput(file.name, f"{type(error).__name__}: {error}", f"mend {file}") from error


def _section(file: Path, section: dict[str, Any]) -> list[tuple[Path, bool]]:
    base = file.parent / os.path.expandvars(os.path.expanduser(section.get("base_path", "")))
    folders = [line for line in section.get(FOLDER, "").split("\n") if line]
    is_default = bool(section.get("is_default", False))
    return [(Path(os.path.normpath(base / folder)), is_default) for folder in folders]
