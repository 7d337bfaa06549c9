"""`OUT/.nirgen/`: the journal that makes a run resumable, and sorting and joining its rows.

`journal.jsonl` holds one line a finished source, appended and flushed; the manifest takes them over when a run ends.
`lock` keeps a second run out of the folder, and is released by the system when its process dies. Rows are sorted by an
external merge sort, so that memory does not grow with their number.
"""

from __future__ import annotations

import fcntl
import heapq
import json
import os
import tempfile
from dataclasses import fields
from typing import IO, TYPE_CHECKING, Any

from nirgen.errors import FullError, OutputError
from nirgen.files import FULL
from nirgen.translate.items import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedRandom
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from nirgen.translate.items import Item


SCHEMA = 1
FOLDER = ".nirgen"
_BLOCK_BYTES = 65_536
_NAMES = tuple(field.name for field in fields(Row))


def journal_path(out: Path) -> Path:
    """Where the journal of a translation folder is."""
    return out / FOLDER / "journal.jsonl"


def read_journal(out: Path) -> list[Row]:
    """The rows that a journal holds, in the order of writing; see `read_lines`.

    Returns:
        The rows; a source may have several, and the last one counts.
    """
    return [row for row in map(parse_line, read_lines(out)) if row is not None]


def read_lines(out: Path) -> Iterator[bytes]:
    """The lines of a journal, in the order of writing.

    A line that a killed run left torn, or that is damaged, is as if it were not there: its source is translated again.

    Args:
        out: A folder; it need not have a journal.

    Raises:
        OutputError: The journal can't be read, or another version of nirgen wrote it.
    """
    try:
        with journal_path(out).open("rb") as file:
            for line in file:
                if line.startswith(b'{"schema"'):
                    _check_schema(line, out)
                elif line.endswith(b"\n"):
                    yield line[:-1]
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{str(journal_path(out))!r} can't be read: {error.strerror}; use another OUT") from error


def _check_schema(line: bytes, out: Path) -> None:
    schema = _parse(line).get("schema", SCHEMA)
    if schema != SCHEMA:
        raise OutputError(
            f"{str(journal_path(out))!r} has schema {schema}, and this nirgen reads {SCHEMA}; "
            "finish the run with the nirgen that began it, or use another OUT"
        )


def parse_line(line: bytes) -> Row | None:
    """The row of a line; None if it is damaged."""
    try:
        return Row(**_parse(line))
    except TypeError:
        return None


def to_line(row: Row) -> bytes:
    """A row as a line of a journal, with its end."""
    return json.dumps({name: getattr(row, name) for name in _NAMES}).encode() + b"\n"


class Journal:
    """The journal of the run that is going on; holds the folder's lock.

    Args:
        out: The translation folder, which exists.

    Raises:
        OutputError: Another run holds the lock, or the folder can't be written.
    """

    def __init__(self, out: Path) -> None:
        self._path = journal_path(out)
        self._file: BufferedRandom | None = None
        try:
            self._path.parent.mkdir(exist_ok=True)
            self._lock = (self._path.parent / "lock").open("ab")
        except OSError as error:
            raise OutputError(f"{str(out)!r} can't be written: {error.strerror}; use another OUT") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise OutputError(f"another run is writing {str(out)!r}; wait for it to end, or use another OUT") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def append(self, row: Row) -> None:
        """Write a row and flush it.

        Raises:
            OutputError: It can't be written.
        """
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(to_line(row))
            self._file.flush()
        except OSError as error:
            kind = FullError if error.errno in FULL else OutputError
            raise kind(
                f"{str(self._path)!r} can't be written: {error.strerror}; what is done stays, mend this and run again"
            ) from error

    def clear(self) -> None:
        """Remove all rows: the manifest has them now, or they are not to count any more."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)

    def _open(self) -> BufferedRandom:
        """Open for appending, behind the last whole line."""
        self._path.touch()
        file = self._path.open("r+b")
        end = _end_of_lines(file)
        file.seek(end)
        file.truncate()
        if end == 0:
            file.write(json.dumps({"schema": SCHEMA}).encode() + b"\n")
        return file


def _parse(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _end_of_lines(file: BufferedRandom) -> int:
    """Where the last whole line of a file ends, read from its end."""
    position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


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
