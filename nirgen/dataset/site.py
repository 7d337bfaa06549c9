"""Where a dataset is built: beside the folder whose place it takes when it is complete.

A reader sees the old dataset or the new one. Of a build that was killed the next one finds, and removes, two folders
with hidden names: `.NAME.nirgen-building` and, if it died while the two changed places, `.NAME.nirgen-old`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.errors import OutputError
from nirgen.files import locked, make_folder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@dataclass(frozen=True)
class Site:
    """Where a dataset is built.

    Attributes:
        out: The folder that it will be.
        new: The folder to write; it takes `out`'s place.
        old: Where `out`, as it was, waits for its removal.
    """

    out: Path
    new: Path
    old: Path

    def clear(self) -> None:
        """Remove what killed builds left, after bringing back an old dataset that lost its place to no new one."""
        if self.old.exists() and not self.out.exists():
            self.old.rename(self.out)
        for leftover in (self.old, self.new):
            if leftover.exists():
                shutil.rmtree(leftover)

    def change_places(self) -> None:
        """Let the new folder take the old one's place, and remove the old one."""
        # One sync for all: as many calls of fsync as a dataset has files would take longer than all the rest.
        os.sync()
        try:
            if self.out.exists():
                self.out.rename(self.old)
            self.new.rename(self.out)
        except BaseException:
            if self.old.exists() and not self.out.exists():
                self.old.rename(self.out)
            raise
        _sync_folder(self.out.parent)
        shutil.rmtree(self.old, ignore_errors=True)


@contextmanager
def site_for(out: Path) -> Generator[Site]:
    """Have the place around a dataset for oneself.

    Args:
        out: The folder that it will be; those above it are made.

    Yields:
        The site, cleared. What is still in its `new` when the block ends is removed.

    Raises:
        OutputError: Another build is at work here, or the disk is full or can't be written.
    """
    out = out.resolve()
    make_folder(out.parent)
    site = Site(out, *(out.with_name(f".{out.name}.nirgen-{what}") for what in ("building", "old")))
    lock = out.with_name(f".{out.name}.nirgen-lock")
    try:
        with locked(lock, busy=f"{out}: another process builds this dataset; wait for it, or name another folder"):
            try:
                site.clear()
                yield site
            finally:
                shutil.rmtree(site.new, ignore_errors=True)
                lock.unlink(missing_ok=True)
    except OSError as error:
        kept = "the dataset that was there is as it was" if out.exists() else "nothing was left behind"
        raise OutputError(
            f"{out}: can't be written ({error.strerror or error}); {kept}; make room or name another folder, and run "
            "the same command again"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make names in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
