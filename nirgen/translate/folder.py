"""An output folder that is held open: files are written below it by handles, never through a link that leads out."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from nirgen.errors import ImageError, OutputError
from nirgen.files import HeldFolder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ATTEMPTS = 3  # at a folder that others remove meanwhile


class OpenFolder(HeldFolder):
    """A folder that exists; OSError if it can't be opened."""

    def __init__(self, path: Path, identity: tuple[int, int] | None = None) -> None:
        """Open a folder; OutputError if it is not the one with an `identity`."""
        super().__init__(path)
        if identity not in {None, self.identity}:
            raise replaced(path)

    def check(self) -> None:
        """Raise OutputError if the path leads to another folder by now, or to none."""
        if not self.in_place:
            raise replaced(self.path)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all; errors as `replacing`."""
        with self.replacing(name) as (folder, temporary):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(temporary, flags, 0o666, dir_fd=folder), "wb") as file:  # noqa: PTH123 - a handle
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def replacing(self, name: str) -> Generator[tuple[int, str]]:
        """Make a file below the folder, and the folders on its way; it replaces one of the same name.

        Args:
            name: POSIX path relative to the folder, without `..`.

        Yields:
            The handle of the file's folder, and the name of a temporary file to make in it.

        Raises:
            ImageError: A link is on the way.
            OutputError: The folder was removed or replaced.
            OSError: The file can't be written; no temporary file is left.
        """
        self.check()
        folder, _, stem = name.rpartition("/")
        handle = self._enter(folder, name)
        temporary = f".nirgen-{secrets.token_hex(4)}.tmp"
        try:
            yield handle, temporary
            os.rename(temporary, stem, src_dir_fd=handle, dst_dir_fd=handle)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=handle)
            raise
        finally:
            os.close(handle)

    def _enter(self, folder: str, name: str) -> int:
        """Return the handle of a folder below this one, which is made if missing."""
        handle = os.dup(self._handle)
        try:
            for part in filter(None, folder.split("/")):
                if part == "..":
                    raise ImageError(f"the output {name!r} leads out of OUT; rename")
                below = self._open(part, handle, name)
                os.close(handle)
                handle = below
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _open(self, part: str, handle: int, name: str) -> int:
        for attempt in range(_ATTEMPTS):
            try:
                return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            except FileNotFoundError:
                if attempt + 1 == _ATTEMPTS:
                    raise
                with suppress(FileExistsError):
                    self._make(part, handle)
            except OSError:
                with suppress(OSError):
                    if stat.S_ISLNK(os.stat(part, dir_fd=handle, follow_symlinks=False).st_mode):
                        raise ImageError(
                            f"the output {name!r} is not written: {part!r} on its way is a link, which may lead out "
                            "of OUT; remove the link or use another OUT"
                        ) from None
                raise
        raise AssertionError

    def _make(self, part: str, handle: int) -> None:
        try:
            os.mkdir(part, dir_fd=handle)
        except FileNotFoundError:
            raise replaced(self.path) from None


def replaced(path: Path) -> OutputError:
    """Return the error of an output folder that is not the one that the run began to write."""
    return OutputError(
        f"OUT {str(path)!r} was removed or replaced while the run was writing it; nothing was written to what is there "
        "now; run again"
    )
