"""Run stages as processes, one after the other, and write the run's record and summary."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from nirgen.errors import OutputError
from nirgen.escapes import markdown
from nirgen.files import HeldFolder, locked, make_folder, read_bytes, read_json, write_whole
from nirgen.recipe.plan import Hashes, State, altered, listing, make_plan
from nirgen.recipe.recipe import NOT_MEASURED
from nirgen.recipe.resolve import resolve
from nirgen.runlog import write_run
from nirgen.templates import markdown_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nirgen.recipe.plan import RecipeRun, Step
    from nirgen.recipe.recipe import Expectation, Recipe
    from nirgen.recipe.resolve import Stage


Ending = Literal["done", "partial", "failed", "interrupted"]
Phase = Ending | Literal["waiting", "running", "skipped"]
SUMMARY = "summary.md"
_HASHES = "hashes.json"
_PARTIAL, _INTERRUPTED = 3, 130  # exit codes
_ENDINGS: dict[int, Ending] = {0: "done", _PARTIAL: "partial", _INTERRUPTED: "interrupted"}
_CTRL_C = {signal.SIGINT}
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class StageProgress:
    """Progress of a stage."""

    step: Step
    phase: Phase = "waiting"
    seconds: float = 0.0  # it has run; of a skipped stage, that it ran


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run."""

    exit_code: int  # 0; 3 if a stage did a part only; 130 if interrupted; else that of the stage that failed
    progress: list[StageProgress]
    problem: str  # one line; empty if there is none


def plan_recipe(run: RecipeRun) -> list[Step]:
    """Check the recipe, and return which stages would run, and why.

    Raises:
        ConfigError: The recipe, its data or an option is wrong.
    """
    return make_plan(run, resolve(run.recipe, run.commands, run.out, run.data), Hashes(run.out / _HASHES))


def run_recipe(run: RecipeRun, watch: Callable[[list[StageProgress]], None]) -> Outcome:
    """Run the stages that are not done, up to the first that fails; write `run.json` and `summary.md`.

    `watch` is called several times a second with the progress of all stages.

    Raises:
        ConfigError: The recipe, its data or an option is wrong; nothing has started.
        OutputError: Another run uses the folder, or it can't be written.
        KeyboardInterrupt: Ctrl-C before the first stage.
    """
    stages = resolve(run.recipe, run.commands, run.out, run.data)
    make_folder(run.out)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with locked(run.out / ".lock", busy=f"{run.out}: another 'nirgen run' is at work there; wait for it") as held:
        folder = HeldFolder(run.out)

        def check() -> None:
            if not (folder.in_place and held()):
                raise OutputError(
                    f"{run.out}: was removed or replaced, or its lock was, while the run was at work; run the same "
                    "command again"
                )

        hashes = Hashes(run.out / _HASHES)
        steps = make_plan(run, stages, hashes)
        hashes.save()
        outcome = _run_steps(steps, run.out, watch, check)
        lost = "" if outcome.problem else _lost(steps, run.out)
        if lost:
            outcome = Outcome(1, outcome.progress, f"{lost} since it ended; run the same command again")
        check()
        _write_records(run, outcome, began)
        check()
    return outcome


def _write_records(run: RecipeRun, outcome: Outcome, began: str) -> None:
    rows = [
        {"stage": one.step.stage.name, "phase": one.phase, "seconds": round(one.seconds, 3), "why": one.step.why}
        | {"command": command_line(one.step)}
        for one in outcome.progress
    ]
    record = {"schema": 1, "recipe": run.recipe.name, "began": began, "exit_code": outcome.exit_code}
    try:
        write_run(run.out, {**record, "stages": rows})
        write_whole(run.out / SUMMARY, summary(run.recipe, outcome, run.out).encode())
    except OSError as error:
        raise _unwritable(run.out, error) from error


def _unwritable(out: Path, error: OSError) -> OutputError:
    return OutputError(f"{out}: can't be written ({error.strerror or error}); make room or name another folder")


def command_line(step: Step) -> str:
    """Return a stage's command, to paste into a shell."""
    return shlex.join(["python", "-m", "nirgen", *step.stage.words])


def log_file(out: Path, stage: str) -> Path:
    """Return the file that takes the output of a stage's command."""
    return out / "logs" / f"{stage}.log"


def _run_steps(
    steps: list[Step], out: Path, watch: Callable[[list[StageProgress]], None], check: Callable[[], None]
) -> Outcome:
    """Run the steps that are to run; `check` raises an error once the run folder is another one."""
    progress = [StageProgress(step) for step in steps]
    partial = False
    for one in progress:
        before = one.step.before
        if one.step.runs:
            code = _run(one, out, lambda: watch(progress), check)
            if code and one.phase != "partial":
                return Outcome(code, progress, _problem(one.step, out, code))
            partial |= one.phase == "partial"
        else:
            one.phase, one.seconds = "skipped", before.seconds if before else 0.0
            partial |= before is not None and before.status == "partial"
            watch(progress)
    return Outcome(_PARTIAL if partial else 0, progress, "")


def _lost(steps: list[Step], out: Path) -> str:
    """Return the first record or result of a stage that is no more as it was when its stage ended; empty if none is."""
    for step in steps:
        name = step.stage.name
        if not (step.runs or step.usable):
            continue
        state = State.read(out, name)
        if state is None or not state.succeeded:
            return f"stage '{name}': its record {State.file(out, name)} was removed or altered"
        if found := altered(step.stage, state):
            return f"stage '{name}': {found}"
    return ""


def _problem(step: Step, out: Path, code: int) -> str:
    if code == _INTERRUPTED:
        return f"stage '{step.stage.name}' was interrupted; the same command goes on from there"
    log = log_file(out, step.stage.name)
    lines = [""]
    with suppress(OSError):  # it was removed
        lines = read_bytes(log).decode(errors="replace").strip().splitlines() or lines
    what = "did a part only" if code == _PARTIAL else "failed"
    return f"stage '{step.stage.name}' {what} (exit code {code}): {lines[-1].removeprefix('error: ')} [{log}]"


def _run(one: StageProgress, out: Path, watch: Callable[[], None], check: Callable[[], None]) -> int:
    """Run one stage, update its progress and return its exit code, 1 if its result isn't there."""
    step, stage, began = one.step, one.step.stage, time.monotonic()

    def tick(phase: Phase) -> None:
        one.phase, one.seconds = phase, time.monotonic() - began
        watch()

    state, log = State.file(out, stage.name), log_file(out, stage.name)
    check()
    if not step.resumes:
        state.unlink(missing_ok=True)  # before the results: half of them must not count as done
        _clear(stage, out)
    try:
        for folder in (stage.folder, log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        State("started", step.parts).write(state)
        with log.open("ab") as file:
            file.write(f"$ {command_line(step)}\n".encode())
            file.flush()
            code = _wait(_start(stage.words, file.fileno()), lambda: tick("running"))
            check()
            result = next(iter(stage.outputs.values()), out)
            if code in {0, _PARTIAL} and not result.exists():
                file.write(f"error: the command has ended, and {result} isn't there\n".encode())
                code = 1
    except OSError as error:
        raise _unwritable(out, error) from error
    status = _ENDINGS.get(code, "failed") if code != _PARTIAL or stage.partial else "failed"
    files = listing(stage.outputs) if status in {"done", "partial"} else {}
    State(status, step.parts, time.monotonic() - began, files).write(state)
    tick(status)
    return code


def _clear(stage: Stage, out: Path) -> None:
    """Remove the last attempt; a trained model, which is costly, is moved to `earlier/`."""
    if stage.keeps == "same" and stage.folder.is_dir():
        aside = out / "earlier" / stage.folder.name
        shutil.rmtree(aside, ignore_errors=True)
        aside.parent.mkdir(exist_ok=True)
        stage.folder.rename(aside)
    elif stage.folder.is_dir():
        shutil.rmtree(stage.folder)


def _start(words: tuple[str, ...], log: int) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own: the terminal's Ctrl-C reaches this process alone, which passes it on.

    A Ctrl-C waits until the process has forked, since hooks of a fork, such as logging's, swallow exceptions.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _CTRL_C)
    try:
        return subprocess.Popen(  # noqa: S603 - our own program, and no shell
            [sys.executable, "-m", "nirgen", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_begin,  # noqa: PLW1509 - one thread here
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)


def _begin() -> None:
    """Take Ctrl-C again, and have the kernel kill this process with its parent: two attempts must not overlap."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    """Wait for a command; the first Ctrl-C interrupts it, the second kills it."""
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


def summary(recipe: Recipe, outcome: Outcome, out: Path) -> str:
    """Return the summary of a run as Markdown, with links to results and logs relative to the run folder."""
    stages = [
        (markdown(one.step.stage.name), one.phase, f"{one.seconds:.1f}", markdown(one.step.why))
        for one in outcome.progress
    ]
    table = markdown_table(("stage", "state", "seconds", "why"), stages)
    lines = [f"# {markdown(recipe.name)}", "", markdown(recipe.about), "", *table]
    all_stages = [one.step.stage for one in outcome.progress]
    outputs = {f"{stage.name}.{option}": path for stage in all_stages for option, path in stage.outputs.items()}
    if recipe.expect:
        rows = [_compare(expected, outputs) for expected in recipe.expect]
        lines += ["", *markdown_table(("number", "expected", "measured here", "agrees"), rows)]
    lines += ["", "## Commands", "", "```sh", *(command_line(one.step) for one in outcome.progress), "```", ""]
    lines += ["## Results", ""]
    for name, path in outputs.items():
        if path.exists():
            pages = sorted(path.glob("*.html")) if path.is_dir() else []
            lines.append(f"- `${{{name}}}`: {', '.join(_link(each, out) for each in (path, *pages))}")
    logs = [log_file(out, stage.name) for stage in all_stages]
    lines += ["", "## Logs", "", *(f"- {_link(log, out)}" for log in logs if log.exists())]
    return "\n".join([*lines, *(["", f"**{markdown(outcome.problem)}**"] if outcome.problem else []), ""])


def _link(path: Path, out: Path) -> str:
    text = os.path.relpath(path, out)
    return f"[{markdown(text)}]({quote(text)})"


def _compare(expected: Expectation, outputs: Mapping[str, Path]) -> tuple[str, str, str, str]:
    """Return a number's name, the expected and the measured value, and yes or no (`-` if one of them is unknown)."""
    number, value, tolerance = measured(expected, outputs), expected.value, expected.tolerance
    wanted = "nothing known" if value is None else f"{value:g}"
    wanted += "" if tolerance is None else f" ± {tolerance:g}"
    agrees = "-"
    if number is not None and value is not None and tolerance is not None:
        agrees = "yes" if abs(number - value) <= tolerance else "no"
    source = f" ({expected.source})" if expected.source else ""
    return markdown(f"{expected.what}{source}"), wanted, NOT_MEASURED if number is None else f"{number:g}", agrees


def measured(expected: Expectation, outputs: Mapping[str, Path]) -> float | None:
    """Return the measured number; None if there is none. `outputs` are files and folders by `stage.output`."""
    if expected.file is None:
        return None
    text = re.sub(r"\$\{([^}]*)\}", lambda match: str(outputs.get(match[1], match[0])), expected.file)
    with suppress(OSError, ValueError, KeyError, TypeError, StopIteration):
        value: Any = read_json(Path(text))
        for key in expected.at.split(".") if expected.at else []:
            name, equals, wanted = key.partition("=")
            if isinstance(value, list) and equals:
                value = next(one for one in value if str(one[name]) == wanted)
            else:
                value = value[int(key) if isinstance(value, list) else key]
        return len(value) if isinstance(value, list) else float(value)
    return None
