"""The names of sources, folder by folder: from the disk, or from a list.

Only the names of the folders that a walk is in are held at once. What must not be translated (a translation folder, or
one that lies in OUT) is refused where it is met.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nirgen.errors import ImageError, OutputError
from nirgen.images import SUFFIXES
from nirgen.translate import journal, manifest
from nirgen.translate.url import lies_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nirgen.translate.url import Place


@dataclass(slots=True)
class Tally:
    """What a walk left aside.

    Attributes:
        other_files: How many files whose endings are not those of images.
        hidden: How many files and folders whose names begin with a dot.
        loops: Symbolic links to a folder above them; relative to the root.
    """

    other_files: int = 0
    hidden: int = 0
    loops: list[str] = field(default_factory=list)


class Folders(ABC):
    """Sources in a folder and the folders below it, each of which is read when a walk comes to it."""

    @abstractmethod
    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """The names of the sources and of the folders in a folder."""

    def has_sources(self, prefix: str) -> bool:
        """Whether there are sources in a folder, or below it."""
        files, folders = self.entries(prefix, Tally())
        return bool(files) or any(self.has_sources(f"{prefix}{name}/") for name in folders)


class Disk(Folders):
    """A folder, recursively; symbolic links are followed, except back to a folder that holds them.

    Args:
        root: The folder.
        out: The output folder, which must not be met; it need not exist. None if it is elsewhere.
    """

    def __init__(self, root: Path, out: Path | None) -> None:
        self._root = root
        self._out = out

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:
        """The names of the sources and of the folders in a folder; nothing of one that is gone, or a loop.

        Raises:
            ImageError: The folder can't be listed.
            OutputError: It is a translation folder, or OUT.
        """
        folder = self._root / prefix
        identity = _identity(folder)
        if identity is None or (prefix and _is_loop(self._root, prefix, identity)):
            if identity is not None:
                tally.loops.append(prefix.rstrip("/"))
            return [], []
        if self._out is not None and identity == _identity(self._out):
            raise OutputError(
                f"a link at {prefix.rstrip('/')!r} leads from the sources into OUT; remove it or use another OUT"
            )
        check_no_translation(folder)
        return sort_out(_scan(folder), tally)


class Names:
    """Sources that are named one by one.

    Args:
        root: The folder that the names are relative to.
        names: POSIX paths; those that come twice count once.
        out: The output folder, where none of them must lie.
    """

    def __init__(self, root: Place, names: Iterable[str], out: Place) -> None:
        self._root = root
        self._out = out
        self._files: dict[str, list[str]] = defaultdict(list)
        self._folders: dict[str, set[str]] = defaultdict(set)
        for name in sorted(set(names)):
            folder, slash, stem = name.rpartition("/")
            self._files[folder + slash].append(stem)
            self._add_folder(folder + slash)

    def _add_folder(self, prefix: str) -> None:
        while prefix:
            above, slash, name = prefix.rstrip("/").rpartition("/")
            self._folders[above + slash].add(name)
            prefix = above + slash

    def folders(self) -> Iterator[Place]:
        """All folders on the way to the sources, from the root down."""
        yield self._root
        yield from (
            self._root / f"{prefix}{name}" for prefix in sorted(self._folders) for name in self._folders[prefix]
        )

    def entries(self, prefix: str, tally: Tally) -> tuple[list[str], list[str]]:  # noqa: ARG002 - nothing is left aside
        """The names of the sources and of the folders in a folder.

        Raises:
            OutputError: The sources lie in OUT.
        """
        files = self._files.get(prefix, [])
        if files:
            folder = self._root / prefix
            if lies_in(folder, self._out):
                raise OutputError(f"the sources in {str(folder)!r} lie inside OUT {str(self._out)!r}; use another OUT")
        return files, sorted(self._folders.get(prefix, ()))

    def has_sources(self, prefix: str) -> bool:  # noqa: ARG002 - no folder is known but for its sources
        """Whether there are sources in a folder, or below it."""
        return True


def sort_out(found: Iterable[tuple[str, bool]], tally: Tally) -> tuple[list[str], list[str]]:
    """The sources and the folders among the names in a folder.

    Args:
        found: Names, and whether each is a folder.
        tally: Counts what is left aside.
    """
    files, folders = [], []
    for name, is_folder in found:
        if name.startswith("."):
            tally.hidden += 1
        elif is_folder:
            folders.append(name)
        elif os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 - a million times faster than paths are
            files.append(name)
        else:
            tally.other_files += 1
    return files, folders


def check_no_translation(folder: Path) -> None:
    """Refuse a folder whose images are NIR already.

    Raises:
        OutputError: It is a translation folder.
    """
    if (folder / journal.FOLDER).is_dir() or manifest.is_manifest(folder / manifest.NAME):
        raise OutputError(
            f"{str(folder)!r} is a translation folder, and its images are NIR already; move it out of the sources"
        )


def _scan(folder: Path) -> Iterator[tuple[str, bool]]:
    """The names in a folder, and whether each is one; nothing of a folder that is gone meanwhile."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name, _is_folder(entry)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ImageError(
            f"the folder {str(folder)!r} can't be listed ({error.strerror}); mend its permissions"
        ) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself is a file that can't be read, and will be a row that says so
        return False


def _is_loop(root: Path, prefix: str, identity: tuple[int, int]) -> bool:
    """Whether a folder is one of those that lead to it."""
    parts = prefix.rstrip("/").split("/")
    above = (root.joinpath(*parts[:depth]) for depth in range(len(parts)))
    return any(_identity(folder) == identity for folder in above)


def _identity(folder: Path) -> tuple[int, int] | None:
    """What two paths of one folder have in common; None if there is no such folder."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISDIR(status.st_mode) else None
