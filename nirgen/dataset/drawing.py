"""Images of a dataset drawn with their boxes, and the surroundings of a box cut out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Colour = tuple[int, int, int]
    Window = tuple[float, float, float, float]  # left, top, right and bottom as shares of the sides, in [0, 1]

COLOURS: Sequence[Colour] = (
    (230, 60, 60), (255, 190, 0), (40, 130, 255), (60, 190, 90), (200, 80, 220), (0, 190, 190),
)  # fmt: skip
IGNORED: Colour = (150, 150, 150)
_MARGIN = 0.6  # surroundings on each side of a window's box, as a share of the box's longer side
_SMALLEST = 48  # pixels of a window's side, so that a distant object is seen in its place


def draw_boxes(
    pixels: NDArray[np.uint8],
    size: tuple[float, float],
    boxes: Iterable[tuple[Sequence[float], Colour]],
    *,
    line: int = 2,
) -> NDArray[np.uint8]:
    """Draw boxes on an image: (H, W, 3) uint8.

    Args:
        pixels: (H, W, 3) or (H, W), reduced or not.
        size: (height, width) in pixels that the boxes are in.
        boxes: COCO xywh of each, and its colour.
        line: Width of the lines, in pixels of the image; those of `IGNORED` are thin.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    down, across = pixels.shape[0] / size[0], pixels.shape[1] / size[1]
    for (x, y, width, height), colour in boxes:
        corners = (x * across, y * down, (x + width) * across, (y + height) * down)
        draw.rectangle(corners, outline=colour, width=1 if colour == IGNORED else line)
    return np.asarray(picture)


def window_around(bbox: Sequence[float], size: tuple[int, int]) -> Window:
    """Return a box with its surroundings; `bbox` is COCO xywh in pixels of an image of `size` (height, width)."""
    x, y, width, height = bbox
    side = max(width, height) * (1 + 2 * _MARGIN)
    half = max(side, min(_SMALLEST, *size)) / 2
    middle_x, middle_y = x + width / 2, y + height / 2
    left, right = ((middle_x + step) / size[1] for step in (-half, half))
    top, bottom = ((middle_y + step) / size[0] for step in (-half, half))
    return _clip(left), _clip(top), _clip(right), _clip(bottom)


def crop(pixels: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """Crop an image to a window from `window_around`; at least one pixel is left."""
    left, top, right, bottom = window
    return pixels[_span(top, bottom, pixels.shape[0]), _span(left, right, pixels.shape[1])]


def _clip(share: float) -> float:
    return min(1.0, max(0.0, share))


def _span(start: float, end: float, length: int) -> slice:
    first = min(int(start * length), length - 1)
    return slice(first, max(first + 1, round(end * length)))
