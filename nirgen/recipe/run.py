"""Run stages as processes, one after the other, and summarise the run as Markdown."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nirgen.errors import OutputError
from nirgen.files import write_whole
from nirgen.recipe.plan import State, Status, Step, listing, state_file
from nirgen.recipe.recipe import NOT_MEASURED

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.recipe.recipe import Expectation, Recipe


Phase = Literal["waiting", "running", "skipped", "done", "partial", "failed", "interrupted"]
_PARTIAL, _INTERRUPTED = 3, 130
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a stage stands.

    Attributes:
        step: The stage and its plan.
        phase: Its state.
        seconds: How long it has run, now or, if skipped, when it ran.
    """

    step: Step
    phase: Phase
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run.

    Attributes:
        exit_code: 0; 3 if something was done in part; 130 if interrupted; else that of the stage that failed.
        progress: Each stage.
        problem: What went wrong, in one line; or an empty string.
    """

    exit_code: int
    progress: list[Progress]
    problem: str


def command_line(step: Step) -> str:
    """A stage's command as one can paste it into a shell."""
    return shlex.join(["python", "-m", "nirgen", *step.stage.words])


def log_file(out: Path, stage: str) -> Path:
    """Where the texts of a stage's command go."""
    return out / "logs" / f"{stage}.log"


def run_steps(steps: list[Step], out: Path, watch: Callable[[list[Progress]], None]) -> Outcome:
    """Run what a plan says, up to the first stage that fails.

    Args:
        steps: In their order.
        out: The run folder; the caller holds its lock.
        watch: Is told often where the stages stand.

    Raises:
        OutputError: The folder can't be written.
    """
    progress = [Progress(step, "waiting", 0.0) for step in steps]
    code, problem = 0, ""
    for position, step in enumerate(steps):
        if not step.runs:
            partial = step.before is not None and step.before.status == "partial"
            code = _PARTIAL if partial else code
            progress[position] = Progress(step, "skipped", step.before.seconds if step.before else 0.0)
            watch(progress)
            continue

        def tick(phase: Phase, seconds: float, position: int = position, step: Step = step) -> None:
            progress[position] = Progress(step, phase, seconds)
            watch(progress)

        ended = _run(step, out, tick)
        if ended == _PARTIAL:
            code = _PARTIAL
        if ended and not (ended == _PARTIAL and step.stage.partial):
            code, problem = ended, _problem(step, out, ended)
            break
    return Outcome(code, progress, problem)


def _problem(step: Step, out: Path, code: int) -> str:
    log = log_file(out, step.stage.name)
    if code == _INTERRUPTED:
        return f"stage '{step.stage.name}' was interrupted; the same command goes on from there"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    what = "did a part only" if code == _PARTIAL else "failed"
    return f"stage '{step.stage.name}' {what} (exit code {code}): {last.removeprefix('error: ')} [{log}]"


def _run(step: Step, out: Path, tick: Callable[[Phase, float], None]) -> int:
    """Run one stage; its exit code."""
    stage, began = step.stage, time.monotonic()
    state = state_file(out, stage.name)
    if not step.resumes:
        # The old state goes first, so that nothing takes what is half removed for a result.
        state.unlink(missing_ok=True)
        _clear(step, out)
    log = log_file(out, stage.name)
    try:
        for folder in (stage.folder, log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        State("started", step.parts).write(state)
        with log.open("ab") as file:
            file.write(f"$ {command_line(step)}\n".encode())
            file.flush()
            code = _wait(_start(stage.words, file.fileno()), lambda: tick("running", time.monotonic() - began))
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error.strerror or error}); name another folder") from error
    endings: dict[int, Status] = {0: "done", _PARTIAL: "partial" if stage.partial else "failed"}
    status: Status = endings.get(code, "interrupted" if code == _INTERRUPTED else "failed")
    seconds = time.monotonic() - began
    files = listing(stage.outputs) if status in {"done", "partial"} else {}
    State(status, step.parts, seconds, files).write(state)
    tick("failed" if status == "failed" else _phase(status), seconds)
    return code


def _phase(status: Status) -> Phase:
    return "running" if status == "started" else status


def _clear(step: Step, out: Path) -> None:
    """Make room for a new attempt; a trained model is costly, so the last one is put aside."""
    folder = step.stage.folder
    if not folder.is_dir():
        return
    if step.stage.keeps == "same":
        aside = out / "earlier" / folder.name
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(exist_ok=True)
        folder.rename(aside)
    else:
        shutil.rmtree(folder)


def _start(words: tuple[str, ...], log: int) -> subprocess.Popen[bytes]:
    """Start a command out of reach of the terminal's Ctrl-C, which this process passes on once."""
    return subprocess.Popen(  # noqa: S603 - our own program, and no shell
        [sys.executable, "-m", "nirgen", *words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread here
    )


def _die_with_parent() -> None:
    """Have the system kill this process when the one that started it is killed: two attempts must not overlap."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    """Wait for a command; on Ctrl-C it is asked to stop, and told to on the second."""
    asked = False
    while True:
        try:
            tick()
            code = process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGINT if not asked else signal.SIGKILL)
            asked = True
            continue
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return _INTERRUPTED if asked else code


def write_record(out: Path, recipe: str, outcome: Outcome, began: str) -> None:
    """Write `run.json`: what was run when, how long it took, and how it ended."""
    stages = [
        {"stage": one.step.stage.name, "phase": one.phase, "seconds": round(one.seconds, 3), "why": one.step.why}
        | {"command": command_line(one.step)}
        for one in outcome.progress
    ]
    record = {"schema": 1, "recipe": recipe, "began": began, "exit_code": outcome.exit_code, "stages": stages}
    write_whole(out / "run.json", json.dumps(record, indent=2).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Comparison:
    """An expected number beside the measured one, as words.

    Attributes:
        what: The number, and where the expectation is from.
        expected: Its value and how far off it may be.
        measured: What this run has.
        agrees: `-` where one of the two is not known.
    """

    what: str
    expected: str
    measured: str
    agrees: Literal["yes", "no", "-"]


def summary(recipe: Recipe, outcome: Outcome) -> str:
    """The summary as Markdown."""
    lines = [f"# {recipe.name}", "", recipe.about, "", "| stage | state | seconds | why |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {one.step.stage.name} | {one.phase} | {one.seconds:.1f} | {one.step.why} |" for one in outcome.progress
    ]
    if recipe.expect:
        lines += ["", "| number | expected | measured here | agrees |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {one.what} | {one.expected} | {one.measured} | {one.agrees} |" for one in comparisons(recipe, outcome)
        ]
    lines += ["", "## Commands", "", "```sh", *(command_line(one.step) for one in outcome.progress), "```", ""]
    lines += ["## Results", ""]
    lines += [f"- `${{{name}}}`: {path}" for name, path in outputs_of(outcome).items() if path.exists()]
    return "\n".join([*lines, *(["", f"**{outcome.problem}**"] if outcome.problem else []), ""])


def outputs_of(outcome: Outcome) -> dict[str, Path]:
    """Files and folders that stages write, by `stage.output`."""
    return {
        f"{one.step.stage.name}.{option}": path
        for one in outcome.progress
        for option, path in one.step.stage.outputs.items()
    }


def comparisons(recipe: Recipe, outcome: Outcome) -> list[Comparison]:
    """What a recipe expects beside what a run has."""
    outputs = outputs_of(outcome)
    return [_compare(expected, outputs) for expected in recipe.expect]


def _compare(expected: Expectation, outputs: dict[str, Path]) -> Comparison:
    number = measured(expected, outputs)
    wanted = "nothing known" if expected.value is None else f"{expected.value:g}"
    if expected.tolerance is not None:
        wanted += f" ± {expected.tolerance:g}"
    agrees: Literal["yes", "no", "-"] = "-"
    if number is not None and expected.value is not None and expected.tolerance is not None:
        agrees = "yes" if abs(number - expected.value) <= expected.tolerance else "no"
    source = f" ({expected.source})" if expected.source else ""
    return Comparison(f"{expected.what}{source}", wanted, NOT_MEASURED if number is None else f"{number:g}", agrees)


def measured(expected: Expectation, outputs: dict[str, Path]) -> float | None:
    """The number that a run has for an expectation; None if it has none.

    Args:
        expected: With the file and the place in it.
        outputs: Files and folders by `stage.output`.
    """
    if expected.file is None:
        return None
    text = re.sub(r"\$\{([^}]*)\}", lambda match: str(outputs.get(match[1], match[0])), expected.file)
    try:
        value: Any = json.loads(Path(text).read_bytes())
        for key in expected.at.split(".") if expected.at else []:
            value = _inner(value, key)
        return len(value) if isinstance(value, list) else float(value)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None


def _inner(value: Any, key: str) -> Any:
    """The entry of a mapping by its key, or of a list by what one of its keys is."""
    if not isinstance(value, list):
        return value[key]
    name, equals, wanted = key.partition("=")
    return next(one for one in value if str(one[name]) == wanted) if equals else value[int(key)]
