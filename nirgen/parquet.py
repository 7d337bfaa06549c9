"""Checksums of Parquet files: the sha256 of a file's other bytes, before its footer, where readers don't look."""

from __future__ import annotations

import hashlib
import os
from typing import IO

_SEAL = b"nirgen sha256 "
_LENGTH = len(_SEAL) + 32
_BLOCK = 1 << 20


def seal(file: IO[bytes]) -> None:
    """Add the checksum to a Parquet file that is open for reading and writing."""
    size, footer = _ends(file)
    file.seek(0)
    digest = hashlib.sha256()
    _update(digest, file, size)
    file.seek(footer)
    rest = file.read(size - footer)
    file.seek(footer)
    file.write(_SEAL + digest.digest() + rest)


def is_sealed(file: IO[bytes]) -> bool:
    """Return True if a file has a checksum, be it right or wrong."""
    _, footer = _ends(file)
    if footer < _LENGTH:
        return False
    file.seek(footer - _LENGTH)
    return file.read(len(_SEAL)) == _SEAL


def is_whole(file: IO[bytes]) -> bool:
    """Return True if a file has a checksum, and its other bytes are those that were sealed."""
    if not is_sealed(file):
        return False
    size, footer = _ends(file)
    digest = hashlib.sha256()
    file.seek(0)
    _update(digest, file, footer - _LENGTH)
    file.seek(footer - 32)
    found = file.read(32)
    _update(digest, file, size - footer)
    return digest.digest() == found


def _ends(file: IO[bytes]) -> tuple[int, int]:
    """Return the size of a file, and where its footer begins; that is 0 if it can't be one of Parquet."""
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        return size, 0
    file.seek(size - 8)
    return size, max(size - 8 - int.from_bytes(file.read(4), "little"), 0)


def _update(digest: hashlib._Hash, file: IO[bytes], count: int) -> None:
    while count and (block := file.read(min(count, _BLOCK))):
        digest.update(block)
        count -= len(block)
