"""The model of a run: pictures in batches or tiles, as far as memory allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from nirgen.devices import available_bytes
from nirgen.errors import ShapeError
from nirgen.translate.tiling import DEFAULT_OVERLAP, DEFAULT_TILE, translate_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from nirgen.images import Metadata, Pixels
    from nirgen.translate.budget import Budget
    from nirgen.translate.items import Item, Row
    from nirgen.translate.job import Job
    from nirgen.translate.summary import Stopwatch

NO_MEMORY = "there is not enough memory for an image of this size; use a smaller --size, or a machine with more"
NOT_FINITE = "the model gave values that are not numbers"
_USED_SHARE = 0.8  # of the available memory
_BATCH_PIXELS, _BATCH_IMAGES = 4_000_000, 32  # limits of a batch on a device
_SMALLEST_TILE = 64
_BYTES_PER_TILED_PIXEL = 24  # of the machine, beside a tile's: the result, and what `seam_meter` makes of it


@dataclass(frozen=True, slots=True)
class Picture:
    """A source on its way through the engine."""

    item: Item
    row: Row  # final if it failed
    rgb: NDArray[np.uint8] | None = None  # (H, W, 3), padded to the stride; None if it failed or is translated
    size: tuple[int, int] = (0, 0)  # (height, width) without the padding
    # Of the output: (C, height, width) float32 in [0, 1]; or, rounded by the device, (height, width[, 3])
    pixels: NDArray[np.float32] | Pixels | None = None
    metadata: Metadata | None = None  # tags of the source for the output; None if they aren't kept

    def failed(self, error: str) -> Picture:
        """Return the picture without pixels, with an error."""
        return Picture(self.item, replace(self.row, status="failed", error=error))


class Network:
    """The model, with the memory needs that it has shown so far."""

    def __init__(self, job: Job, stopwatch: Stopwatch, budget: Budget | None = None) -> None:
        self._translator = job.translator
        self._options = job.options
        self._run = job.run
        self._stopwatch = stopwatch
        self._budget = budget
        self._memory_share = _USED_SHARE * job.memory_share
        self._on_device = getattr(job.translator, "translate_on_device", None)
        self.device = torch.device(getattr(job.translator, "device", "cpu"))
        self._fitting: dict[tuple[int, ...], int] = {}  # padded shape -> images that fit together
        self._tiles: dict[tuple[int, ...], int] = {}  # padded shape -> side of a tile that may fit

    @property
    def in_flight(self) -> int:
        """Batches to begin before the first is collected: two keep a device busy while one is copied."""
        return 2 if self._on_device is not None and self.device.type != "cpu" else 1

    def batch_size(self, shape: tuple[int, ...]) -> int:
        """Return the number of pictures of a padded shape (H, W, 3) to begin together; one on a CPU."""
        if self._run.batch_size is not None:
            return self._run.batch_size
        if self.device.type == "cpu":
            return 1
        return max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (shape[0] * shape[1])))

    def begin(self, batch: Sequence[Picture]) -> Callable[[], list[Picture]]:
        """Begin to translate pictures of one padded size, in smaller batches or tiles where memory is short.

        The returned function waits for the device, and returns the pictures, translated or failed, in the same order.
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
        """Count the whole images of a shape that fit in memory; 0 if none does, or tiles are requested."""
        if self._options.tile is not None:
            return 0
        if shape not in self._fitting:
            self._fitting[shape] = min(self.batch_size(shape), self._estimate(shape))
        return self._fitting[shape]

    def _estimate(self, shape: tuple[int, ...]) -> int:
        """Count the images of a shape that fit by the translator's `bytes_per_pixel`; many if it has none."""
        needed = getattr(self._translator, "bytes_per_pixel", None)
        available = available_bytes(self.device)
        if not needed or available is None:
            return _BATCH_IMAGES if self._run.batch_size is None else self._run.batch_size
        if self._budget is not None and self.device.type == "cpu":
            available -= self._budget.unused  # which the next images take meanwhile
        return max(0, int(self._memory_share * available / (needed * shape[0] * shape[1])))

    def _whole(self, part: list[Picture]) -> Callable[[], list[Picture]] | None:
        """Begin a batch; None if it didn't fit, which is stored for this shape."""
        shape = _shape(part[0])
        launch = self._launch if self._on_device is None else self._launch_on_device
        try:
            with self._stopwatch.timing("model", len(part), [picture.item.source for picture in part]):
                return launch(part)
        except ShapeError as error:
            if len(part) > 1:  # which of them it is
                self._fitting[shape] = 1
                return None
            failed = [picture.failed(f"{picture.item.source!r}: {error}") for picture in part]
            return lambda: failed
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        self._fitting[shape] = len(part) // 2
        self._free()
        return None

    def _tiled(self, picture: Picture) -> Callable[[], list[Picture]] | None:
        """Translate one image in tiles; None if a tile didn't fit, and a smaller one is to be tried."""
        assert picture.rgb is not None
        shape, (height, width) = picture.rgb.shape, picture.size
        tile = self._options.tile or self._tiles.get(shape) or self._first_tile(shape)
        failed = [picture.failed(f"{picture.item.source!r}: {NO_MEMORY}")]
        if tile == 0 or (self._run.no_tiles and self._options.tile is None):
            return lambda: failed
        left = available_bytes()
        if left is not None and _BYTES_PER_TILED_PIXEL * height * width > left:
            return lambda: failed
        stride = self._translator.stride
        overlap = min(DEFAULT_OVERLAP, tile // 4 // stride * stride)
        try:
            with self._stopwatch.timing("model", sources=(picture.item.source,)):
                tiled = translate_tiles(self._translator, picture.rgb[:height, :width], tile=tile, overlap=overlap)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            self._free()
            smaller = tile // 2 // stride * stride
            if self._options.tile is not None or smaller < max(stride, _SMALLEST_TILE):
                return lambda: failed
            self._tiles[shape] = smaller
            return None
        row = replace(picture.row, method="tiled", tiles=tiled.tiles, seam=float(np.float32(tiled.seam)))
        done = [replace(picture, rgb=None, pixels=tiled.nir, row=row)]
        return lambda: done

    def _first_tile(self, shape: tuple[int, ...]) -> int:
        """Choose the largest tile that is smaller than the image and fits in memory; 0 if none."""
        stride = self._translator.stride
        tile = DEFAULT_TILE
        while tile >= max(stride, _SMALLEST_TILE):
            if tile < max(shape[:2]) and self._estimate((tile, tile)) > 0:
                return tile // stride * stride
            tile //= 2
        return 0

    def _launch(self, part: list[Picture]) -> Callable[[], list[Picture]]:
        """Translate a batch on the CPU, or by a translator that manages its device itself."""
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
        """Copy a batch to the device, translate and round it there, and copy the levels back, without waiting.

        On a GPU, batches of one size have one shape: the last one is filled up.
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

        def collect() -> list[Picture]:
            if event is not None:
                with self._stopwatch.timing("model", 0):
                    event.synchronize()
            return [
                replace(picture, rgb=None, pixels=values[: picture.size[0], : picture.size[1]])
                if good
                else picture.failed(f"{picture.item.source!r}: {NOT_FINITE}")
                for picture, values, good in zip(part, copies[0].numpy(), copies[1].tolist(), strict=True)
            ]

        return collect

    def _free(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.empty_cache()


def round_levels(nir: Tensor, channels: int, bit_depth: int) -> Tensor:
    """Quantise (N, C, H, W) float in [0, 1] on its device, as `images.to_channels` and `images.to_pixels` do.

    The result is (N, H, W) for 1 channel, (N, H, W, 3) for 3; uint8 or uint16.
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
    # Torch raises its own class for devices, RuntimeError for the CPU.
    texts = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(text in str(error) for text in texts)
