"""Options of a translation: those that change pixels, those that do not, and the shard of the sources."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nirgen.config import FrozenConfig
from nirgen.errors import ConfigError
from nirgen.images import PIXEL_LIMIT, Format, check_encodable

# Raised when the same options begin to give other pixels, so that folders made before are noticed.
PIXEL_RULES = 2


class TranslateOptions(FrozenConfig):
    """What changes the pixels or bytes of an output.

    Attributes:
        format: Of the output files; its name is also their ending.
        bit_depth: 8, or 16 with one channel as png or tif.
        channels: 1, or 3 equal ones for readers that can't read grey.
        size: (height, width) in pixels that each source is resized to before translation; None keeps each source's own.
        tile: Side in pixels of the tiles that every image is cut into; None translates whole images, and cuts only
            those that memory does not suffice for.
    """

    format: Format = "png"
    bit_depth: Literal[8, 16] = 8
    channels: Literal[1, 3] = 1
    size: tuple[int, int] | None = None
    tile: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _fits_the_format(self) -> Self:
        check_encodable(self.format, bit_depth=self.bit_depth, channels=self.channels)
        if self.size is not None and (min(self.size) < 1 or self.size[0] * self.size[1] > PIXEL_LIMIT):
            raise ConfigError(f"a size is height x width, each at least 1, at most {PIXEL_LIMIT} pixels in all")
        return self

    def described(self) -> dict[str, Any]:
        """The options and the number of the rules that they are carried out by, as plain values."""
        values = self.model_dump(mode="json")
        if self.tile is None:  # as before there was such an option
            del values["tile"]
        return {"pixel_rules": PIXEL_RULES, **values}

    @property
    def id(self) -> str:
        """Sha256 of the canonical JSON of `described`, as 64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.described(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Threads that read and write images by default: one for each processor that this process may use, up to 16.

    Where the model runs on the same processors, they take from it only what its pace needs, some 10 ms an image.
    """
    return min(16, processors())


class RunOptions(FrozenConfig):
    """What changes how a run goes, and never a byte of its images, but for what stands at `no_tiles`.

    Attributes:
        batch_size: Images that the translator gets at once, where their padded sizes agree; None chooses: one on a
            CPU, some megapixels on a GPU. Less where memory does not suffice.
        workers: Threads that read, decode, encode and write.
        on_error: Whether a source that fails becomes a row and the run goes on, or the run stops.
        redo: Forget what OUT holds of these sources and translate them all again.
        pixel_limit: Sources with more pixels fail, before they are decoded.
        no_tiles: An image that memory does not suffice for fails, where it would be translated in tiles.
    """

    batch_size: int | None = Field(None, ge=1)
    workers: int = Field(default_factory=default_workers, ge=1)
    on_error: Literal["continue", "stop"] = "continue"
    redo: bool = False
    pixel_limit: int = Field(PIXEL_LIMIT, ge=1)
    no_tiles: bool = False


_TEXT = re.compile(r"([0-9]+)/([0-9]+)")


@dataclass(frozen=True, slots=True)
class Shard:
    """One part of several.

    A source belongs to a part by its name alone: the first eight bytes of the sha256 of its path (POSIX, relative to
    the root, UTF-8), as a big-endian number, modulo `count`, plus one.

    Attributes:
        index: From 1 to `count`.
        count: How many parts there are.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a user wrote.

        Raises:
            ConfigError: It isn't `I/N` with 1 <= I <= N.

        Example:
            >>> Shard.parse("3/8")
            Shard(index=3, count=8)
        """
        match = _TEXT.fullmatch(text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"shard {text!r} is not I/N with I from 1 to N, such as 3/8")
        return cls(int(match[1]), int(match[2]))

    def has(self, source: str) -> bool:
        """Whether a source belongs to this part.

        Example:
            >>> [Shard(index, 3).has("a/b.jpg") for index in (1, 2, 3)].count(True)
            1
        """
        number = int.from_bytes(hashlib.sha256(source.encode()).digest()[:8])
        return number % self.count + 1 == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
