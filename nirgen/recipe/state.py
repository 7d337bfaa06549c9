"""What a run folder knows of its stages: a file for each, written whole before it starts and after it ends."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from nirgen.files import write_whole
from nirgen.recipe.fingerprint import files_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Status = Literal["started", "done", "partial", "failed", "interrupted"]
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class State:
    """The last attempt at a stage.

    Attributes:
        status: How it ended; `started` is one that is running, or was killed.
        parts: What its result depends on (see `fingerprint.parts_of`).
        seconds: How long it took.
        files: Size in bytes and time of change in nanoseconds of each file written, by output and path.
    """

    status: Status
    parts: dict[str, Any]
    seconds: float = 0.0
    files: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The state that a file holds; None if there is none, or one of another schema."""
        try:
            values = json.loads(path.read_bytes())
            return cls(**values) if values.pop("schema") == _SCHEMA else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps({"schema": _SCHEMA, **asdict(self)}, sort_keys=True).encode())

    @property
    def ended_well(self) -> bool:
        """Whether its result may be used."""
        return self.status in {"done", "partial"}


def listing(outputs: Mapping[str, Path]) -> dict[str, list[int]]:
    """Size and time of change of every file of some outputs, by output and path; one that isn't there has none."""
    found = {}
    for option, path in outputs.items():
        paths = {name: path / name for name in files_of(path)} if path.is_dir() else {"": path}
        for name, file in paths.items():
            if file.exists():
                status = file.stat()
                found[f"{option}:{name}"] = [status.st_size, status.st_mtime_ns]
    return found
