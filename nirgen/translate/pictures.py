"""Pictures of a run: reading and writing them, and the ordered threads that do so."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nirgen import images
from nirgen.errors import ImageError
from nirgen.translate.items import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future, ThreadPoolExecutor

    from numpy.typing import NDArray

    from nirgen.translate.items import Item, Sink, Source, Translator
    from nirgen.translate.options import TranslateOptions
    from nirgen.translate.summary import Stopwatch


NO_MEMORY = "there is not enough memory for an image of this size; use a smaller --size, or a machine with more"
NOT_FINITE = "the model gave values that are not numbers"


@dataclass(frozen=True, slots=True)
class Picture:
    """A source on its way.

    Attributes:
        item: The source.
        row: What is known of it; the final row if it failed.
        rgb: (H, W, 3) uint8, padded to the translator's stride; None if it failed, or is translated.
        size: (height, width) without the padding.
        pixels: Of the output, once translated: (C, height, width) float32 in [0, 1], or, where the device has rounded
            them already, (height, width) or (height, width, 3) uint8 or uint16.
    """

    item: Item
    row: Row
    rgb: NDArray[np.uint8] | None = None
    size: tuple[int, int] = (0, 0)
    pixels: NDArray[np.float32] | images.Pixels | None = None

    def failed(self, error: str) -> Picture:
        """The same source, without its pixels and with an error."""
        return Picture(self.item, replace(self.row, status="failed", error=error))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads, hashes, decodes, resizes and pads sources; may be called from several threads."""

    source: Source
    translator: Translator
    options: TranslateOptions
    pixel_limit: int
    stopwatch: Stopwatch

    def __call__(self, item: Item) -> Picture:
        """The picture of a source, ready for the model; failed if its bytes or its name don't allow it."""
        row = Row(item.source, self.translator.id, self.options.id, "done")
        if item.problem:
            return Picture(item, row).failed(item.problem)
        try:
            with self.stopwatch.timing("read"):
                data = self.source.read(item)
                row = replace(row, source_sha256=hashlib.sha256(data).hexdigest())
            with self.stopwatch.timing("decode"):
                rgb = images.decode(data, item.source, pixel_limit=self.pixel_limit)
                row = replace(row, source_width=rgb.shape[1], source_height=rgb.shape[0])
                rgb = rgb if self.options.size is None else images.resize(rgb, self.options.size)
                size = (rgb.shape[0], rgb.shape[1])
                return Picture(item, row, images.pad_to_stride(rgb, self.translator.stride), size)
        except ImageError as error:
            return Picture(item, row).failed(str(error))
        except MemoryError:
            return Picture(item, row).failed(f"{item.source!r}: {NO_MEMORY}")


@dataclass(frozen=True, slots=True)
class Writer:
    """Quantises, encodes, hashes and stores outputs; may be called from several threads."""

    sink: Sink
    options: TranslateOptions
    stopwatch: Stopwatch

    def __call__(self, picture: Picture) -> Row:
        """The row of a picture, whose output is stored unless it failed."""
        if picture.pixels is None:
            return picture.row
        try:
            with self.stopwatch.timing("encode"):
                pixels = self._quantised(picture.pixels)
                if pixels is None:
                    return picture.failed(f"{picture.item.source!r}: {NOT_FINITE}").row
                data = images.encode(pixels, self.options.format)
            with self.stopwatch.timing("write"):
                digest = hashlib.sha256(data).hexdigest()
                self.sink.write(picture.item, data)
        except ImageError as error:
            return picture.failed(str(error)).row
        except MemoryError:
            return picture.failed(f"{picture.item.source!r}: {NO_MEMORY}").row
        height, width = picture.size
        return replace(picture.row, output=picture.item.output, output_sha256=digest, width=width, height=height)

    def _quantised(self, pixels: NDArray[np.float32] | images.Pixels) -> images.Pixels | None:
        """Levels of what is not rounded yet; None if some of it are no numbers."""
        if pixels.dtype != np.float32:
            return pixels  # type: ignore[return-value]
        if not np.isfinite(pixels).all():
            return None
        return images.to_pixels(images.to_channels(pixels, self.options.channels), self.options.bit_depth)  # type: ignore[arg-type]


_In = TypeVar("_In")
_Out = TypeVar("_Out")


def ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[_In], _Out],
    inputs: Iterable[_In],
    depth: int,
    stopwatch: Stopwatch | None = None,
) -> Generator[_Out]:
    """Map in threads, in order, with `depth` results under way or waiting whenever one is taken.

    Args:
        pool: The threads.
        function: What to apply.
        inputs: Taken in the calling thread, as results are taken.
        depth: At least 1.
        stopwatch: Is told how many results wait, and how long the calling thread waits for one.

    Yields:
        The results, in the order of the inputs.
    """
    waiting: deque[Future[_Out]] = deque()
    for value in inputs:
        waiting.append(pool.submit(function, value))
        if len(waiting) >= depth:
            yield _take(waiting, stopwatch, "input")
    while waiting:
        yield _take(waiting, stopwatch, "input")


def behind(
    pool: ThreadPoolExecutor,
    function: Callable[[_In], _Out],
    inputs: Iterable[_In],
    depth: int,
    stopwatch: Stopwatch,
) -> Generator[_Out]:
    """Map in threads, in order, with at most `depth` results under way; each is given as soon as it can be."""
    waiting: deque[Future[_Out]] = deque()
    for value in inputs:
        stopwatch.note_depth("output", len(waiting))
        waiting.append(pool.submit(function, value))
        while waiting and (waiting[0].done() or len(waiting) >= depth):
            yield _take(waiting, stopwatch, "output")
    while waiting:
        yield _take(waiting, stopwatch, "output")


def _take(waiting: deque[Future[_Out]], stopwatch: Stopwatch | None, queue: str) -> _Out:
    """The first result, waited for."""
    if stopwatch is None:
        return waiting.popleft().result()
    if queue == "input":
        stopwatch.note_depth(queue, sum(future.done() for future in waiting))
    with stopwatch.timing(queue):
        return waiting.popleft().result()
