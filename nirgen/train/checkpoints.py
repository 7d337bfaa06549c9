"""Checkpoints: the full state of a run as files that appear whole, the last few and the best kept.

They hold tensors and plain values alone, and are read so: nothing in them is ever run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from nirgen.errors import ModelError
from nirgen.files import output_file
from nirgen.models.weights import load_tensors

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1
_NAME = re.compile(r"step_(\d{6,})\.pt")


class Checkpoints:
    """The folder of a run's checkpoints.

    Args:
        folder: It need not exist.
        keep: How many of the last stay; the best one stays besides.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def paths(self) -> list[Path]:
        """Those that there are, oldest first."""
        found = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)] if self.folder.is_dir() else []
        return sorted(found, key=_step)

    def newest(self) -> Path | None:
        """The last one, if there is any."""
        return next(reversed(self.paths()), None)

    def write(self, values: dict[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, then remove those that need not stay.

        Args:
            values: What `State.dump` gave, and what belongs to it.

        Raises:
            OutputError: It can't be written; those that were there still are.
        """
        path = self.folder / f"step_{values['step']:06d}.pt"
        with output_file(path) as temporary:
            try:
                torch.save({"schema": SCHEMA, **values}, temporary)
            except RuntimeError as error:  # what torch makes of a full disk
                raise OSError(str(error).partition("\n")[0]) from error
        best = self.folder / f"step_{values['best_step']:06d}.pt"
        for old in self.paths()[: -self.keep]:
            if old != best:
                old.unlink()
        return path

    def read(self, path: Path) -> dict[str, Any]:
        """What `write` was given.

        Raises:
            ModelError: The file is damaged, or of another schema.
        """
        values = load_tensors(path)
        if not isinstance(values, dict) or values.get("schema") != SCHEMA:
            found = values.get("schema") if isinstance(values, dict) else None
            raise ModelError(
                f"{path}: checkpoint schema {found!r}, but this nirgen reads schema {SCHEMA}; update nirgen"
            )
        return values


def _step(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])
