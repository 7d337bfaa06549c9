"""Plan of a recipe run: fingerprints of stages, their recorded state, which stages run, and why."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import nirgen
from nirgen.errors import ConfigError, nearest
from nirgen.files import read_bytes, read_json, seal, sha256_of, unseal, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.recipe.commands import Commands
    from nirgen.recipe.recipe import Recipe
    from nirgen.recipe.resolve import Stage


Parts = dict[str, Any]  # what a stage's result depends on; see `parts_of`
Status = Literal["started", "done", "partial", "failed", "interrupted"]
_SCHEMA = 1
_DONE = "done and unchanged"


@dataclass(frozen=True, slots=True)
class State:
    """The last attempt at a stage, in `state/NAME.json` of the run folder."""

    status: Status  # `started`: running, or killed
    parts: Parts
    seconds: float = 0.0
    files: dict[str, list[int]] = field(default_factory=dict)  # the files written; see `listing`

    @classmethod
    def read(cls, out: Path, stage: str) -> Self | None:
        """Read the state of a stage; None if there is none, or one that is damaged or of another schema."""
        try:
            values = unseal(read_json(cls.file(out, stage)))
            state = cls(**values) if values.pop("schema") == _SCHEMA else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        whole = state and state.status in get_args(Status) and isinstance(state.parts, dict)
        return state if whole and state and isinstance(state.files, dict) else None

    @staticmethod
    def file(out: Path, stage: str) -> Path:
        """Return the file of a stage's state."""
        return out / "state" / f"{stage}.json"

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(seal({"schema": _SCHEMA, **asdict(self)}), sort_keys=True).encode())

    @property
    def succeeded(self) -> bool:
        """True if the result may be used."""
        return self.status in {"done", "partial"}


@dataclass(frozen=True, slots=True)
class Step:
    """A stage in the plan."""

    stage: Stage
    parts: Parts
    runs: bool
    why: str
    resumes: bool  # continues in the folder of the last attempt
    before: State | None  # the last attempt

    @property
    def usable(self) -> bool:
        """True if it doesn't run because it is done."""
        return not self.runs and self.why == _DONE


@dataclass(frozen=True, slots=True)
class RecipeRun:
    """A recipe and its run folder."""

    recipe: Recipe
    commands: Commands
    out: Path  # the run folder
    data: Mapping[str, Path]  # paths of the recipe's data
    start: str | None = None  # a stage to run again, with all that need it
    only: str | None = None  # the one stage that may run
    any_code: bool = False  # accept results of other versions of nirgen


def make_plan(run: RecipeRun, stages: list[Stage], hashes: Hashes) -> list[Step]:
    """Compare stages, in their order, with the states in the run folder.

    Raises:
        ConfigError: There is no such stage, or a stage that `only` needs isn't done.
    """
    known = [stage.name for stage in stages]
    for option, name in (("--from", run.start), ("--only", run.only)):
        if name is not None and name not in known:
            raise ConfigError(f"{option} {name}: no such stage{nearest(name, known)} (there are {', '.join(known)})")
    needed = {run.only}
    for stage in reversed(stages):
        needed |= {*stage.needs} if stage.name in needed else set()
    code = "any" if run.any_code else code_hash()
    steps: dict[str, Step] = {}
    fingerprints: dict[str, str] = {}
    for stage in stages:
        parts = parts_of(stage, fingerprints, hashes, code)
        before = State.read(run.out, stage.name)
        if run.any_code and before is not None:
            parts = {**parts, "code": before.parts.get("code", code)}
        fingerprints[stage.name] = fingerprint({**parts, "code": ""})
        again = [name for name in stage.needs if steps[name].runs]
        why = _why(stage, parts, before, again, forced=stage.name == run.start)
        if before is None and State.file(run.out, stage.name).exists():
            why = f"its record {State.file(run.out, stage.name)} is damaged or of another version"
        runs = bool(why) and run.only in {None, stage.name}
        if why and not runs and stage.name in needed:
            raise ConfigError(f"--only {run.only}: it needs '{stage.name}', which isn't done ({why}); run that first")
        resumes = runs and _resumes(stage, parts, before)
        steps[stage.name] = Step(stage, parts, runs, why or _DONE, resumes, before)
    return list(steps.values())


def _why(stage: Stage, parts: Parts, before: State | None, again: list[str], *, forced: bool) -> str:
    """Return the reason to run a stage; empty if there is none."""
    if before is None:
        return "never run"
    if forced:
        return "asked for by --from"
    if again:
        return f"stage '{again[0]}' runs"
    if not before.succeeded:
        return {"started": "was killed", "failed": "has failed"}.get(before.status, "was interrupted")
    return difference(before.parts, parts) or altered(stage, before)


def altered(stage: Stage, before: State) -> str:
    """Return the first output that changed since; files added by others, such as scores, don't count."""
    now = listing(stage.outputs)
    for name, written in sorted(before.files.items()):
        if now.get(name) != written:
            option, _, path = name.partition(":")
            where = stage.outputs[option] / path if path else stage.outputs[option]
            return f"its output {where} {'is gone' if name not in now else 'was altered'}"
    return ""


def _resumes(stage: Stage, parts: Parts, before: State | None) -> bool:
    if before is None or stage.keeps == "never":
        return False
    if stage.keeps == "options":
        return bool(before.parts.get("options") == parts["options"])
    return not before.succeeded and fingerprint(before.parts) == fingerprint(parts)


class Hashes:
    """SHA-256 of files, cached by path, size, time of change and inode."""

    def __init__(self, file: Path) -> None:
        """Read the cache's file; a missing or damaged one is empty."""
        self._file = file
        try:
            found = unseal(read_json(file))
        except (OSError, ValueError):
            found = {}
        self._known: dict[str, list[Any]] = {
            name: entry for name, entry in found.items() if isinstance(entry, list) and len(entry) == 4
        }

    def of(self, path: Path) -> str:
        """Return the hash of a file, or of a folder's sorted names and hashes, hidden files left out."""
        if not path.is_dir():
            return self._of_file(path)
        lines = [f"{self._of_file(path / name)} {name}\n" for name in files_of(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _of_file(self, path: Path) -> str:
        status = path.stat()
        key = [status.st_size, status.st_mtime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known is None or known[:3] != key:
            known = self._known[str(path)] = [*key, sha256_of(path)]
        return str(known[3])

    def save(self) -> None:
        """Write the cache's file."""
        write_whole(self._file, json.dumps(seal(self._known), sort_keys=True).encode())


def files_of(folder: Path) -> list[str]:
    """Return the files below a folder, sorted, as POSIX paths; hidden files and folders are left out."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(Path(place) / name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def code_hash() -> str:
    """Return the hash of nirgen's version and modules."""
    root = Path(nirgen.__file__).parent
    digest = hashlib.sha256(nirgen.__version__.encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + read_bytes(path))
    return digest.hexdigest()


def parts_of(stage: Stage, upstream: Mapping[str, str], hashes: Hashes, code: str) -> Parts:
    """Return what a stage's result depends on; `upstream` are fingerprints of stages, `code` is from `code_hash`."""
    return {
        "command": stage.command,
        "options": stage.options,
        "inputs": {text: hashes.of(path) for text, path in stage.inputs.items()},
        "upstream": {name: upstream[name] for name in stage.needs},
        "code": code,
    }


def fingerprint(parts: Parts) -> str:
    """Return one hash of all parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def difference(old: Parts, new: Parts) -> str:
    """Describe the first part that differs; empty if none does."""
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


def listing(outputs: Mapping[str, Path]) -> dict[str, list[int]]:
    """Return [size in bytes, time of change in ns] of every file of the outputs, by `option:path in the folder`."""
    found = {}
    for option, path in outputs.items():
        paths = {name: path / name for name in files_of(path)} if path.is_dir() else {"": path}
        for name, file in paths.items():
            if file.exists():
                status = file.stat()
                found[f"{option}:{name}"] = [status.st_size, status.st_mtime_ns]
    return found
