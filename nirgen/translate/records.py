"""Manifest, journal and run.json of a translation folder, on disk or at a URL.

Those of a URL are copied to a local folder when a run begins, and put back when it ends; the journal's new lines are
put every few seconds as an object of their own, `.nirgen/journal/00000000.jsonl` and so on, so that a killed run is
resumed on any machine. `.nirgen/began` marks the folder as nirgen's.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.errors import NirgenError, OutputError
from nirgen.files import locked
from nirgen.translate import journal as journals
from nirgen.translate import manifest as manifests
from nirgen.translate.journal import FOLDER, Journal, journal_path, merge_rows, sort_lines, to_line
from nirgen.translate.manifest import NAME, RUN_NAME
from nirgen.translate.stores import unwritable
from nirgen.translate.url import Url, unreachable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from types import TracebackType

    from nirgen.translate.items import Row
    from nirgen.translate.url import Place


RUN_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What an output folder says of itself.

    Attributes:
        out: The folder.
        run: `run.json` of the last run; empty if there is none, or it is damaged.
        forgotten: Whether its rows are not to count.
    """

    out: Path
    run: Mapping[str, Any]
    forgotten: bool = False

    def rows(self) -> Iterator[Row]:
        """One row a source, sorted; the journal's before the manifest's, the later before the earlier.

        They are read anew each time, and never held all at once.
        """
        if self.forgotten:
            return iter(())
        lines = sort_lines(journals.read_lines(self.out), self.out / journals.FOLDER)
        return merge_rows(manifests.iter_rows(self.out), lines)

    @property
    def empty(self) -> bool:
        """Whether there are no rows."""
        return next(self.rows(), None) is None


def read_recorded(out: Path) -> Recorded:
    """Read what a folder, which need not exist, says of itself.

    Raises:
        OutputError: Manifest, journal or run.json are not of this nirgen's making.
    """
    manifests.read_header(out)
    next(journals.read_lines(out), None)
    return Recorded(out, _read_run(out))


def _read_run(out: Path) -> dict[str, Any]:
    """`run.json`; empty if it is missing or damaged, for then nothing relies on it (see `_other_root`)."""
    try:
        run = json.loads((out / RUN_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(run, dict) or "schema" not in run:
        return {}
    if run["schema"] != RUN_SCHEMA:
        raise OutputError(
            f"{str(out / RUN_NAME)!r} has schema {run['schema']}, and this nirgen reads {RUN_SCHEMA}; use another OUT"
        )
    return run


BEGAN = "began"
# The journal's lines are put when there are so many, or the first of them has waited so long.
_LINES_IN_PART, _SECONDS_IN_PART = 200, 5.0


class Records:
    """Those of a folder.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open_journal(self) -> Journal:
        """The journal of a run that begins.

        Raises:
            OutputError: It can't be written, or another run is writing it.
        """
        return Journal(self.folder)

    def publish(self, name: str) -> None:
        """Let others see a file that has been written or removed."""


class UrlRecords(Records):
    """Those of a URL, as copies.

    Args:
        url: The translation folder.
        folder: An empty folder for the copies.

    Raises:
        NirgenError: The store did not answer, or refused.
    """

    def __init__(self, url: Url, folder: Path) -> None:
        super().__init__(folder)
        self._url = url
        try:
            self._fetch()
        except OSError as error:
            raise unreachable(url, error) from error

    def _fetch(self) -> None:
        for entry in self._url.entries():
            if entry.name in {NAME, RUN_NAME}:
                (self.folder / entry.name).write_bytes((self._url / entry.name).read_bytes())
            elif entry.name == FOLDER:
                (self.folder / FOLDER).mkdir()
        parts = _parts(self._url)
        if parts:
            with journal_path(self.folder).open("wb") as file:
                file.writelines(part.read_bytes() for part in parts)

    def open_journal(self) -> Journal:
        """The journal of a run that begins.

        Raises:
            OutputError: It can't be written.
        """
        began = self._url / FOLDER / BEGAN
        try:
            began.write_bytes(b"1\n")
            return UrlJournal(self._url, self.folder)
        except OSError as error:
            raise unwritable(self._url, error) from error

    def publish(self, name: str) -> None:
        """Put a file, or remove it if there is none any more.

        Raises:
            OutputError: The store did not answer, or refused.
        """
        file, target = self.folder / name, self._url / name
        try:
            if file.exists():
                target.write_bytes(file.read_bytes())
            else:
                target.unlink()
        except OSError as error:
            raise unwritable(target, error) from error


class UrlJournal(Journal):
    """A journal whose lines are put to a store, many at a time.

    Args:
        url: The translation folder.
        folder: Where the journal is.
    """

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
            if not gone:  # else the store would be waited for once more
                self._put()
        finally:
            super().__exit__(kind, error, trace)

    def append(self, row: Row) -> None:
        """Write a row; it is put with others, soon.

        Raises:
            OutputError: It can't be written.
        """
        super().append(row)
        if not self._lines:
            self._since = time.monotonic()
        self._lines.append(to_line(row))
        if len(self._lines) >= _LINES_IN_PART or time.monotonic() - self._since >= _SECONDS_IN_PART:
            self._put()

    def clear(self) -> None:
        """Remove all rows: the manifest, which is in the store, has them now, or they are not to count any more."""
        super().clear()
        self._lines.clear()
        for part in _parts(self._url):
            part.unlink()
        self._number = 0

    def _put(self) -> None:
        if not self._lines:
            return
        part = self._url / FOLDER / "journal" / f"{self._number:08}.jsonl"
        try:
            part.write_bytes(b'{"schema": 1}\n' + b"".join(self._lines))
        except OSError as error:
            raise unwritable(part, error) from error
        self._number += 1
        self._lines.clear()


def _parts(url: Url) -> list[Url]:
    """The parts of a journal, in the order of writing."""
    folder = url / FOLDER / "journal"
    names = sorted(entry.name for entry in folder.entries())
    return [folder / name for name in names if name.partition(".")[0].isdigit()]


@contextmanager
def records_of(out: Place, *, writes: bool) -> Generator[Records]:
    """The records of a translation folder, for the length of a run.

    Args:
        out: The folder.
        writes: Whether the run will write; then no other run of this machine may do so with the same URL.

    Raises:
        OutputError: Another run is writing there.
        NirgenError: The store did not answer, or refused.
    """
    if isinstance(out, Path):
        yield Records(out)
        return
    with _folder(out) if writes else _passing_folder() as folder:
        try:
            yield UrlRecords(out, folder)
        except NirgenError as error:
            shown = str(error).replace(str(folder), str(out))
            raise type(error)(shown) from error


@contextmanager
def _passing_folder() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="nirgen-") as folder:
        yield Path(folder)


@contextmanager
def _folder(out: Url) -> Generator[Path]:
    """An empty folder for copies, the same for each run with this URL, so that it can be locked."""
    base = Path(tempfile.gettempdir()) / f"nirgen-{os.getuid()}"
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise OutputError(f"{str(base)!r} belongs to somebody else; remove it")
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
