"""The loop of translation: it takes sources to do, a translator and a sink, and gives one row a source.

Images are read and decoded in threads, translated in the calling thread, encoded and written in threads. What is in
flight is bounded by the number of workers and the batch size, however many sources there are. Where batches are of one
image, rows come in the order of the sources; larger batches gather images of one padded size.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from nirgen import images
from nirgen.errors import ImageError, ShapeError
from nirgen.translate.manifest import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from nirgen.translate.options import RunOptions, TranslateOptions
    from nirgen.translate.plan import Item
    from nirgen.translate.storage import Sink, Source
    from nirgen.translate.translator import Translator

_In = TypeVar("_In")
_Out = TypeVar("_Out")

# How many images may wait for others of their size, in batches.
_BATCHES_WAITING = 4

_NO_MEMORY = "there is not enough memory for an image of this size; use a smaller --size, or a machine with more"


@dataclass(frozen=True)
class _Picture:
    """A source on its way.

    Attributes:
        item: The source.
        row: What is known of it; the final row if it failed.
        rgb: (H, W, 3) uint8, padded to the translator's stride; None if it failed.
        size: (height, width) without the padding.
        nir: (C, height, width) float32 in [0, 1], once translated.
    """

    item: Item
    row: Row
    rgb: NDArray[np.uint8] | None = None
    size: tuple[int, int] = (0, 0)
    nir: NDArray[np.float32] | None = None

    def failed(self, error: str) -> _Picture:
        """The same source, without its pixels and with an error."""
        return _Picture(self.item, replace(self.row, status="failed", error=error))


def translate_items(
    items: Iterable[Item],
    *,
    source: Source,
    sink: Sink,
    translator: Translator,
    options: TranslateOptions,
    run: RunOptions,
) -> Generator[Row]:
    """Translate sources and store their outputs.

    Args:
        items: What to translate.
        source: Where the images are.
        sink: Where the outputs go.
        translator: The model.
        options: What changes pixels.
        run: Batch size, workers and pixel limit.

    Yields:
        The row of each source, once its output is stored.

    Raises:
        OutputError: Nothing can be stored any more.
    """
    read = partial(_read, source=source, translator=translator, options=options, pixel_limit=run.pixel_limit)
    write = partial(_write, sink=sink, options=options)
    depth = 2 * run.workers
    with ThreadPoolExecutor(run.workers, thread_name_prefix="nirgen") as pool:
        try:
            pictures = ahead(pool, read, items, depth)
            translated = _translate(pictures, translator, run.batch_size)
            yield from ahead(pool, write, translated, depth)
        finally:
            pool.shutdown(cancel_futures=True)


def ahead(
    pool: ThreadPoolExecutor, function: Callable[[_In], _Out], inputs: Iterable[_In], depth: int
) -> Generator[_Out]:
    """Map in threads, in order, with at most `depth` results under way or waiting.

    Args:
        pool: The threads.
        function: What to apply.
        inputs: Taken in the calling thread, as results are taken.
        depth: At least 1.

    Yields:
        The results, in the order of the inputs.
    """
    waiting: deque[Future[_Out]] = deque()
    for value in inputs:
        waiting.append(pool.submit(function, value))
        while waiting and (waiting[0].done() or len(waiting) >= depth):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _read(
    item: Item, *, source: Source, translator: Translator, options: TranslateOptions, pixel_limit: int
) -> _Picture:
    """Read, hash, decode, resize and pad one source."""
    picture = _Picture(item, Row(item.source, translator.id, options.id, "done"))
    if item.problem:
        return picture.failed(item.problem)
    try:
        data = source.read(item)
        picture = replace(picture, row=replace(picture.row, source_sha256=hashlib.sha256(data).hexdigest()))
        rgb = images.decode(data, item.source, pixel_limit=pixel_limit)
        height, width = rgb.shape[:2]
        picture = replace(picture, row=replace(picture.row, source_width=width, source_height=height))
        rgb = rgb if options.size is None else images.resize(rgb, options.size)
        size = (rgb.shape[0], rgb.shape[1])
        return replace(picture, rgb=images.pad_to_stride(rgb, translator.stride), size=size)
    except ImageError as error:
        return picture.failed(str(error))
    except MemoryError:
        return picture.failed(f"{item.source!r}: {_NO_MEMORY}")


def _translate(pictures: Iterable[_Picture], translator: Translator, batch_size: int) -> Iterator[_Picture]:
    """Translate pictures of one padded size together; those that failed pass through."""
    batches: dict[tuple[int, ...], list[_Picture]] = {}
    for picture in pictures:
        if picture.rgb is None:
            yield picture
            continue
        shape = picture.rgb.shape
        batches.setdefault(shape, []).append(picture)
        if len(batches[shape]) == batch_size:
            yield from _translate_batch(batches.pop(shape), translator)
        elif sum(map(len, batches.values())) >= _BATCHES_WAITING * batch_size:
            yield from _translate_batch(batches.pop(next(iter(batches))), translator)
    for batch in batches.values():
        yield from _translate_batch(batch, translator)


def _translate_batch(batch: list[_Picture], translator: Translator) -> list[_Picture]:
    """Translate pictures of one padded size; where memory does not suffice for all together, one by one."""
    arrays = [picture.rgb for picture in batch if picture.rgb is not None]
    try:
        rgb = torch.from_numpy(np.stack(arrays).transpose(0, 3, 1, 2).copy())
        nir = translator.translate(rgb, [picture.size for picture in batch]).numpy()
    except ShapeError as error:
        return [picture.failed(f"{picture.item.source!r}: {error}") for picture in batch]
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(batch) > 1:
            return [alone for picture in batch for alone in _translate_batch([picture], translator)]
        return [batch[0].failed(f"{batch[0].item.source!r}: {_NO_MEMORY}")]
    return [
        replace(picture, rgb=None, nir=values[:, : picture.size[0], : picture.size[1]].copy())
        for picture, values in zip(batch, nir, strict=True)
    ]


def _is_out_of_memory(error: BaseException) -> bool:
    """Torch says so with a class of its own on a device, and on the CPU only in the text."""
    texts = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(text in str(error) for text in texts)


def _write(picture: _Picture, *, sink: Sink, options: TranslateOptions) -> Row:
    """Quantise, encode, hash and store one output."""
    if picture.nir is None:
        return picture.row
    if not np.isfinite(picture.nir).all():
        return picture.failed(f"{picture.item.source!r}: the model gave values that are not numbers").row
    try:
        values = images.to_channels(picture.nir, options.channels)
        data = images.encode(images.to_pixels(values, options.bit_depth), options.format)
        sink.write(picture.item, data)
    except ImageError as error:
        return picture.failed(str(error)).row
    except MemoryError:
        return picture.failed(f"{picture.item.source!r}: {_NO_MEMORY}").row
    return replace(
        picture.row,
        output=picture.item.output,
        output_sha256=hashlib.sha256(data).hexdigest(),
        width=picture.size[1],
        height=picture.size[0],
    )
