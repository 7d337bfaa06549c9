"""Engine of translation: items, a translator and a sink in, one row a source out.

Images are read and decoded in threads, translated in the calling thread, encoded and written in threads. What is in
flight is bounded by the number of workers and the batch size. A batch that does not fit into memory is halved, and an
image that does not fit is tiled. With batches of one image, rows come in the order of the sources; larger batches
gather images of one padded size.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen.devices import available_bytes
from nirgen.errors import ShapeError
from nirgen.translate.pictures import NO_MEMORY, NOT_FINITE, Picture, Reader, Writer, ahead, behind
from nirgen.translate.summary import Stopwatch
from nirgen.translate.tiling import DEFAULT_OVERLAP, DEFAULT_TILE, translate_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from torch import Tensor

    from nirgen.translate.items import Item, Row, Sink, Source, Translator
    from nirgen.translate.options import RunOptions, TranslateOptions


# How many images may wait for others of their size, in batches.
_BATCHES_WAITING = 4


def translate_items(
    items: Iterable[Item],
    *,
    source: Source,
    sink: Sink,
    translator: Translator,
    options: TranslateOptions,
    run: RunOptions,
    stopwatch: Stopwatch | None = None,
    stopped: Callable[[], bool] = lambda: False,
    memory_share: float = 1.0,
) -> Generator[Row]:
    """Translate sources and store their outputs.

    Args:
        items: What to translate; taken as it is needed.
        source: Where the images are.
        sink: Where the outputs go.
        translator: The model.
        options: What changes pixels.
        run: Batch size, workers and pixel limit.
        stopwatch: Is told where the time goes.
        stopped: Asked before each batch; once it is true, no other is begun, and what is translated is written.
        memory_share: Of the device's memory that is available, what may be used, in (0, 1].

    Yields:
        The row of each source, once its output is stored.

    Raises:
        OutputError: Nothing can be stored any more.
    """
    watch = stopwatch or Stopwatch()
    read = Reader(source, translator, options, run.pixel_limit, watch)
    write = Writer(sink, options, watch)
    network = Network(translator, options, run, watch, memory_share=memory_share)
    depth = 2 * run.workers
    with ThreadPoolExecutor(run.workers, thread_name_prefix="nirgen") as pool:
        try:
            pictures = ahead(pool, read, items, depth, watch)
            translated = _in_flight(_batches(pictures, network, stopped), network)
            yield from behind(pool, write, translated, depth, watch)
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(
    pictures: Iterable[Picture], network: Network, stopped: Callable[[], bool]
) -> Iterator[list[Picture] | Picture]:
    """Gather pictures of one padded size; those that failed pass through."""
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
    """Translate batches, with as many begun as the network allows."""
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


# Of the memory that is available, as much is used.
_USED_SHARE = 0.8
# A batch on a device holds about as many pixels, and no more images than that.
_BATCH_PIXELS, _BATCH_IMAGES = 4_000_000, 32
_SMALLEST_TILE = 64


class Network:
    """The model, and what has been learnt of the memory that it needs.

    Args:
        translator: The model.
        options: What changes pixels.
        run: Batch size, and whether images may be tiled.
        stopwatch: Counts the model's time.
        memory_share: Of the memory that is available, what may be used, in (0, 1].
    """

    def __init__(
        self,
        translator: Translator,
        options: TranslateOptions,
        run: RunOptions,
        stopwatch: Stopwatch,
        *,
        memory_share: float = 1.0,
    ) -> None:
        self._translator = translator
        self._options = options
        self._run = run
        self._stopwatch = stopwatch
        self._memory_share = _USED_SHARE * memory_share
        self._on_device = getattr(translator, "translate_on_device", None)
        self.device = torch.device(getattr(translator, "device", "cpu"))
        self._fitting: dict[tuple[int, ...], int] = {}
        self._tiles: dict[tuple[int, ...], int] = {}

    @property
    def in_flight(self) -> int:
        """How many batches may be begun before the first is finished: two keep a device busy while one is copied."""
        return 2 if self._on_device is not None and self.device.type != "cpu" else 1

    def batch_size(self, shape: tuple[int, ...]) -> int:
        """How many pictures of a padded shape (H, W, 3) to begin together.

        On a CPU, one: batches gain nothing there.
        """
        if self._run.batch_size is not None:
            return self._run.batch_size
        if self.device.type == "cpu":
            return 1
        return max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (shape[0] * shape[1])))

    def begin(self, batch: Sequence[Picture]) -> Callable[[], list[Picture]]:
        """Begin to translate pictures of one padded size; where memory does not suffice, in smaller batches or tiles.

        Args:
            batch: At least one picture that has not failed, all of one padded shape.

        Returns:
            What gives the pictures, translated or failed, in the same order; it waits for the device.
        """
        rest = list(batch)
        finishes: list[Callable[[], list[Picture]]] = []
        while rest:
            fitting = self._fits(_shape(rest[0]))
            part = rest[: max(1, fitting)]
            finish = self._tiled(part[0]) if fitting == 0 else self._whole(part)
            if finish is not None:
                finishes.append(finish)
                rest = rest[len(part) :]
        return lambda: [picture for finish in finishes for picture in finish()]

    def _fits(self, shape: tuple[int, ...]) -> int:
        """How many images of a shape fit into memory as whole ones; 0 if none does, or tiles are asked for."""
        if self._options.tile is not None:
            return 0
        if shape not in self._fitting:
            self._fitting[shape] = min(self.batch_size(shape), self._estimate(shape))
        return self._fitting[shape]

    def _estimate(self, shape: tuple[int, ...]) -> int:
        """How many images of a shape fit by what the translator says of its needs; many if it says nothing."""
        needed = getattr(self._translator, "bytes_per_pixel", None)
        available = available_bytes(self.device)
        if not needed or available is None:
            return _BATCH_IMAGES if self._run.batch_size is None else self._run.batch_size
        return int(self._memory_share * available / (needed * shape[0] * shape[1]))

    def _whole(self, part: list[Picture]) -> Callable[[], list[Picture]] | None:
        """Begin a batch; None if it didn't fit, which is remembered for this size."""
        shape = _shape(part[0])
        launch = self._launch if self._on_device is None else self._launch_on_device
        try:
            with self._stopwatch.timing("model", len(part)):
                return launch(part)
        except ShapeError as error:
            failed = [picture.failed(f"{picture.item.source!r}: {error}") for picture in part]
            return lambda: failed
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        self._fitting[shape] = len(part) // 2
        self._free()
        return None

    def _tiled(self, picture: Picture) -> Callable[[], list[Picture]] | None:
        """One image in tiles; None if a tile didn't fit, and a smaller one is to be tried."""
        assert picture.rgb is not None
        shape, (height, width) = picture.rgb.shape, picture.size
        tile = self._options.tile or self._tiles.get(shape) or self._first_tile(shape)
        if tile == 0 or (self._run.no_tiles and self._options.tile is None):
            failed = [picture.failed(f"{picture.item.source!r}: {NO_MEMORY}")]
            return lambda: failed
        stride = self._translator.stride
        overlap = min(DEFAULT_OVERLAP, tile // 4 // stride * stride)
        try:
            with self._stopwatch.timing("model"):
                tiled = translate_tiles(self._translator, picture.rgb[:height, :width], tile=tile, overlap=overlap)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            self._free()
            smaller = tile // 2 // stride * stride
            if self._options.tile is not None or smaller < max(stride, _SMALLEST_TILE):
                failed = [picture.failed(f"{picture.item.source!r}: {NO_MEMORY}")]
                return lambda: failed
            self._tiles[shape] = smaller
            return None
        row = replace(picture.row, method="tiled", tiles=tiled.tiles, seam=float(np.float32(tiled.seam)))
        done = [replace(picture, rgb=None, pixels=tiled.nir, row=row)]
        return lambda: done

    def _first_tile(self, shape: tuple[int, ...]) -> int:
        """The largest tile worth trying: smaller than the image, and within what memory is said to hold; 0 if none."""
        stride = self._translator.stride
        tile = DEFAULT_TILE
        while tile >= max(stride, _SMALLEST_TILE):
            if tile < max(shape[:2]) and self._estimate((tile, tile)) > 0:
                return tile // stride * stride
            tile //= 2
        return 0

    def _launch(self, part: list[Picture]) -> Callable[[], list[Picture]]:
        """Translate a batch on the CPU, or by a translator that takes care of its device itself."""
        arrays = [picture.rgb for picture in part if picture.rgb is not None]
        stacked = arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)
        rgb = torch.from_numpy(stacked).permute(0, 3, 1, 2)
        nir = self._translator.translate(rgb, [picture.size for picture in part]).numpy()
        done = [
            replace(picture, rgb=None, pixels=values[:, : picture.size[0], : picture.size[1]])
            for picture, values in zip(part, nir, strict=True)
        ]
        return lambda: done

    def _launch_on_device(self, part: list[Picture]) -> Callable[[], list[Picture]]:
        """Copy a batch to the device, translate and round it there, and copy the levels back; all without waiting.

        On a GPU, batches of one size have one shape: what is missing of the last one is filled up.
        """
        assert self._on_device is not None
        gpu = self.device.type == "cuda"
        count = max(len(part), self._fitting.get(_shape(part[0]), 1)) if gpu else len(part)
        host = torch.zeros((count, *_shape(part[0])), dtype=torch.uint8, pin_memory=gpu)
        for place, picture in zip(host.numpy(), part, strict=False):
            place[...] = picture.rgb
        sizes = [picture.size for picture in part] + [part[-1].size] * (count - len(part))
        with torch.inference_mode():
            rgb = host.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
            nir = self._on_device(rgb, sizes)[: len(part)]
            levels = round_levels(nir, self._options.channels, self._options.bit_depth)
            finite = torch.stack(
                [torch.isfinite(values[:, :h, :w].sum()) for values, (h, w) in zip(nir, sizes, strict=False)]
            )
            copies = [torch.empty(on.shape, dtype=on.dtype, pin_memory=gpu) for on in (levels, finite)]
            for copy, on in zip(copies, (levels, finite), strict=True):
                copy.copy_(on, non_blocking=True)
        event = torch.cuda.Event() if gpu else None
        if event is not None:
            event.record(torch.cuda.current_stream(self.device))
        return partial(self._collect, part, copies[0], copies[1], event)

    def _collect(
        self, part: list[Picture], levels: Tensor, finite: Tensor, event: torch.cuda.Event | None
    ) -> list[Picture]:
        """The pictures of a batch, once the device is done with it."""
        if event is not None:
            with self._stopwatch.timing("model", 0):
                event.synchronize()
        return [
            replace(picture, rgb=None, pixels=values[: picture.size[0], : picture.size[1]])
            if good
            else picture.failed(f"{picture.item.source!r}: {NOT_FINITE}")
            for picture, values, good in zip(part, levels.numpy(), finite.tolist(), strict=True)
        ]

    def _free(self) -> None:
        """Give back what an attempt that failed has left reserved."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()


def round_levels(nir: Tensor, channels: int, bit_depth: int) -> Tensor:
    """Quantise a batch where it is, with the levels that `images.to_channels` and `images.to_pixels` give.

    Args:
        nir: (N, C, H, W) float in [0, 1], C being 1 or 3; values that overshoot are clamped.
        channels: 1 or 3.
        bit_depth: 8 or 16.

    Returns:
        (N, H, W) for 1 channel, (N, H, W, 3) for 3; uint8 or uint16.
    """
    nir = nir.float()
    if channels == 1:
        nir = nir[:, 0] if nir.shape[1] == 1 else (nir[:, 0] + nir[:, 1] + nir[:, 2]) / 3
    else:
        nir = nir.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    levels = nir.double().clamp_(0, 1).mul_(2**bit_depth - 1).round_().nan_to_num_(0)
    return levels.to(torch.uint8 if bit_depth == 8 else torch.int32).to(torch.uint8 if bit_depth == 8 else torch.uint16)


def _shape(picture: Picture) -> tuple[int, ...]:
    assert picture.rgb is not None
    return picture.rgb.shape


def _is_out_of_memory(error: BaseException) -> bool:
    """Torch says so with a class of its own on a device, and on the CPU only in the text."""
    texts = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(text in str(error) for text in texts)
