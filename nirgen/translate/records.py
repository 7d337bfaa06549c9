"""Manifest, journal and `run.json` of a translation folder, on disk or at a URL.

The records of a URL are copied to a local folder when a run begins, and put back when it ends; new lines of the journal
are put every few seconds as an object of their own, `.nirgen/journal/00000000.jsonl` and so on, so that a killed run is
resumed on any machine. `.nirgen/began` marks the URL as a translation folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen import runlog
from nirgen.errors import NirgenError, OutputError
from nirgen.files import check_schema, is_temporary, locked
from nirgen.translate.journal import FOLDER, Journal, header_line, journal_path, merge_rows, read_journal, to_line
from nirgen.translate.manifest import NAME, PAIRS, Manifest, count_rows, iter_rows, read_header, write_rows
from nirgen.translate.url import Place, Url, reading, reason, writing

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
    from types import TracebackType

    from nirgen.translate.items import Row

RUN_SCHEMA = 1
# Lines of the journal are put when there are so many, or the first of them has waited so long.
_LINES_IN_PART, _SECONDS_IN_PART = 200, 5.0


class Records:
    """The records of a folder, which need not exist; OutputError where they are damaged or of another schema."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def run(self) -> Mapping[str, Any]:
        """`run.json` of the last run; empty if it is missing or damaged."""
        values = runlog.read_run(self.folder)
        if "schema" not in values:
            return {}
        check_schema(self.folder / runlog.NAME, values["schema"], RUN_SCHEMA, "use another OUT", error=OutputError)
        return values

    def rows(self) -> Iterator[Row]:
        """Yield one row a source, sorted: the journal's, else the manifest's. They are never held all at once."""
        return merge_rows(iter_rows(self.folder), read_journal(self.folder), self.folder / FOLDER)

    @property
    def empty(self) -> bool:
        """True if there are no rows."""
        return next(self.rows(), None) is None

    @property
    def exist(self) -> bool:
        """True if the folder is a translation folder; OutputError if it is no folder."""
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"OUT {str(self.folder)!r} is not a folder; use another OUT")
        return read_header(self.folder) is not None or (self.folder / FOLDER).is_dir()

    def open_journal(self) -> Journal:
        """Open the journal of a run that begins; OutputError if it can't be written, or another run is writing it."""
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
        return Journal(self.folder)

    @contextmanager
    def writing(self) -> Generator[None]:
        """Turn errors of the system in a block that writes to the folder into one line."""
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"OUT {str(self.folder)!r} can't be written: {reason(error)}; what is done stays; mend this or use "
                "another OUT"
            ) from error

    def remove_temporary(self) -> None:
        """Remove the temporary files of killed processes; the caller holds the folder's lock."""
        for folder, _, names in os.walk(self.folder):
            for name in filter(is_temporary, names):
                (Path(folder) / name).unlink()

    def write_manifest(self, rows: Iterable[Row], header: Manifest) -> None:
        """Write the manifest, of rows sorted by source."""
        write_rows(self.folder, rows, header)
        if (self.folder / PAIRS).exists():
            self.publish(PAIRS)
        self.publish(NAME)

    def count(self) -> int | None:
        """Return the number of rows of the manifest; None if there is none, or it is damaged."""
        return count_rows(self.folder)

    def write_run(self, values: Mapping[str, Any]) -> None:
        """Write `run.json`."""
        runlog.write_run(self.folder, {"schema": RUN_SCHEMA, **values})
        self.publish(runlog.NAME)

    def forget(self, journal: Journal, kept: Collection[str], header: Manifest) -> None:
        """Remove all rows but those of the sources in `kept`, so that an interrupted redo resumes like any run."""
        if kept:
            self.write_manifest((row for row in self.rows() if row.source in kept), header)
        else:
            (self.folder / NAME).unlink(missing_ok=True)
            self.publish(NAME)
        journal.clear()

    def publish(self, name: str) -> None:
        """Make a file that was written or removed visible to other machines."""


class UrlRecords(Records):
    """The records of a URL, as copies in an empty local folder; errors as `url.reading` and `url.writing`."""

    def __init__(self, url: Url, folder: Path) -> None:
        super().__init__(folder)
        self._url = url
        with reading(url):
            for entry in url.entries():
                if entry.name in {NAME, PAIRS, runlog.NAME}:
                    (folder / entry.name).write_bytes((url / entry.name).read_bytes())
                elif entry.name == FOLDER:
                    (folder / FOLDER).mkdir()
            if parts := _parts(url):
                with journal_path(folder).open("wb") as file:
                    file.writelines(part.read_bytes() for part in parts)

    def open_journal(self) -> Journal:
        """Open the journal of a run that begins, and mark the URL as a translation folder."""
        with writing(self._url):
            (self._url / FOLDER / "began").write_bytes(b"1\n")
            return UrlJournal(self._url, self.folder)

    def publish(self, name: str) -> None:
        """Put a file, or remove its object if there is no such file."""
        file, target = self.folder / name, self._url / name
        with writing(target):
            if file.exists():
                target.write_bytes(file.read_bytes())
            else:
                target.unlink()


class UrlJournal(Journal):
    """A local journal whose lines are put to a store, many at a time."""

    def __init__(self, url: Url, folder: Path) -> None:
        super().__init__(folder)
        self._url = url
        self._lines: list[bytes] = []
        self._since = time.monotonic()
        parts = _parts(url)
        self._number = int(parts[-1].name.partition(".")[0]) + 1 if parts else 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gone = type(error) is OutputError and isinstance(error.__cause__, OSError)
        try:
            if not gone:  # or else the run would wait for the store once more
                self._put()
        finally:
            super().__exit__(kind, error, trace)

    def write_row(self, row: Row) -> None:
        """Write a row, which is put together with later ones."""
        super().write_row(row)
        if not self._lines:
            self._since = time.monotonic()
        self._lines.append(to_line(row))
        if len(self._lines) >= _LINES_IN_PART or time.monotonic() - self._since >= _SECONDS_IN_PART:
            self._put()

    def clear(self) -> None:
        """Remove all rows, in the store too."""
        super().clear()
        self._lines.clear()
        for part in _parts(self._url):
            part.unlink()
        self._number = 0

    def _put(self) -> None:
        if self._lines:
            part = self._url / FOLDER / "journal" / f"{self._number:08}.jsonl"
            with writing(part):
                part.write_bytes(header_line() + b"".join(self._lines))
            self._number += 1
            self._lines.clear()


def _parts(url: Url) -> list[Url]:
    """The objects of a journal, in the order of writing."""
    folder = url / FOLDER / "journal"
    names = sorted(entry.name for entry in folder.entries())
    return [folder / name for name in names if name.partition(".")[0].isdigit()]


@contextmanager
def open_records(out: Place, *, writes: bool) -> Generator[Records]:
    """Open the records of a translation folder for a run; OutputError if it `writes` to a URL that another run does."""
    if isinstance(out, Path):
        yield Records(out)
        return
    with _locked_folder(out) if writes else tempfile.TemporaryDirectory(prefix="nirgen-") as folder:
        try:
            yield UrlRecords(out, Path(folder))
        except NirgenError as error:
            shown = str(error).replace(str(folder), str(out))
            raise type(error)(shown) from error


@contextmanager
def _locked_folder(out: Url) -> Generator[Path]:
    """An empty folder, the same and locked for each run that writes to this URL."""
    base = Path(tempfile.gettempdir()) / f"nirgen-{os.getuid()}"
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise OutputError(f"{str(base)!r} belongs to another user; remove it")
    except OSError as error:
        raise OutputError(f"{str(base)!r} can't be made: {error.strerror}; make room for temporary files") from error
    key = sha256(str(out).encode()).hexdigest()[:16]
    busy = f"another run on this machine is writing {str(out)!r}; wait for it to end, or use another OUT"
    with locked(base / f"{key}.lock", busy=busy):
        folder = base / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
