"""Augmented views of training images, and reproducible batches of them.

The networks know no regions to ignore: all outside of the boxes is background. So such a region gets the mean colour of
the view, and is neither learnt nor punished. Boxes that overlap it stay as they are.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen import images
from nirgen.detect.data import image_factors, learnable
from nirgen.detect.looks import show
from nirgen.errors import ImageError
from nirgen.train.batches import Order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from nirgen.dataset.read import Image
    from nirgen.detect.config import AugmentConfig, DetectConfig
    from nirgen.detect.data import Split
    from nirgen.detect.looks import Look


@dataclass(frozen=True, slots=True)
class Example:
    """A training image with its boxes as arrays."""

    path: Path
    size: tuple[int, int]  # (height, width) in pixels
    boxes: NDArray[np.float64]  # (n, 4) COCO xywh in pixels
    categories: NDArray[np.int64]  # (n,) positions in the names of the categories
    ignored: NDArray[np.float64]  # (m, 4) regions to ignore, as `boxes`
    key: str = ""
    look: Look | None = None  # of an RGB image, which may have another size than its annotations

    def read(self) -> NDArray[np.uint8]:
        """Decode the image: (H, W, 3) uint8, three equal channels if it is grey."""
        pixels = images.read(self.path)
        if self.look is not None:
            return show(images.resize(pixels, self.size), self.look, self.key)
        if pixels.shape[:2] != self.size:
            (height, width), (rows, columns) = self.size, pixels.shape[:2]
            found = f"{columns}x{rows}, but its annotations are of {width}x{height}"
            raise ImageError(f"{self.path}: {found}; build the dataset again")
        return pixels


def to_example(image: Image, names: Sequence[str], look: Look | None = None) -> Example:
    """Return an image with its boxes as arrays; `names` are the categories."""
    boxes = learnable(image)
    objects = [box for box in boxes if not box.ignored]
    kept, ignored = (
        np.array([box.bbox for box in some], np.float64).reshape(-1, 4)
        for some in (objects, [box for box in boxes if box.ignored])
    )
    categories = np.array([names.index(box.category) for box in objects], np.int64)
    return Example(image.path, (image.height, image.width), kept, categories, ignored, image.key, look)


@dataclass(frozen=True, slots=True)
class View:
    """An augmented image as the network sees it."""

    pixels: NDArray[np.uint8]  # (S, S, 3)
    boxes: NDArray[np.float64]  # (n, 4) cxcywh as shares of the square
    categories: NDArray[np.int64]  # (n,)


def draw_view(example: Example, size: int, config: AugmentConfig, random: np.random.Generator) -> View:
    """Draw a view of an image: a square of `size` pixels."""
    pixels = example.read()
    flip = random.random() < config.flip
    left, top, width, height = _window(example.size, config, random)
    pixels = pixels[top : top + height, left : left + width]

    # clip boxes to the window; mask out regions to ignore and boxes that are mostly cut off
    window = np.array([left, top, left + width, top + height], np.float64)
    boxes = clip(example.boxes, window)
    visible = boxes[:, 2:].prod(1) >= config.smallest_visible * example.boxes[:, 2:].prod(1)
    kept = visible & (boxes[:, 2:] > 0).all(1)
    hidden = np.concatenate([clip(example.ignored, window), boxes[~kept]])
    pixels = mask_out(pixels, hidden, boxes[kept])

    # resize to a square
    pixels = images.resize(pixels, (size, size), resample="bilinear")
    shares = boxes[kept] / np.array([width, height, width, height], np.float64)
    shares[:, :2] += shares[:, 2:] / 2
    if flip:
        pixels, shares[:, 0] = pixels[:, ::-1], 1 - shares[:, 0]
    return View(np.ascontiguousarray(pixels), shares, example.categories[kept])


def clip(boxes: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clip boxes, (n, 4) xywh in pixels, to a window (left, top, right, bottom); x and y count from its corner.

    A box outside has a width or height of 0.
    """
    start = np.clip(boxes[:, :2], window[:2], window[2:])
    end = np.clip(boxes[:, :2] + boxes[:, 2:], window[:2], window[2:])
    return np.concatenate([start - window[:2], end - start], axis=1)


def mask_out(pixels: NDArray[np.uint8], regions: NDArray[np.float64], kept: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Fill regions, (n, 4) xywh in pixels, with the mean colour of an image, except for their overlap with boxes.

    The result, (H, W, 3) uint8, is a copy unless there is nothing to fill.
    """
    hidden = np.zeros(pixels.shape[:2], bool)
    for value, boxes in ((True, regions), (False, kept)):
        for x, y, width, height in boxes[(boxes[:, 2:] > 0).all(1)]:
            hidden[int(y) : int(np.ceil(y + height)), int(x) : int(np.ceil(x + width))] = value
    if not hidden.any():
        return pixels
    filled = pixels.copy()
    sums = pixels.sum(0, dtype=np.uint32).sum(0, dtype=np.uint64)  # by rows, a tenth of the time of a mean
    filled[hidden] = (sums / hidden.size).round().astype(np.uint8)
    return filled


def _window(size: tuple[int, int], config: AugmentConfig, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw left, top, width and height of a view, in pixels, in the image's proportions."""
    height, width = size
    crop, share, across, down = random.random(4)
    if crop >= config.crop:
        return 0, 0, width, height
    side = config.smallest_crop + share * (1 - config.smallest_crop)
    rows, columns = max(1, round(side * height)), max(1, round(side * width))
    return int(across * (width - columns + 1)), int(down * (height - rows + 1)), columns, rows


_VIEW, _REPEATS = 3, 5  # keys of random numbers
_AHEAD = 4  # views that each thread decodes ahead


class RepeatedOrder:
    """Positions of the images that draws take: of each at least one an epoch, in proportion to its repeat factor.

    An epoch has as many draws as the factors' sum, rounded up. Of the whole numbers that a random offset puts on a line
    of all factors, an image takes those on its own stretch.
    """

    def __init__(self, factors: Sequence[float], seed: int) -> None:
        ends = np.cumsum(factors)
        self.count, self.seed = int(np.ceil(ends[-1] - 1e-9)), seed
        self._ends = ends * (self.count / ends[-1])
        self._ends[-1] = self.count
        self._latest = -1, np.empty(0, int)  # an epoch and its draws, replaced as one: threads read it

    def __getitem__(self, draw: int) -> int:
        """Return the position of the image that a draw takes."""
        epoch, place = divmod(draw, self.count)
        latest = self._latest
        if latest[0] != epoch:
            random = np.random.default_rng((self.seed, _REPEATS, epoch))
            counts = np.diff(np.floor(self._ends + random.random()), prepend=0).astype(int)
            positions = np.repeat(np.arange(len(counts)), counts)
            self._latest = latest = epoch, random.permutation(positions)
        return int(latest[1][place])


class Batches:
    """Endless batches after a number of steps; the context ends the threads that decode.

    An epoch has each image once, or as often as its repeat factor says.
    """

    def __init__(self, split: Split, config: DetectConfig, step: int = 0) -> None:
        self._examples = [to_example(image, split.names, split.looks.get(image.key)) for image in split.images]
        self._config = config
        self._order: Order | RepeatedOrder = Order(None, len(self._examples), config.seed)
        if config.balance_classes:
            self._order = RepeatedOrder(image_factors(split, config.balance_classes), config.seed)
        self._next = step * config.batch
        self._coming: deque[Future[View]] = deque()
        threads = config.workers
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="nirgen-view") if threads else None
        self._ahead = config.batch + _AHEAD * threads

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def next(self) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Return the next batch: (N, S, S, 3) uint8, and labels of each image.

        Labels are `boxes`, (n, 4) float32, cxcywh as shares, and `class_labels`, (n,).
        """
        start, self._next = self._next, self._next + self._config.batch
        if self._threads is None:
            views = [self._draw(number) for number in range(start, self._next)]
        else:
            wanted = range(start + len(self._coming), start + self._ahead)
            self._coming += [self._threads.submit(self._draw, number) for number in wanted]
            views = [self._coming.popleft().result() for _ in range(self._config.batch)]
        pixels = torch.from_numpy(np.stack([view.pixels for view in views]))
        boxes = [torch.from_numpy(view.boxes.astype(np.float32)) for view in views]
        categories = [torch.from_numpy(view.categories) for view in views]
        return pixels, [{"boxes": b, "class_labels": c} for b, c in zip(boxes, categories, strict=True)]

    def _draw(self, number: int) -> View:
        random = np.random.default_rng((self._config.seed, _VIEW, number))
        return draw_view(self._examples[self._order[number]], self._config.size, self._config.augment, random)
