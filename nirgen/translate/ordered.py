"""Rows in the order of their sources, however many there are, in little memory."""

from __future__ import annotations

import heapq
import tempfile
from typing import IO, TYPE_CHECKING

from nirgen.translate.journal import parse_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nirgen.translate.manifest import Row
    from nirgen.translate.plan import Item

# Lines that are sorted in memory at once.
_CHUNK_LINES = 10_000


def sort_lines(lines: Iterable[bytes], folder: Path) -> Iterator[Row]:
    """The rows of a journal's lines, sorted by source; of several of one source the last.

    Args:
        lines: In the order of writing; what is no row is left out.
        folder: Where parts that don't fit into memory are put, in files that have no name.
    """
    chunks: list[Iterable[tuple[str, int, bytes]]] = []
    chunk: dict[str, tuple[str, int, bytes]] = {}
    for number, line in enumerate(lines):
        row = parse_line(line)
        if row is None:
            continue
        chunk[row.source] = (row.source, number, line)
        if len(chunk) >= _CHUNK_LINES:
            chunks.append(_spilled(chunk, folder))
            chunk = {}
    chunks.append([chunk[source] for source in sorted(chunk)])
    latest: tuple[str, bytes] | None = None
    for source, _, line in heapq.merge(*chunks):
        if latest is not None and latest[0] != source:
            yield _row(latest[1])
        latest = (source, line)
    if latest is not None:
        yield _row(latest[1])


def _row(line: bytes) -> Row:
    row = parse_line(line)
    assert row is not None
    return row


def _spilled(chunk: dict[str, tuple[str, int, bytes]], folder: Path) -> Iterable[tuple[str, int, bytes]]:
    """A sorted chunk, on disk."""
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the iterator
    for source in sorted(chunk):
        _, number, line = chunk[source]
        file.write(b"%d %s\n" % (number, line))
    file.seek(0)
    return _read_back(file)


def _read_back(file: IO[bytes]) -> Iterator[tuple[str, int, bytes]]:
    with file:
        for text in file:
            number, _, line = text.rstrip(b"\n").partition(b" ")
            yield _row(line).source, int(number), line


def merge_rows(older: Iterable[Row], newer: Iterable[Row]) -> Iterator[Row]:
    """Two sequences, each sorted by source, as one; of two rows of one source the newer."""
    latest: Row | None = None
    ranked = heapq.merge(((row.source, 0, row) for row in older), ((row.source, 1, row) for row in newer), key=_rank)
    for _, _, row in ranked:
        if latest is not None and latest.source != row.source:
            yield latest
        latest = row
    if latest is not None:
        yield latest


def _rank(entry: tuple[str, int, Row]) -> tuple[str, int]:
    return entry[0], entry[1]


def join(items: Iterable[Item], rows: Iterable[Row]) -> Iterator[tuple[Item | None, Row | None]]:
    """Items and rows of one source side by side; both are sorted by source, and so is what comes.

    Yields:
        An item and its row, an item without a row, or a row without an item.
    """
    left, right = iter(items), iter(rows)
    item, row = next(left, None), next(right, None)
    while item is not None or row is not None:
        if row is None or (item is not None and item.source < row.source):
            yield item, None
            item = next(left, None)
        elif item is None or row.source < item.source:
            yield None, row
            row = next(right, None)
        else:
            yield item, row
            item, row = next(left, None), next(right, None)
