"""Checkpoints of a run: written whole, checked when read, the last few kept."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from nirgen.errors import ModelError, first_line
from nirgen.files import check_regular, check_schema, output_file
from nirgen.models.weights import load_tensors

if TYPE_CHECKING:
    from pathlib import Path


SCHEMA = 1
_NAME = re.compile(r"step_\d{6,}\.pt")
# what zipfile raises on damaged bytes, such as an unknown method of compression
_UNREADABLE = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, ValueError, RuntimeError, zlib.error)


class Last(NamedTuple):
    """The newest whole checkpoint of a run."""

    path: Path
    values: dict[str, Any]
    damaged: tuple[str, ...]  # a line for each newer one, which is damaged


class DamagedError(ModelError):
    """A checkpoint whose bytes are not those that were written."""


class Checkpoints:
    """Folder, perhaps missing, of a run's checkpoints: of the last `keep` ones and the best one.

    They hold tensors and plain values alone and are loaded with `weights_only`. torch writes a zip file whose entries
    have CRC-32 sums, which it doesn't check itself; they are checked here.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.written: list[Path] = []  # by this process, without those that it has removed

    def paths(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)] if self.folder.is_dir() else []
        return sorted(found, key=_step)

    def newest(self) -> Path | None:
        """Return the last checkpoint, if there is one."""
        return next(reversed(self.paths()), None)

    def last(self) -> Last | None:
        """Return the newest whole checkpoint with its values, and what is wrong with newer ones; None without any.

        Raises:
            ModelError: All are damaged, or the newest whole one is of another schema.
        """
        damaged: list[str] = []
        for path in reversed(self.paths()):
            try:
                values = self.read(path)
            except DamagedError as error:
                damaged.append(str(error))
                continue
            return Last(path, values, tuple(f"{line}; resuming from step {_step(path)} instead" for line in damaged))
        if damaged:
            raise ModelError(f"{damaged[0]}, and no other checkpoint is whole; train anew in a new folder")
        return None

    def lost(self) -> list[Path]:
        """Return the checkpoints that this process has written and that should still be there, but are not."""
        return [path for path in self.written if not path.exists()]

    def write(self, values: dict[str, Any]) -> Path:
        """Write the values of `State.dump` and further ones, whole or not at all; then remove old checkpoints.

        Checkpoints of later steps go too: they are damaged ones that the run was not resumed from.

        Raises:
            OutputError: The file can't be written; older checkpoints are kept.
        """
        path = self.folder / f"step_{values['step']:06d}.pt"
        with output_file(path) as temporary:
            try:
                torch.save({"schema": SCHEMA, **values}, temporary)
            except RuntimeError as error:  # torch's error on a full disk
                raise OSError(first_line(error)) from error
        best = self.folder / f"step_{values['best_step']:06d}.pt"
        paths = self.paths()
        end = paths.index(path) + 1
        for old in (*paths[: max(0, end - self.keep)], *paths[end:]):
            if old != best:
                old.unlink()
                self.written = [each for each in self.written if each != old]
        self.written = [*(each for each in self.written if each != path), path]
        return path

    def read(self, path: Path) -> dict[str, Any]:
        """Return the values of a checkpoint; DamagedError if it is damaged, ModelError if it is of another schema."""
        try:
            check_regular(path)
            with zipfile.ZipFile(path) as file:
                bad = file.testzip()
        except (
            zipfile.BadZipFile,
            OSError,
            EOFError,
            NotImplementedError,
            ValueError,
            RuntimeError,
            zlib.error,
        ) as error:
            raise DamagedError(f"{path}: damaged or cut off ({first_line(error)})") from None
        if bad is not None:
            raise DamagedError(f"{path}: damaged (the checksum of {bad} is wrong)")
        try:
            values = load_tensors(path, remedy="")
        except ModelError as error:  # of bytes beside the entries
            raise DamagedError(str(error)) from None
        found = values.get("schema") if isinstance(values, dict) else None
        check_schema(path, found, SCHEMA, "update nirgen", error=ModelError)
        return values  # type: ignore[no-any-return]


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def last_good(checkpoints: Checkpoints) -> str:
    """Return a clause of an error that names the checkpoint to resume from."""
    newest = checkpoints.newest()
    return f"the last good checkpoint is {newest}" if newest else "there is no checkpoint yet"
