"""Which stages would run, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.errors import ConfigError, nearest
from nirgen.recipe.fingerprint import Hashes, Parts, code_hash, difference, fingerprint, parts_of
from nirgen.recipe.state import State, listing

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.recipe.resolve import Stage


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
