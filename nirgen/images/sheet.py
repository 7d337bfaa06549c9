"""Contact sheets: rows of images as one picture, with headings and captions."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nirgen.errors import NirgenError
from nirgen.escapes import printable
from nirgen.files import open_regular, read_bytes
from nirgen.images.arrays import resize
from nirgen.images.encoder import encode_png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Colour = tuple[int, int, int]

SHEET_WIDTH = 480  # pixels of an image in a sheet
PREVIEW = "preview.png"
_HIGHEST = 4 / 3  # of the width; higher images become narrower
_MARGIN, _GAP, _LINE = 12, 6, 24
_SWATCH = 18  # pixels of a colour in the legend, and before the next one
_HEADING, _CAPTION = 16, 14  # font sizes in pixels
_INK, _PAPER, _MISSING = (30, 30, 30), (255, 255, 255), (236, 236, 236)
_KEYWORD = b"nirgen preview"
_HEAD_BYTES = 256  # of a PNG, which hold its header and the chunk after it


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Images of a sheet that stand side by side."""

    images: Sequence[NDArray[np.uint8] | None]  # (H, W, 3) or (H, W); None leaves a grey field
    captions: Sequence[str] = ()  # one below each image; a single one goes across all of them


def contact_sheet(
    rows: Sequence[SheetRow],
    *,
    headings: Sequence[str] = (),
    width: int = SHEET_WIDTH,
    legend: Sequence[tuple[str, Colour]] = (),
) -> NDArray[np.uint8]:
    """Draw rows of images, at least one in all, below the headings of their columns: (H, W, 3) uint8.

    Each image is scaled to `width` pixels, keeping its proportions, or to 4/3 of that height. Control characters in
    texts become visible, and texts that are too long lose their middle.

    Args:
        rows: Rows, from the top.
        headings: Heading of each column; none for no line of headings.
        width: Pixels of a column.
        legend: Names of colours, in last lines.
    """
    columns = max(len(row.images) for row in rows)
    across = columns * width + (columns - 1) * _GAP
    fitted = [[_fitted(image, width) for image in row.images] for row in rows]
    heights = [max((image.height for image in row if image), default=0) or width // 2 for row in fitted]
    below = [_LINE if row.captions else _GAP for row in rows]
    top = _MARGIN + (_LINE if headings else 0)
    lines = _legend_lines(legend, across)
    size = (across + 2 * _MARGIN, top + sum(heights) + sum(below) + _LINE * len(lines) + _MARGIN - _GAP)
    picture = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    for column, heading in enumerate(headings):
        _write(draw, (_MARGIN + column * (width + _GAP), _MARGIN - 2), heading, width, bold=True)
    for row, images, height, caption_height in zip(rows, fitted, heights, below, strict=True):
        for column, image in enumerate(images):
            left = _MARGIN + column * (width + _GAP)
            if image is None or image.width < width or image.height < height:
                draw.rectangle((left, top, left + width - 1, top + height - 1), fill=_MISSING)
            if image is not None:
                picture.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
        top += height
        room = across if len(row.captions) == 1 else width
        for column, caption in enumerate(row.captions):
            _write(draw, (_MARGIN + column * (width + _GAP), top + 2), caption, room)
        top += caption_height
    for entries in lines:
        for indent, name, colour in entries:
            draw.rectangle((_MARGIN + indent, top + 6, _MARGIN + indent + 12, top + 18), fill=colour)
            _write(draw, (_MARGIN + indent + _SWATCH, top + 2), name, across)
        top += _LINE
    return np.asarray(picture)


def fit(image: NDArray[np.uint8], width: int = SHEET_WIDTH) -> NDArray[np.uint8]:
    """Scale (H, W, 3) or (H, W) as `contact_sheet` does, so that a large image needn't be kept."""
    rows, columns = image.shape[:2]
    scale = min(width / columns, _HIGHEST * width / rows)
    return resize(np.ascontiguousarray(image), (max(1, round(rows * scale)), max(1, round(columns * scale))))


def _fitted(image: NDArray[np.uint8] | None, width: int) -> Image.Image | None:
    return None if image is None else Image.fromarray(fit(image, width)).convert("RGB")


def _legend_lines(legend: Sequence[tuple[str, Colour]], room: int) -> list[list[tuple[float, str, Colour]]]:
    """Return the entries of each line, with their distance from the left."""
    lines: list[list[tuple[float, str, Colour]]] = []
    left = float(room)
    for name, colour in legend:
        width = _SWATCH + _font(bold=False).getlength(printable(name)) + _SWATCH
        if left + width > room:
            lines.append([])
            left = 0
        lines[-1].append((left, name, colour))
        left += width
    return lines


def _write(draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, room: int, *, bold: bool = False) -> float:
    """Write a line of text, shortened to `room` pixels; return its width in pixels."""
    font = _font(bold=bold)
    shown = "".join(letter if _has(font, letter) else f"\\u{ord(letter):04x}" for letter in printable(text))
    kept = len(shown)
    while kept > 2 and font.getlength(short := _shortened(shown, kept)) > room:
        kept -= 1
    short = _shortened(shown, kept)
    draw.text(place, short, fill=_INK, font=font)
    return font.getlength(short)


def _shortened(text: str, kept: int) -> str:
    """Leave out the middle of a text, so that `kept` characters remain, more of them at its end."""
    if kept >= len(text):
        return text
    return f"{text[: kept // 3]}…{text[len(text) - (kept - kept // 3 - 1) :]}"


@cache
def _font(*, bold: bool) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib ships; Pillow's own font has letters of English alone."""
    found = find_spec("matplotlib")
    if found is None or found.origin is None:
        raise NirgenError("matplotlib is not installed, whose fonts pictures need; install nirgen anew")
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    data = read_bytes(Path(found.origin).parent / "mpl-data/fonts/ttf" / name)
    return ImageFont.truetype(io.BytesIO(data), _HEADING if bold else _CAPTION, layout_engine=ImageFont.Layout.BASIC)


@cache
def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    return letter.isascii() or bytes(font.getmask(letter)) != bytes(font.getmask("\uffff"))


def encode_preview(picture: NDArray[np.uint8], mark: str) -> bytes:
    """Encode the preview of a translation folder as PNG, with a text in Latin-1 that `preview_mark` reads."""
    return encode_png(picture, text=(_KEYWORD, mark.encode("latin-1")))


def preview_mark(path: Path) -> str | None:
    """Return the mark of a file by `encode_preview`; None for any other file, or none."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return None
    before, found, after = head.partition(b"tEXt" + _KEYWORD + b"\0")
    length = int.from_bytes(before[-4:], "big") - len(_KEYWORD) - 1
    return after[:length].decode("latin-1") if found else None


def is_preview(path: Path) -> bool:
    """Return True for the `preview.png` of a translation folder, which is none of its images."""
    return path.name == PREVIEW and preview_mark(path) is not None
