"""`OUT/.nirgen/`: the journal that makes a run resumable, and the merge of its rows with the manifest's.

`journal.jsonl` has one line for each source that is done, appended and flushed; the manifest takes them over when a run
ends. Rows are sorted by an external merge sort, so that memory does not grow with their number.
"""

from __future__ import annotations

import heapq
import json
import os
import stat
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

from nirgen.errors import FullError, OutputError
from nirgen.files import FULL, check_schema, identity_of, locked, open_regular
from nirgen.translate.folder import replaced
from nirgen.translate.items import Item, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from io import BufferedRandom
    from pathlib import Path
    from types import TracebackType
    from typing import Self

SCHEMA = 1
FOLDER = ".nirgen"
_SEAL = b', "crc32": "'  # ends a line, with the checksum of all before it as 8 hexadecimal digits
_TEXT, _MAYBE_TEXT, _MAYBE_COUNT = (str,), (str, NoneType), (int, NoneType)
_MAYBE_NUMBER = (float, int, NoneType)
_KINDS = {
    "source": _TEXT, "model_id": _TEXT, "options_id": _TEXT, "status": _TEXT, "source_sha256": _MAYBE_TEXT,
    "source_width": _MAYBE_COUNT, "source_height": _MAYBE_COUNT, "output": _MAYBE_TEXT, "output_sha256": _MAYBE_TEXT,
    "width": _MAYBE_COUNT, "height": _MAYBE_COUNT, "error": _MAYBE_TEXT, "tiles": _MAYBE_COUNT,
    "seam": _MAYBE_NUMBER, "damage": _MAYBE_TEXT, "note": _MAYBE_TEXT, "brightest": _MAYBE_NUMBER,
    "captured": _MAYBE_TEXT, "latitude": _MAYBE_NUMBER, "longitude": _MAYBE_NUMBER,
}  # fmt: skip
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
        with open_regular(path) as file:
            for line in file:
                if line.startswith(b'{"schema"'):
                    found = _parse(line).get("schema", SCHEMA)
                    remedy = "finish the run with the nirgen that began it, or use another OUT"
                    check_schema(path, found, SCHEMA, remedy, error=OutputError)
                elif line.endswith(b"\n"):
                    row = _to_row(line)
                    if row is not None:
                        yield row
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError(f"{str(path)!r} can't be read: {error.strerror}; remove it, or use another OUT") from error


def to_line(row: Row) -> bytes:
    """Return a row as a line of a journal, with a checksum, newline included."""
    return _sealed(asdict(row))


def header_line() -> bytes:
    """Return the first line of a journal."""
    return _sealed({"schema": SCHEMA})


def _sealed(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values).encode()[:-1]
    return b'%b%b%08x"}\n' % (text, _SEAL, crc32(text))


def _to_row(line: bytes) -> Row | None:
    """Return the row of a line; None if it is damaged."""
    values = _parse(line)
    if any(type(values.get(name)) not in kinds for name, kinds in _KINDS.items()):
        return None
    with suppress(TypeError):
        return Row(**values)
    return None


def _parse(line: bytes) -> dict[str, Any]:
    """Return the values of a line; none if it is damaged. Lines of older versions have no checksum."""
    text, sealed, checksum = line.rpartition(_SEAL)
    try:
        if sealed and checksum != b'%08x"}\n' % crc32(text):
            return {}
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    values.pop("crc32", None)
    return values


class Journal:
    """The open journal of a run in a folder that exists; holds its lock. OutputError if another run does."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._path = journal_path(out)
        self._file: BufferedRandom | None = None
        self._size = 0  # of the open file
        self._lock = ExitStack()
        folder, lock = self._path.parent, self._path.parent / "lock"
        try:
            folder.mkdir(exist_ok=True)
            if folder.is_symlink() or (os.path.lexists(lock) and not stat.S_ISREG(lock.lstat().st_mode)):
                raise OutputError(f"{str(folder)!r} or its file 'lock' is a link, which may lead out of OUT; remove it")
        except OSError as error:
            raise OutputError(f"{str(out)!r} can't be written: {error.strerror}; use another OUT") from error
        busy = f"another run is writing {str(out)!r}; wait for it to end, or use another OUT"
        self._lock.enter_context(locked(lock, busy=busy))
        self._identities = [identity_of(path, follow=path == out) for path in (out, folder, lock)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        self._lock.close()

    def check(self) -> None:
        """Raise OutputError if OUT, lock or journal are not those that the run opened, or others wrote the journal."""
        out, folder, lock = self._identities
        if identity_of(self._out) != out:
            raise replaced(self._out)
        own = self._path.parent
        gone = None
        if identity_of(own, follow=False) != folder:
            gone = own
            with suppress(OSError):
                own.mkdir(exist_ok=True)  # marks OUT as a translation folder, for the next run
        elif identity_of(own / "lock", follow=False) != lock:
            gone = own / "lock"
        elif self._file is not None:
            status = os.fstat(self._file.fileno())
            same = identity_of(self._path, follow=False) == (status.st_dev, status.st_ino)
            gone = None if same and status.st_size == self._size else self._path
        if gone is not None:
            raise OutputError(
                f"{str(gone)!r} was removed or changed while the run was writing it, so rows may be lost; run again to "
                "translate what has no row"
            )

    def write_row(self, row: Row) -> None:
        """Write a row and flush it; OutputError if it can't be written, or as `check`."""
        self.check()
        try:
            self._file = self._file or self._open()
            self._write(to_line(row))
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

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        self._file.write(line)
        self._file.flush()
        self._size += len(line)

    def _open(self) -> BufferedRandom:
        """Open for appending after the last whole line."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = open(os.open(self._path, flags, 0o666), "r+b")  # noqa: PTH123, SIM115 - closed by `__exit__`
        self._file, self._size = file, _end_of_lines(file)
        file.seek(self._size)
        file.truncate()
        if self._size == 0:
            self._write(header_line())
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
