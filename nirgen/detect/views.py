"""What a step sees of an image: a part of it, perhaps mirrored, squashed to a square, with what to ignore blotted out.

Networks of this kind know no regions to ignore: whatever isn't a box is background to them. So such a region gets the
mean colour of what is seen before the network sees it, and there is nothing left in it to learn or to be punished for.
Boxes that reach into it stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.detect.config import AugmentConfig
    from nirgen.detect.examples import Example


@dataclass(frozen=True, slots=True)
class View:
    """A square that the network sees.

    Attributes:
        pixels: (S, S, 3) uint8.
        boxes: (n, 4) float64: x and y of the middle, width and height, as shares of the square.
        categories: (n,) int64.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    categories: NDArray[np.int64]


def draw_view(example: Example, size: int, config: AugmentConfig, random: np.random.Generator) -> View:
    """Draw a view of an image.

    Args:
        example: The image.
        size: S, in pixels.
        config: How it is drawn.
        random: Where all that is random comes from.

    Raises:
        ImageError: The image can't be read.
    """
    pixels = example.read()
    flip = random.random() < config.flip
    left, top, width, height = _window(example.size, config, random)
    pixels = pixels[top : top + height, left : left + width]

    # boxes of the window, and what of them it cuts off
    window = np.array([left, top, left + width, top + height], np.float64)
    boxes = clip(example.boxes, window)
    visible = boxes[:, 2:].prod(1) >= config.smallest_visible * example.boxes[:, 2:].prod(1)
    kept = visible & (boxes[:, 2:] > 0).all(1)
    hidden = np.concatenate([clip(example.ignored, window), boxes[~kept]])
    pixels = blot(pixels, hidden, boxes[kept])

    # square
    pixels = images.resize(pixels, (size, size), resample="bilinear")
    shares = boxes[kept] / np.array([width, height, width, height], np.float64)
    shares[:, :2] += shares[:, 2:] / 2
    if flip:
        pixels, shares[:, 0] = pixels[:, ::-1], 1 - shares[:, 0]
    return View(np.ascontiguousarray(pixels), shares, example.categories[kept])


def clip(boxes: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of boxes lies in a window.

    Args:
        boxes: (n, 4) xywh in pixels.
        window: Its left, top, right and lower border, in the same pixels.

    Returns:
        (n, 4) xywh from the window's corner; width or height is 0 where a box lies outside.
    """
    start = np.clip(boxes[:, :2], window[:2], window[2:])
    end = np.clip(boxes[:, :2] + boxes[:, 2:], window[:2], window[2:])
    return np.concatenate([start - window[:2], end - start], axis=1)


def blot(pixels: NDArray[np.uint8], regions: NDArray[np.float64], kept: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Give regions the mean colour of an image, but for what is in boxes.

    Args:
        pixels: (H, W, 3) uint8; it isn't changed.
        regions: (n, 4) xywh in pixels, inside of the image.
        kept: (m, 4) of the boxes, the same.

    Returns:
        (H, W, 3) uint8; the very input where there are no regions.
    """
    hidden = np.zeros(pixels.shape[:2], bool)
    for values, boxes in ((True, regions), (False, kept)):
        for x, y, width, height in boxes:
            rows = slice(int(np.floor(y)), int(np.ceil(y + height)))
            columns = slice(int(np.floor(x)), int(np.ceil(x + width)))
            if width > 0 and height > 0:
                hidden[rows, columns] = values
    if not hidden.any():
        return pixels
    blotted = pixels.copy()
    sums = pixels.sum(0, dtype=np.uint32).sum(0, dtype=np.uint64)  # by rows, a tenth of the time of a mean
    blotted[hidden] = (sums / hidden.size).round().astype(np.uint8)
    return blotted


def _window(size: tuple[int, int], config: AugmentConfig, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, width and height of what is seen, in pixels; its shape is the image's."""
    height, width = size
    crop, share, across, down = random.random(4)
    if crop >= config.crop:
        return 0, 0, width, height
    side = config.smallest_crop + share * (1 - config.smallest_crop)
    rows, columns = max(1, round(side * height)), max(1, round(side * width))
    return int(across * (width - columns + 1)), int(down * (height - rows + 1)), columns, rows
