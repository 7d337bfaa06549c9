"""Images as data URIs, reduced, with their boxes as SVG over them: lines of one width on every screen, to be hidden."""

from __future__ import annotations

import base64
import colorsys
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from nirgen import images
from nirgen.dataset.card import COLOURS, IGNORED
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.dataset.read import Box, Image
    from nirgen.labels.file import Category


JPEG_QUALITY = 80
MOSAIC_SIDE = 640  # pixels of the longer side of an image in a mosaic
SLIDER_SIDE = 960  # of one under a slider
CROP_SIDE = 240  # of a crop around a box
_MARGIN = 0.6  # surroundings on each side of a crop's box, as a share of the box's longer side
_SMALLEST_CROP = 48  # pixels of the NIR image, so that a distant object is seen in its place


@dataclass(frozen=True, slots=True)
class Outline:
    """A box over a picture, in pixels of the picture's `full` size."""

    x: float
    y: float
    width: float
    height: float
    colour: str  # CSS
    ignored: bool  # a region to ignore, with a dashed line
    title: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in the page."""

    uri: str
    size: tuple[int, int]  # (height, width) of the image in `uri`
    full: tuple[float, float]  # (height, width) of the part shown, in pixels of the NIR image
    outlines: tuple[Outline, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an image, as shares of its width and height in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, box: Box, item: Image) -> Window:
        """Return the box with its surroundings, clipped to the image."""
        x, y, width, height = box.bbox
        side = max(width, height) * (1 + 2 * _MARGIN)
        half = max(side, min(_SMALLEST_CROP, item.width, item.height)) / 2
        middle_x, middle_y = x + width / 2, y + height / 2
        return cls(
            left=_clip((middle_x - half) / item.width),
            top=_clip((middle_y - half) / item.height),
            right=_clip((middle_x + half) / item.width),
            bottom=_clip((middle_y + half) / item.height),
        )

    def of(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Crop an image to the window; at least one pixel is left."""
        top, bottom = _span(self.top, self.bottom, pixels.shape[0])
        left, right = _span(self.left, self.right, pixels.shape[1])
        return pixels[top:bottom, left:right]


@dataclass
class Painter:
    """Makes pictures of images and boxes."""

    colours: Mapping[str, str]  # CSS colours by class
    unreadable: set[str] = field(default_factory=set)  # keys of images whose file exists and can't be read

    def nir(self, item: Image, side: int, notes: Sequence[str] | None = None) -> Picture | None:
        """Return the NIR image with its boxes; None if its file is missing or unreadable.

        Args:
            item: The image.
            side: Longer side at most, in pixels.
            notes: Text for the title of each box.
        """
        pixels = self._read(item.path, item.key, grey=True)
        if pixels is None:
            return None
        return _picture(pixels, side, (item.height, item.width), tuple(self._outlines(item, notes)))

    def rgb(self, item: Image, side: int) -> Picture | None:
        """Return the RGB image, without boxes; None if its file is missing or unreadable."""
        pixels = None if item.rgb is None else self._read(item.rgb, item.key, grey=False)
        return None if pixels is None else _picture(pixels, side, (item.height, item.width), ())

    def crops(self, item: Image, numbers: Sequence[int]) -> list[tuple[Picture | None, Picture | None]]:
        """Return the boxes at some positions with their surroundings, in NIR and in RGB."""
        nir = self._read(item.path, item.key, grey=True)
        rgb = None if item.rgb is None else self._read(item.rgb, item.key, grey=False)
        return [(self._crop(nir, item, number), self._crop(rgb, item, number)) for number in numbers]

    def _crop(self, pixels: NDArray[np.uint8] | None, item: Image, number: int) -> Picture | None:
        if pixels is None:
            return None
        box, window = item.boxes[number], Window.around(item.boxes[number], item)
        full = ((window.bottom - window.top) * item.height, (window.right - window.left) * item.width)
        x, y, width, height = box.bbox
        left, top = x - window.left * item.width, y - window.top * item.height
        outline = Outline(left, top, width, height, self.colours[box.category], ignored=False, title=box.category)
        return _picture(window.of(pixels), CROP_SIDE, full, (outline,))

    def _outlines(self, item: Image, notes: Sequence[str] | None) -> list[Outline]:
        """Return the boxes, large ones first, so that small ones can be pointed at."""
        outlines = []
        for number, box in enumerate(item.boxes):
            title = ", ".join(filter(None, (box.category, *box.flags, notes[number] if notes else "")))
            colour = _css(IGNORED) if box.ignored else self.colours[box.category]
            outlines.append(Outline(*box.bbox, colour=colour, ignored=box.ignored, title=title))
        return sorted(outlines, key=lambda each: (-each.width * each.height, each.x, each.y))

    def _read(self, path: Path, key: str, *, grey: bool) -> NDArray[np.uint8] | None:
        try:
            pixels = images.read(path)
        except ImageError:
            if path.exists():
                self.unreadable.add(key)
            return None
        return images.to_grey(pixels) if grey else pixels


def class_colours(categories: Sequence[Category]) -> dict[str, str]:
    """Return CSS colours by class: those of the dataset's card; evenly spaced hues if there are more classes."""
    numbers = {category.id % len(COLOURS) for category in categories}
    if len(numbers) == len(categories):
        return {category.name: _css(COLOURS[category.id % len(COLOURS)]) for category in categories}
    hues = (number / len(categories) for number in range(len(categories)))
    mixed = ([round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.6, 0.85)] for hue in hues)
    return {category.name: _css(colour) for category, colour in zip(categories, mixed, strict=True)}


def _picture(pixels: NDArray[np.uint8], side: int, full: tuple[float, float], outlines: tuple[Outline, ...]) -> Picture:
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale)))
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(images.resize(pixels, size))).save(file, "JPEG", quality=JPEG_QUALITY)
    return Picture(f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", size, full, outlines)


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    first = min(int(start * length), length - 1)
    return first, max(first + 1, min(length, round(end * length)))


def _css(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
