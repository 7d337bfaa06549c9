"""Parts of a listing, for machines that share the work: the same parts wherever they are computed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

from nirgen.errors import ConfigError

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
