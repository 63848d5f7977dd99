"""Makes the committed pictures of what the browser tests and the demo saw.

python3 scripts/demo.py && python3 scripts/test.py tests/browser
.venv/bin/python -m tests.browser.pictures
"""

from __future__ import annotations

from pathlib import Path

from comfyui_tandem.cli.demo_run import OUTPUT
from PIL import Image

from .examples import EXAMPLES, FOLDER, ROOT, SEEN

WIDEST_PX, QUALITY = 1150, 75


def save_jpeg(source: Path, target: Path) -> None:
    """A smaller copy without transparency."""
    with Image.open(source) as picture:
        small = picture.convert("RGB")
    small.thumbnail((WIDEST_PX, WIDEST_PX), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    small.save(target, quality=QUALITY, optimize=True, progressive=True)


if __name__ == "__main__":
    for name in EXAMPLES:
        save_jpeg(SEEN / f"{name}.png", FOLDER / f"{name}.jpg")
    save_jpeg(OUTPUT / "contact_sheet.png", ROOT / "docs" / "images" / "demo.jpg")
