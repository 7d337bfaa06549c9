"""What the result of a stage depends on, as hashes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nirgen
from nirgen.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.recipe.resolve import Stage

Parts = dict[str, Any]


class Hashes:
    """SHA-256 of files, remembered by path, size, time of change and inode."""

    def __init__(self, file: Path) -> None:
        """Read what is remembered.

        Args:
            file: Where it is kept; none there, or a damaged one, is an empty memory.
        """
        self._file = file
        try:
            self._known: dict[str, list[Any]] = json.loads(file.read_bytes())
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        """The hash of a file, or of a folder's sorted listing with the hashes of its files, hidden ones aside."""
        if not path.is_dir():
            return self._of_file(path)
        lines = [f"{self._of_file(path / name)} {name}\n" for name in files_of(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _of_file(self, path: Path) -> str:
        status = path.stat()
        key = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known is not None and known[:3] == key:
            return str(known[3])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._known[str(path)] = [*key, digest]
        return digest

    def save(self) -> None:
        """Keep it for the next run."""
        write_whole(self._file, json.dumps(self._known, sort_keys=True).encode())


def files_of(folder: Path) -> list[str]:
    """The files below a folder, sorted, as POSIX paths; hidden files and folders are left out."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def code_hash() -> str:
    """Of nirgen's version and all of its modules."""
    root = Path(nirgen.__file__).parent
    digest = hashlib.sha256(nirgen.__version__.encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def parts_of(stage: Stage, upstream: Mapping[str, str], hashes: Hashes, code: str) -> Parts:
    """What a stage's result depends on.

    Args:
        stage: The stage.
        upstream: Fingerprints of the stages that it needs.
        hashes: Of files.
        code: Of the program.

    Returns:
        Plain values by what they are of: command, options, inputs, upstream, code.
    """
    return {
        "command": stage.command,
        "options": stage.options,
        "inputs": {text: hashes.of(path) for text, path in stage.inputs.items()},
        "upstream": {name: upstream[name] for name in stage.needs},
        "code": code,
    }


def fingerprint(parts: Parts) -> str:
    """One hash of all parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def difference(old: Parts, new: Parts) -> str:
    """Why a result isn't that of the present recipe: the first part that differs, or an empty string."""
    names = {
        "options": "option '{}' changed",
        "inputs": "input {} changed",
        "upstream": "stage '{}' has another result",
    }
    for part, text in names.items():
        before, after = old.get(part, {}), new[part]
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                return text.format(name)
    if old.get("command") != new["command"]:
        return f"it runs '{new['command']}' now"
    return "nirgen itself changed" if old.get("code") != new["code"] else ""
