"""One image on its way, and the two ends of that way: reading and writing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.errors import ImageError
from nirgen.translate.manifest import Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.translate.options import TranslateOptions
    from nirgen.translate.plan import Item
    from nirgen.translate.profile import Stopwatch
    from nirgen.translate.storage import Sink, Source
    from nirgen.translate.translator import Translator

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
