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
from nirgen.dataset.drawing import COLOURS, IGNORED, crop, window_around
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
    outlines: Sequence[Outline] = ()


@dataclass
class Painter:
    """Makes pictures with a longer side of at most `side` pixels; None where a file is missing or unreadable."""

    colours: Mapping[str, str]  # CSS colours by class
    unreadable: set[str] = field(default_factory=set)  # keys of images whose file exists and can't be read

    def nir(self, item: Image, side: int, notes: Sequence[str]) -> Picture | None:
        """Return the NIR image with its boxes, large ones first, so that small ones can be pointed at."""
        pixels = self._read(item.path, item.key)
        if pixels is None:
            return None
        outlines = []
        for box, note in zip(item.boxes, notes, strict=True):
            title = ", ".join(filter(None, (box.category, *box.flags, note)))
            colour = _css(IGNORED) if box.ignored else self.colours[box.category]
            outlines.append(Outline(*box.bbox, colour=colour, ignored=box.ignored, title=title))
        outlines.sort(key=lambda each: (-each.width * each.height, each.x, each.y))
        return _picture(images.to_grey(pixels), side, (item.height, item.width), outlines)

    def rgb(self, item: Image, side: int) -> Picture | None:
        """Return the RGB image, without boxes."""
        pixels = self._read(item.rgb, item.key)
        return None if pixels is None else _picture(pixels, side, (item.height, item.width))

    def crops(self, item: Image, numbers: Sequence[int]) -> list[tuple[Picture | None, Picture | None]]:
        """Return the boxes at some positions with their surroundings, in NIR and in RGB."""
        nir, rgb = self._read(item.path, item.key), self._read(item.rgb, item.key)
        nir = None if nir is None else images.to_grey(nir)
        return [(self._crop(nir, item, item.boxes[at]), self._crop(rgb, item, item.boxes[at])) for at in numbers]

    def _crop(self, pixels: NDArray[np.uint8] | None, item: Image, box: Box) -> Picture | None:
        if pixels is None:
            return None
        left, top, right, bottom = window = window_around(box.bbox, (item.height, item.width))
        full = ((bottom - top) * item.height, (right - left) * item.width)
        x, y, width, height = box.bbox
        place = x - left * item.width, y - top * item.height, width, height
        outline = Outline(*place, self.colours[box.category], ignored=False, title=box.category)
        return _picture(crop(pixels, window), CROP_SIDE, full, (outline,))

    def _read(self, path: Path | None, key: str) -> NDArray[np.uint8] | None:
        if path is None:
            return None
        try:
            return images.read(path)
        except ImageError:
            if path.exists():
                self.unreadable.add(key)
            return None


def class_colours(categories: Sequence[Category]) -> dict[str, str]:
    """Return CSS colours by class: those of the dataset's card; evenly spaced hues if there are more classes."""
    if len({category.id % len(COLOURS) for category in categories}) == len(categories):
        return {category.name: _css(COLOURS[category.id % len(COLOURS)]) for category in categories}
    hues = (number / len(categories) for number in range(len(categories)))
    mixed = ([round(255 * part) for part in colorsys.hls_to_rgb(hue, 0.6, 0.85)] for hue in hues)
    return {category.name: _css(colour) for category, colour in zip(categories, mixed, strict=True)}


def _picture(
    pixels: NDArray[np.uint8], side: int, full: tuple[float, float], outlines: Sequence[Outline] = ()
) -> Picture:
    scale = min(1.0, side / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale)))
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(images.resize(pixels, size))).save(file, "JPEG", quality=JPEG_QUALITY)
    return Picture(f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}", size, full, outlines)


def _css(colour: Sequence[int]) -> str:
    return "#" + bytes(colour).hex()
