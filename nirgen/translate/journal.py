"""`OUT/.nirgen/`: the journal that makes a run resumable, and the merge of its rows with the manifest's.

`journal.jsonl` has one line for each source that is done, appended and flushed; the manifest takes them over when a run
ends. Rows are sorted by an external merge sort, so that memory does not grow with their number.
"""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from nirgen.errors import FullError, OutputError
from nirgen.files import FULL, check_schema, locked
from nirgen.translate.items import Item, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedRandom
    from pathlib import Path
    from types import TracebackType
    from typing import Self

SCHEMA = 1
FOLDER = ".nirgen"
_BLOCK_BYTES = 65_536
_CHUNK_ROWS = 10_000  # that are sorted in memory at once
_Ranked: TypeAlias = tuple[str, int, Row]  # source and rank; of one source the highest rank counts


def journal_path(out: Path) -> Path:
    """Return the path of a translation folder's journal."""
    return out / FOLDER / "journal.jsonl"


def read_journal(out: Path) -> Iterator[Row]:
    """Read the rows of a journal, if there is one, in the order of writing; the last row of a source counts.

    A torn or damaged line is skipped: its source is translated again. OutputError for an unreadable file or schema.
    """
    path = journal_path(out)
    try:
        with path.open("rb") as file:
            for line in file:
                if line.startswith(b'{"schema"'):
                    found = _parse(line).get("schema", SCHEMA)
                    remedy = "finish the run with the nirgen that began it, or use another OUT"
                    check_schema(path, found, SCHEMA, remedy, error=OutputError)
                elif line.endswith(b"\n"):
                    with suppress(TypeError):
                        yield Row(**_parse(line))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(f"{str(path)!r} can't be read: {error.strerror}; use another OUT") from error


def to_line(row: Row) -> bytes:
    """Return a row as a line of a journal, newline included."""
    return json.dumps(asdict(row)).encode() + b"\n"


def _parse(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


class Journal:
    """The open journal of a run in a folder that exists; holds its lock. OutputError if another run does."""

    def __init__(self, out: Path) -> None:
        self._path = journal_path(out)
        self._file: BufferedRandom | None = None
        self._lock = ExitStack()
        try:
            self._path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{str(out)!r} can't be written: {error.strerror}; use another OUT") from error
        busy = f"another run is writing {str(out)!r}; wait for it to end, or use another OUT"
        self._lock.enter_context(locked(self._path.parent / "lock", busy=busy))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def write_row(self, row: Row) -> None:
        """Write a row and flush it; OutputError if it can't be written."""
        try:
            self._file = self._file or self._open()
            self._file.write(to_line(row))
            self._file.flush()
        except OSError as error:
            kind = FullError if error.errno in FULL else OutputError
            raise kind(
                f"{str(self._path)!r} can't be written: {error.strerror}; what is done stays, mend this and run again"
            ) from error

    def clear(self) -> None:
        """Remove all rows: the manifest has them now, or a redo forgets them."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)

    def _open(self) -> BufferedRandom:
        """Open for appending after the last whole line."""
        self._path.touch()
        file = self._path.open("r+b")
        end = _end_of_lines(file)
        file.seek(end)
        file.truncate()
        if end == 0:
            file.write(json.dumps({"schema": SCHEMA}).encode() + b"\n")
        return file


def _end_of_lines(file: BufferedRandom) -> int:
    """Return the position after the last newline, found from the file's end."""
    position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def merge_rows(older: Iterable[Row], newer: Iterable[Row], folder: Path) -> Iterator[Row]:
    """Yield the newest row of each source, sorted, of a manifest's rows (sorted) and a journal's (as written).

    Chunks that don't fit in memory are in unnamed files in `folder`.
    """
    chunks: list[Iterable[_Ranked]] = [((row.source, 0, row) for row in older)]
    chunk: dict[str, _Ranked] = {}
    for rank, row in enumerate(newer, start=1):
        chunk[row.source] = (row.source, rank, row)
        if len(chunk) >= _CHUNK_ROWS:
            chunks.append(_spill(chunk, folder))
            chunk = {}
    chunks.append(sorted(chunk.values(), key=itemgetter(0)))
    for _, same in groupby(heapq.merge(*chunks, key=itemgetter(0, 1)), key=itemgetter(0)):
        *_, (_, _, latest) = same
        yield latest


def _spill(chunk: dict[str, _Ranked], folder: Path) -> Iterator[_Ranked]:
    """Write a chunk to disk, sorted, and return an iterator over it."""
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by the iterator
    for _, rank, row in sorted(chunk.values(), key=itemgetter(0)):
        file.write(b"%d %s" % (rank, to_line(row)))
    file.seek(0)

    def ranked() -> Iterator[_Ranked]:
        with file:
            for text in file:
                rank, _, line = text.partition(b" ")
                row = Row(**_parse(line))
                yield row.source, int(rank), row

    return ranked()


def outer_join(items: Iterable[Item], rows: Iterable[Row]) -> Iterator[tuple[Item | None, Row | None]]:
    """Full outer join of items and rows by source; both, and the result, are sorted by source."""
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
