"""Translation of items in this process: threads read and decode, the calling thread translates, threads write.

The number of workers and the batch size bound the images in flight. Batches of one image keep the order of the sources;
larger ones gather images of one padded size.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.errors import ImageError
from nirgen.translate.items import Item, Row
from nirgen.translate.network import NO_MEMORY, NOT_FINITE, Network, Picture
from nirgen.translate.ordered import ahead, behind

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from nirgen.translate.job import Job
    from nirgen.translate.summary import Stopwatch

_BATCHES_WAITING = 4  # of images that may wait for others of their size


def translate_items(
    items: Iterable[Item], job: Job, stopwatch: Stopwatch, stopped: Callable[[], bool]
) -> Generator[Row]:
    """Translate sources and store their outputs, in this process; see `Engine`. OutputError if none can be stored."""
    workers, network = job.run.workers, Network(job, stopwatch)
    with ThreadPoolExecutor(workers, thread_name_prefix="nirgen") as pool:
        try:
            pictures = ahead(pool, partial(_read, job, stopwatch), items, 2 * workers, stopwatch)
            translated = _in_flight(_batches(pictures, network, stopped), network)
            yield from behind(pool, partial(_write, job, stopwatch), translated, 2 * workers, stopwatch)
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(
    pictures: Iterable[Picture], network: Network, stopped: Callable[[], bool]
) -> Iterator[list[Picture] | Picture]:
    """Gather pictures of one padded size; failed ones pass through."""
    batches: dict[tuple[int, ...], list[Picture]] = {}
    waiting = 0
    for picture in pictures:
        if stopped():
            return
        if picture.rgb is None:
            yield picture
            continue
        shape = picture.rgb.shape
        batches.setdefault(shape, []).append(picture)
        waiting += 1
        size = network.batch_size(shape)
        if len(batches[shape]) < size and waiting < _BATCHES_WAITING * size:
            continue
        batch = batches.pop(shape if len(batches[shape]) >= size else next(iter(batches)))
        waiting -= len(batch)
        yield batch
    for batch in batches.values():
        if stopped():
            return
        yield batch


def _in_flight(batches: Iterable[list[Picture] | Picture], network: Network) -> Iterator[Picture]:
    """Translate batches, several at once where the network allows it."""
    begun: deque[Callable[[], list[Picture]]] = deque()
    for batch in batches:
        if isinstance(batch, Picture):
            yield batch
            continue
        begun.append(network.begin(batch))
        if len(begun) >= network.in_flight:
            yield from begun.popleft()()
    while begun:
        yield from begun.popleft()()


def _read(job: Job, stopwatch: Stopwatch, item: Item) -> Picture:
    """Read, hash, decode, resize and pad a source."""
    row = Row(item.source, job.translator.id, job.options.id, "done")
    if item.problem:
        return Picture(item, row).failed(item.problem)
    try:
        with stopwatch.timing("read"):
            data = job.source.read(item)
            row = replace(row, source_sha256=hashlib.sha256(data).hexdigest())
        with stopwatch.timing("decode"):
            rgb = images.decode(data, item.source, pixel_limit=job.run.pixel_limit)
            row = replace(row, source_width=rgb.shape[1], source_height=rgb.shape[0])
            rgb = rgb if job.options.size is None else images.resize(rgb, job.options.size)
            size = (rgb.shape[0], rgb.shape[1])
            return Picture(item, row, images.pad_to_stride(rgb, job.translator.stride), size)
    except ImageError as error:
        return Picture(item, row).failed(str(error))
    except MemoryError:
        return Picture(item, row).failed(f"{item.source!r}: {NO_MEMORY}")


def _write(job: Job, stopwatch: Stopwatch, picture: Picture) -> Row:
    """Quantise, encode, hash and store the output of a picture that has not failed."""
    pixels, options = picture.pixels, job.options
    if pixels is None:
        return picture.row
    try:
        with stopwatch.timing("encode"):
            if pixels.dtype == np.float32:  # not rounded by the device yet
                if not np.isfinite(pixels).all():
                    return picture.failed(f"{picture.item.source!r}: {NOT_FINITE}").row
                pixels = images.to_pixels(images.to_channels(pixels, options.channels), options.bit_depth)  # type: ignore[arg-type]
            data = images.encode(pixels, options.format)  # type: ignore[arg-type]
        with stopwatch.timing("write"):
            digest = hashlib.sha256(data).hexdigest()
            job.sink.write(picture.item, data)
    except ImageError as error:
        return picture.failed(str(error)).row
    except MemoryError:
        return picture.failed(f"{picture.item.source!r}: {NO_MEMORY}").row
    height, width = picture.size
    return replace(picture.row, output=picture.item.output, output_sha256=digest, width=width, height=height)
