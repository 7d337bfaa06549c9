"""Plan of a recipe run: fingerprints of stages, their recorded state, and which stages run, and why."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import nirgen
from nirgen.errors import ConfigError, nearest
from nirgen.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.recipe.resolve import Stage


Parts = dict[str, Any]


Status = Literal["started", "done", "partial", "failed", "interrupted"]


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


@dataclass(frozen=True, slots=True)
class Step:
    """What is to become of a stage.

    Attributes:
        stage: The stage.
        parts: What its result depends on.
        runs: Whether it is to run.
        why: The reason for that.
        resumes: Whether it takes up what its last attempt left.
        before: The last attempt.
    """

    stage: Stage
    parts: Parts
    runs: bool
    why: str
    resumes: bool
    before: State | None


def state_file(out: Path, stage: str) -> Path:
    """Where the state of a stage is kept."""
    return out / "state" / f"{stage}.json"


def make_plan(
    stages: list[Stage],
    out: Path,
    hashes: Hashes,
    *,
    start: str | None = None,
    only: str | None = None,
    any_code: bool = False,
) -> list[Step]:
    """Compare stages with what the run folder has of them.

    Args:
        stages: In their order.
        out: The run folder.
        hashes: Of files.
        start: A stage that runs again, with all that need it, whatever is there.
        only: The one stage that may run.
        any_code: Take results of another version of nirgen for those of this one.

    Raises:
        ConfigError: There is no such stage, or what the one stage needs isn't done.
    """
    known = [stage.name for stage in stages]
    for option, name in (("--from", start), ("--only", only)):
        if name is not None and name not in known:
            raise ConfigError(f"{option} {name}: no such stage{nearest(name, known)} (there are {', '.join(known)})")
    code = "any" if any_code else code_hash()
    steps: dict[str, Step] = {}
    prints: dict[str, str] = {}
    for stage in stages:
        parts = parts_of(stage, prints, hashes, code)
        before = State.read(state_file(out, stage.name))
        if any_code and before is not None:
            parts = {**parts, "code": before.parts.get("code", code)}
        prints[stage.name] = fingerprint({**parts, "code": ""})
        again = [name for name in stage.needs if steps[name].runs]
        why = _why(stage, parts, before, again, forced=stage.name == start)
        runs = bool(why) and (only is None or only == stage.name)
        if only is not None and only != stage.name and why and only in _dependants(stages, stage.name):
            raise ConfigError(f"--only {only}: it needs '{stage.name}', which isn't done ({why}); run that first")
        steps[stage.name] = Step(
            stage, parts, runs, why or "done and unchanged", runs and _resumes(stage, parts, before), before
        )
    return list(steps.values())


def _dependants(stages: list[Stage], name: str) -> set[str]:
    """The stages that need one, directly or not."""
    found = {name}
    for stage in stages:
        if found.intersection(stage.needs):
            found.add(stage.name)
    return found - {name}


def _why(stage: Stage, parts: Parts, before: State | None, again: list[str], *, forced: bool) -> str:
    """Why a stage is to run; an empty string if it isn't."""
    if before is None:
        why = "never run"
    elif forced:
        why = "asked for by --from"
    elif again:
        why = f"stage '{again[0]}' runs"
    elif not before.ended_well:
        why = {"started": "was killed", "failed": "has failed"}.get(before.status, "was interrupted")
    else:
        why = difference(before.parts, parts) or _altered(stage, before)
    return why


def _altered(stage: Stage, before: State) -> str:
    """What became of the files that a stage wrote; those that others added, such as scores, are no matter."""
    now = listing(stage.outputs)
    for name, written in sorted(before.files.items()):
        if now.get(name) != written:
            option, _, path = name.partition(":")
            where = stage.outputs[option] / path if path else stage.outputs[option]
            return f"its output {where} {'is gone' if name not in now else 'was altered'}"
    return ""


def _resumes(stage: Stage, parts: Parts, before: State | None) -> bool:
    """Whether what the last attempt left may be taken up."""
    if before is None or stage.keeps == "never":
        return False
    if stage.keeps == "options":
        return bool(before.parts.get("options") == parts["options"])
    return not before.ended_well and fingerprint(before.parts) == fingerprint(parts)


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


_SCHEMA = 1


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
