"""Augmented training views of images, and reproducible batches of them.

These networks know no regions to ignore: everything outside a box is background. Such a region is filled with the mean
colour of the view before the network sees it, so nothing in it is learnt or punished. Boxes that overlap it stay as
they are.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen import images
from nirgen.train.batches import Order

if TYPE_CHECKING:
    from concurrent.futures import Future

    from numpy.typing import NDArray
    from torch import Tensor

    from nirgen.detect.config import AugmentConfig, DetectConfig
    from nirgen.detect.data import Example, Examples


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


_VIEW = 3  # what a draw's random numbers are for
_AHEAD = 4  # views that each thread is ahead of the training


class Batches:
    """Endless batches from a step on; each image is drawn once an epoch.

    Use it as a context: its end ends the threads that decode.

    Args:
        examples: What is drawn.
        config: Of the run.
        step: Steps that are done.
    """

    def __init__(self, examples: Examples, config: DetectConfig, step: int = 0) -> None:
        self._examples = examples.examples
        self._config = config
        self._order = Order(None, len(self._examples), config.seed)
        self._next = step * config.batch
        self._coming: deque[Future[View]] = deque()
        workers = config.workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="nirgen-view") if workers else None
        self._ahead = config.batch + _AHEAD * workers

    def __enter__(self) -> Batches:
        """The batches themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads that decode."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def next(self) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """The next batch.

        Returns:
            (N, S, S, 3) uint8; and for each image `boxes` (n, 4) float32, cxcywh as shares, and `class_labels` (n,).

        Raises:
            ImageError: An image can't be read.
        """
        views = self._views()
        pixels = torch.from_numpy(np.stack([view.pixels for view in views]))
        labels = [
            {
                "boxes": torch.from_numpy(view.boxes.astype(np.float32)),
                "class_labels": torch.from_numpy(view.categories),
            }
            for view in views
        ]
        return pixels, labels

    def draw(self, number: int) -> View:
        """One view by the number of its draw."""
        random = np.random.default_rng((self._config.seed, _VIEW, number))
        return draw_view(self._examples[self._order[number]], self._config.size, self._config.augment, random)

    def _views(self) -> list[View]:
        count = self._config.batch
        if self._threads is None:
            views = [self.draw(number) for number in range(self._next, self._next + count)]
        else:
            start = self._next + len(self._coming)
            for number in range(start, self._next + self._ahead):
                self._coming.append(self._threads.submit(self.draw, number))
            views = [self._coming.popleft().result() for _ in range(count)]
        self._next += count
        return views
