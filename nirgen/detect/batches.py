"""Batches of views, the same for a seed and a step, whatever was drawn before."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen.detect.views import draw_view
from nirgen.train.batches import Order

if TYPE_CHECKING:
    from concurrent.futures import Future

    from torch import Tensor

    from nirgen.detect.config import DetectConfig
    from nirgen.detect.examples import Examples
    from nirgen.detect.views import View

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
