"""The files of a dataset while it is written."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from nirgen.errors import OutputError
from nirgen.labels.names import safe_path

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

BUFFER_BYTES = 1 << 20


class Store:
    """The folder that becomes a dataset. All its files are made here, so that none lies outside and none lacks a hash.

    Args:
        root: The folder, which exists and is empty.

    Attributes:
        root: The same.
        hashes: The sha256 of each file, by its name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hashes: dict[str, str] = {}
        self._folders = {root}

    def claim(self, name: str) -> Path:
        """The path of a new file, whose folders are made.

        Args:
            name: POSIX path in the dataset.

        Raises:
            NirgenError: The name leads out of the dataset, or another file has it already.
        """
        path = self.root / safe_path(name, "the plan")
        if self.hashes.setdefault(name, "") or path.exists():
            raise OutputError(f"{name}: two files of the dataset would have this name; rename one of the sources")
        if path.parent not in self._folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(path.parent)
        return path

    def write(self, name: str, data: bytes) -> None:
        """Make a file of these bytes."""
        self.claim(name).write_bytes(data)
        self.hashes[name] = hashlib.sha256(data).hexdigest()

    def link(self, name: str, to: str) -> None:
        """Give a file of the dataset a second name, or copy it where the file system has no hard links."""
        path = self.claim(name)
        try:
            os.link(self.root / to, path, follow_symlinks=False)
        except OSError:
            shutil.copyfile(self.root / to, path)
        self.hashes[name] = self.hashes[to]

    @contextmanager
    def stream(self, name: str) -> Generator[Stream]:
        """Make a file piece by piece.

        Args:
            name: POSIX path in the dataset.

        Yields:
            What takes the pieces; the file is complete when the block ends.
        """
        with self.claim(name).open("wb", buffering=BUFFER_BYTES) as file:
            stream = Stream(file)
            yield stream
        self.hashes[name] = stream.sha256.hexdigest()


class Stream:
    """A binary file that is hashed as it is written.

    Args:
        file: Where the pieces go.

    Attributes:
        sha256: Of what was written so far.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    @property
    def closed(self) -> bool:
        """Whether the file is closed, which pyarrow asks."""
        return self._file.closed

    def write(self, data: bytes) -> int:
        """Append a piece."""
        self.sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand over what is buffered."""
        self._file.flush()
