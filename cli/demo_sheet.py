"""The contact sheet: photo, hints and picture side by side, each with two lines under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PAPER, INK, FAINT, FRAME = (24, 26, 30), (236, 238, 240), (150, 156, 166), (70, 75, 84)
HEIGHT_PX, GAP_PX, LABEL_PX, TITLE_PX, WIDEST_PX = 300, 22, 58, 84, 1460


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture of the sheet."""

    file: Path
    title: str
    note: str


Placed = tuple[Tile, Image.Image]


def contact_sheet(tiles: Sequence[Tile], title: str, note: str) -> Image.Image:
    """A dark sheet; pictures of one height flow into rows."""
    rows = _rows([(tile, _scaled(tile.file)) for tile in tiles])
    width = max(sum(image.width + GAP_PX for _, image in row) for row in rows) + GAP_PX
    height = TITLE_PX + len(rows) * (HEIGHT_PX + LABEL_PX + GAP_PX)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (GAP_PX, 16), title, INK, 26, width - 2 * GAP_PX)
    _write(pen, (GAP_PX, 49), note, FAINT, 16, width - 2 * GAP_PX)
    for number, row in enumerate(rows):
        left, top = GAP_PX, TITLE_PX + number * (HEIGHT_PX + LABEL_PX + GAP_PX)
        for tile, image in row:
            sheet.paste(image, (left, top))
            edge = (left - 1, top - 1, left + image.width, top + HEIGHT_PX)
            pen.rectangle(edge, outline=FRAME)
            _write(pen, (left, top + HEIGHT_PX + 9), tile.title, INK, 18, image.width)
            _write(pen, (left, top + HEIGHT_PX + 33), tile.note, FAINT, 14, image.width)
            left += image.width + GAP_PX
    return sheet


def _scaled(file: Path) -> Image.Image:
    """At the sheet's height; a panorama is cut to what fits."""
    with Image.open(file) as image:
        width = max(1, round(image.width * HEIGHT_PX / image.height))
        whole = image.convert("RGB").resize((width, HEIGHT_PX), Image.Resampling.LANCZOS)
    return whole.crop((0, 0, min(width, WIDEST_PX - 2 * GAP_PX), HEIGHT_PX))


def _rows(placed: Sequence[Placed]) -> list[list[Placed]]:
    rows: list[list[Placed]] = [[]]
    used = GAP_PX
    for tile, image in placed:
        if rows[-1] and used + image.width + GAP_PX > WIDEST_PX:
            rows.append([])
            used = GAP_PX
        rows[-1].append((tile, image))
        used += image.width + GAP_PX
    return rows


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    colour: tuple[int, int, int],
    size: int,
    width: int,
) -> None:
    font = _font(size)
    shown = text
    while shown and font.getlength(shown) > width:
        shown = shown.removesuffix("...")[:-1].rstrip() + "..." if len(shown) > 4 else ""
    pen.text(place, shown, colour, font)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)  # Pillow's own: no font file is looked for
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ImportError("Pillow was built without FreeType", name="Pillow with FreeType")
    return font
