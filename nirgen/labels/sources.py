"""Where labels come from: a file or folder that the user names, and its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from nirgen.errors import NirgenError

SPLITS = ("train", "val", "test")

Json = dict[str, msgspec.Raw] | list[msgspec.Raw]
"""A JSON document of which the top level alone is decoded."""


@dataclass(frozen=True)
class Source:
    """A file or folder of labels.

    Attributes:
        path: Where it lies.
        split: The split of all its images, if the user says it.
    """

    path: Path
    split: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PATH` or `SPLIT=PATH`; what exists under the whole text is a path.

        Raises:
            NirgenError: Nothing lies there.

        Example:
            >>> Source.parse("train=.").split
            'train'
        """
        split, equals, path = text.partition("=")
        stated = equals and split in SPLITS and not Path(text).exists()
        source = cls(Path(path), split) if stated else cls(Path(text))
        if not source.path.exists():
            raise NirgenError(f"{source.path}: not there; name a file or folder of labels (or SPLIT=PATH)")
        return source

    def files(self, *suffixes: str) -> list[Path]:
        """The files of a folder and those below it that have one of some endings, in any case; or the one file.

        What begins with a dot is left aside.
        """
        if self.path.is_file():
            return [self.path]
        found = (path for path in self.path.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        return sorted(path for path in found if not any(part.startswith(".") for part in self.name_of(path).split("/")))

    def name_of(self, path: Path) -> str:
        """The POSIX path of one of its files, relative to the folder."""
        return path.name if self.path.is_file() else path.relative_to(self.path).as_posix()

    def digest(self, files: list[Path]) -> str:
        """The sha256 of the file; of a folder, that of a line `SHA256  NAME` for each file that was read."""
        if self.path.is_file():
            return _sha256(self.path)
        lines = "".join(f"{_sha256(path)}  {self.name_of(path)}\n" for path in files)
        return hashlib.sha256(lines.encode()).hexdigest()


def read_json(path: Path) -> Json:
    """Read a JSON file, and decode its top level.

    Raises:
        NirgenError: It can't be read, isn't JSON, or is neither an object nor a list.
    """
    try:
        return _JSON.decode(read_bytes(path))
    except msgspec.ValidationError:
        raise NirgenError(f"{path}: neither a JSON object nor a list; name a file of labels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NirgenError(f"{path}: damaged, or no JSON ({error}); copy it again") from None


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        NirgenError: It can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a file or folder of labels") from None


_JSON: msgspec.json.Decoder[Json] = msgspec.json.Decoder(Json)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
