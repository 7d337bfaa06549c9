"""Translation of items in this process: threads read and decode, the calling thread translates, threads write.

The number of workers, the batch size and a budget of memory bound the images in flight. Batches of one image keep the
order of the sources; larger ones gather images of one padded size.
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
from nirgen.errors import DamagedError, ImageError
from nirgen.translate.budget import Budget
from nirgen.translate.items import Item, Row
from nirgen.translate.network import NO_MEMORY, NOT_FINITE, Network, Picture
from nirgen.translate.ordered import ahead, behind

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from nirgen.translate.budget import Place
    from nirgen.translate.job import Job
    from nirgen.translate.summary import Stopwatch

_BATCHES_WAITING = 4  # of images that may wait for others of their size
# Pixels of a padded image: so many times the limit of an image without padding, or as many as are allowed always.
_PADDED, _PADDED_AT_LEAST = 1.1, 1_000_000


def translate_items(
    items: Iterable[Item], job: Job, stopwatch: Stopwatch, stopped: Callable[[], bool]
) -> Generator[Row]:
    """Translate sources and store their outputs, in this process; see `Engine`. OutputError if none can be stored."""
    workers, budget = job.run.workers, Budget(job.host_share)
    network = Network(job, stopwatch, budget)
    with ThreadPoolExecutor(workers, thread_name_prefix="nirgen") as pool:
        try:
            read = ahead(pool, partial(_read, job, stopwatch), budget.places(items), 2 * workers, stopwatch)
            translated = _in_flight(_batches(_passed(read), network, budget, stopped), network)
            write, limit = partial(_write, job, stopwatch), budget.behind
            yield from behind(pool, write, translated, 2 * workers, stopwatch, weigh=_weigh, limit=limit)
        finally:
            budget.close()
            pool.shutdown(cancel_futures=True)


def _passed(pictures: Iterable[tuple[Place, Picture]]) -> Iterator[Picture]:
    for place, picture in pictures:
        place.passed()
        yield picture


def _weigh(picture: Picture) -> int:
    """Bytes that a translated picture takes, until it is written."""
    return 0 if picture.pixels is None else picture.pixels.nbytes


def _batches(
    pictures: Iterable[Picture], network: Network, budget: Budget, stopped: Callable[[], bool]
) -> Iterator[list[Picture] | Picture]:
    """Gather pictures of one padded size, as far as memory allows; failed ones pass through."""
    batches: dict[tuple[int, ...], list[Picture]] = {}
    waiting = held = 0
    for picture in pictures:
        if stopped():
            return
        if picture.rgb is None:
            yield picture
            continue
        shape = picture.rgb.shape
        batches.setdefault(shape, []).append(picture)
        waiting, held = waiting + 1, held + picture.rgb.nbytes
        size = network.batch_size(shape)
        if len(batches[shape]) < size and waiting < _BATCHES_WAITING * size and held <= budget.behind:
            continue
        batch = batches.pop(shape if len(batches[shape]) >= size else next(iter(batches)))
        waiting, held = waiting - len(batch), held - len(batch) * batch[0].rgb.nbytes  # type: ignore[union-attr]
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


def _read(job: Job, stopwatch: Stopwatch, placed: tuple[Place, Item]) -> tuple[Place, Picture]:
    """Read, hash, decode, resize and pad a source."""
    place, item = placed
    row = Row(item.source, job.translator.id, job.options.id, "done")
    if item.problem:
        return place, Picture(item, row).failed(item.problem)
    try:
        with stopwatch.timing("read"):
            data = job.source.read(item, place.hold)
            row = replace(row, source_sha256=hashlib.sha256(data).hexdigest())

        def admit(size: tuple[int, int], needed: int) -> None:
            padded = _check_padded(item, job, size)
            with stopwatch.pausing(item.source):
                place.hold(len(data) + needed + 3 * padded)

        with stopwatch.timing("decode", sources=(item.source,)):
            decoded = images.decode_noted(data, item.source, job.reading, pixel_limit=job.run.pixel_limit, admit=admit)
            rgb, row = decoded.rgb, _noted(row, decoded)
            rgb = rgb if job.options.size is None else images.resize(rgb, job.options.size)
            rgb = images.balance_white(rgb) if job.options.white_balance == "auto" else rgb
            size = (rgb.shape[0], rgb.shape[1])
            row = _noted_padding(row, size, getattr(job.translator, "least_side", 1))
            rgb = images.pad_to_stride(rgb, job.translator.stride)
        place.hold(rgb.nbytes)
        return place, Picture(item, row, rgb, size, metadata=_metadata(item, data, job))
    except ImageError as error:
        row = replace(row, damage=error.damage if isinstance(error, DamagedError) else None)
        return place, Picture(item, row).failed(str(error))
    except MemoryError:
        return place, Picture(item, row).failed(f"{item.source!r}: {NO_MEMORY}")


def _metadata(item: Item, data: bytes, job: Job) -> images.Metadata | None:
    """Return the tags that the output takes from its source; a turned or resized image loses those of a map."""
    if not job.options.keep_metadata:
        return None
    found, header = images.metadata_in(data, item.source), images.header_of(data, item.source)
    same = header.upright and job.options.size in {None, header.size}
    return found if same else found.without_map()


def _noted(row: Row, source: images.Decoded) -> Row:
    """Return the row with what is known of its decoded source."""
    height, width = source.rgb.shape[:2]
    capture = source.capture or images.Capture()
    return replace(
        row,
        source_width=width,
        source_height=height,
        damage=source.damage,
        note="; ".join(source.notes) or None,
        brightest=None if source.brightest is None else round(source.brightest, 4),
        captured=capture.time,
        latitude=capture.latitude,
        longitude=capture.longitude,
    )


def _noted_padding(row: Row, size: tuple[int, int], least: int) -> Row:
    if min(size) >= least:
        return row
    note = f"padded to {least} pixels a side, the least that the model takes"
    return replace(row, note=f"{row.note}; {note}" if row.note else note)


def _check_padded(item: Item, job: Job, size: tuple[int, int]) -> int:
    """Return the pixels of an image of (height, width) as the model gets it; ImageError if they are too many."""
    height, width = (-(-side // job.translator.stride) * job.translator.stride for side in job.options.size or size)
    if height * width > max(_PADDED * job.run.pixel_limit, _PADDED_AT_LEAST):
        raise ImageError(
            f"{item.source!r} is {size[1]}x{size[0]}, and {width}x{height} as the model needs it, far over the limit "
            f"of {job.run.pixel_limit} pixels; cut it to a wider shape"
        )
    return height * width


def _write(job: Job, stopwatch: Stopwatch, picture: Picture) -> Row:
    """Quantise, encode, hash and store the output of a picture that has not failed."""
    pixels, options = picture.pixels, job.options
    if pixels is None:
        return picture.row
    try:
        with stopwatch.timing("encode", sources=(picture.item.source,)):
            if pixels.dtype == np.float32:  # not rounded by the device yet
                if not np.isfinite(pixels).all():
                    return picture.failed(f"{picture.item.source!r}: {NOT_FINITE}").row
                pixels = images.to_pixels(images.to_channels(pixels, options.channels), options.bit_depth)  # type: ignore[arg-type]
            data = images.encode(pixels, options.format, picture.metadata)  # type: ignore[arg-type]
        with stopwatch.timing("write"):
            digest = hashlib.sha256(data).hexdigest()
            job.sink.write(picture.item, data)
    except ImageError as error:
        return picture.failed(str(error)).row
    except MemoryError:
        return picture.failed(f"{picture.item.source!r}: {NO_MEMORY}").row
    height, width = picture.size
    return replace(picture.row, output=picture.item.output, output_sha256=digest, width=width, height=height)
