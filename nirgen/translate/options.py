"""Options of a translation: those that change pixels, those that do not, and the shard of the sources."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nirgen.config import FrozenConfig
from nirgen.errors import ConfigError
from nirgen.images import PIXEL_LIMIT, SIDE_LIMIT, Format, Reading, check_encodable

# Raised when the same options begin to give other pixels, so that older folders are refused.
PIXEL_RULES = 2


class TranslateOptions(FrozenConfig):
    """Options that change the pixels or bytes of an output."""

    format: Format = "png"
    """Image format of the outputs, also their ending."""
    bit_depth: Literal[8, 16] = 8
    """8, or 16 with one channel as png or tif."""
    channels: Literal[1, 3] = 1
    """1, or 3 equal ones for readers that can't read grey."""
    size: tuple[int, int] | None = None
    """(height, width) in pixels that each source is resized to before translation; None keeps its own."""
    tile: int | None = Field(None, ge=1)
    """Side in pixels of the tiles that every image is cut into; None cuts only images that don't fit in memory."""
    alpha: Literal["blend", "ignore"] = Reading().alpha
    """Fourth channels of sources: opacity to blend over black, or something else."""
    keep_metadata: bool = False
    """Copy time and place of capture, camera, and GeoTIFF tags from sources to outputs that can hold them."""
    white_level: int | None = Field(Reading().white_level, ge=1, le=65535)
    """Sample that is white in sources of more than 8 bits; None takes the file's own statement, or its largest."""
    white_balance: Literal["off", "auto"] = "off"
    """`auto` scales the channels of each source to one mean, for cameras without white balance."""

    @model_validator(mode="after")
    def _fits_the_format(self) -> Self:
        check_encodable(self.format, bit_depth=self.bit_depth, channels=self.channels)
        size = self.size
        if size and (min(size) < 1 or max(size) > SIDE_LIMIT or size[0] * size[1] > PIXEL_LIMIT):
            limits = f"each at least 1 and at most {SIDE_LIMIT}, at most {PIXEL_LIMIT} pixels in all"
            raise ConfigError(f"a size is height x width, {limits}")
        return self

    def described(self) -> dict[str, Any]:
        """Return the options and `PIXEL_RULES` as plain values."""
        values = self.model_dump(mode="json")
        for name in (
            "tile",
            "white_balance",
            "alpha",
            "white_level",
            "keep_metadata",
        ):  # keeps the id of folders older than the options
            if values[name] == type(self).model_fields[name].default:
                del values[name]
        return {"pixel_rules": PIXEL_RULES, **values}

    @property
    def id(self) -> str:
        """Sha256 of the canonical JSON of `described`, as 64 hexadecimal digits."""
        return sha256(json.dumps(self.described(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class RunOptions(FrozenConfig):
    """Options that change the course of a run, and no image of it (but see `no_tiles`)."""

    batch_size: int | None = Field(None, ge=1)
    """Images translated at once, less where memory is short; None: one on a CPU, some megapixels on a GPU."""
    workers: int = Field(default_factory=lambda: min(16, processors()), ge=1)
    """Threads that read, decode, encode and write."""
    on_error: Literal["continue", "stop"] = "continue"
    """After a failed source has become a row."""
    damaged: Literal["fail", "keep"] = Reading().damaged
    """Sources with corrupt data: they fail, or are translated as far as they can be decoded."""
    redo: bool = False
    """Forget the rows of these sources, and translate all of them again."""
    pixel_limit: int = Field(PIXEL_LIMIT, ge=1)
    """Sources with more pixels fail before they are decoded."""
    image_timeout: float | None = Field(None, gt=0)
    """Seconds that decoding, translating or encoding an image may take before it fails; None waits for ever. It needs
    worker processes, which can be ended."""
    no_tiles: bool = False
    """An image that does not fit in memory fails instead of being translated in tiles."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of a listing, chosen by the names alone.

    A source belongs to part `n % count + 1`, n being the first eight bytes, big-endian, of the sha256 of its path
    (POSIX, relative to the root, UTF-8).
    """

    index: int  # from 1 to `count`
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `I/N`; ConfigError unless 1 <= I <= N."""
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"shard {text!r} is not I/N with I from 1 to N, such as 3/8")
        return cls(int(match[1]), int(match[2]))

    def has(self, source: str) -> bool:
        """Return True if a source belongs to this part."""
        return int.from_bytes(sha256(source.encode()).digest()[:8]) % self.count + 1 == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
