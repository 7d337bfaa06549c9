"""The training loop."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen import losses
from nirgen.errors import ConfigError
from nirgen.files import make_folder
from nirgen.train.batches import Batches, Draws
from nirgen.train.checkpoints import last_good
from nirgen.train.folder import RunFolder, alone
from nirgen.train.state import NotFiniteError, State
from nirgen.train.step import train_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig
    from nirgen.train.monitor import Log
    from nirgen.train.networks import Networks
    from nirgen.train.processes import Processes
    from nirgen.train.state import BaseState

    Report = Callable[["StepReport"], None]
    Stopped = Callable[[], bool]


@dataclass(frozen=True)
class StepReport:
    """Position of a run after a step."""

    step: int  # steps done
    progress: float  # share of the run that is done, in [0, 1]
    rate: float  # steps a second, in this sitting
    minutes_left: float  # at the pace of this sitting
    terms: dict[str, float]  # each loss term, weighted, and the generator's gradient norm


@dataclass(frozen=True)
class Outcome:
    """Result of a sitting."""

    model: Path | None  # the model's file or folder; None in processes that don't write
    steps: int  # steps done, over all sittings
    finished: bool  # False if the run was stopped and can be resumed


class Clock:
    """Time and pace of a sitting, which begins at a `progress` in [0, 1]."""

    def __init__(self, state: BaseState, progress: float) -> None:
        self._state = state
        self._began = time.monotonic()
        self._minutes, self._step, self._progress = state.minutes, state.step, progress

    def minutes(self) -> float:
        """Return the time spent on the run, over all sittings."""
        return self._minutes + (time.monotonic() - self._began) / 60

    def report(self, progress: float, terms: dict[str, float]) -> StepReport:
        """Return the position of the run, with the pace of this sitting."""
        seconds = time.monotonic() - self._began
        rate = (self._state.step - self._step) / seconds
        left = seconds / 60 * (1 - progress) / max(progress - self._progress, 1e-9)
        return StepReport(self._state.step, min(progress, 1.0), rate, max(left, 0.0), terms)


def train(
    pairs: PairList,
    judged_pairs: PairList,
    config: TrainConfig,
    networks: Networks,
    out: Path,
    *,
    processes: Processes,
    allow_changes: bool,
    report: Report | None,
    stopped: Stopped,
    say: Callable[[str], None],
) -> Outcome:
    """Train `networks` as `nirgen.train.train` says; `judged_pairs`, perhaps none, are for validation."""
    state = State(config, networks, processes.device)
    with ExitStack() as stack:
        if processes.first:
            make_folder(out)
        processes.wait()  # the others need the folder
        held = stack.enter_context(alone(out)) if processes.first else None
        run = RunFolder(out, state, pairs, judged_pairs, processes=processes.count, held=held)
        for line in run.resume(allow_changes=allow_changes):
            if processes.first:
                say(line)
        try:
            with run.errors_in_one_line(run.save), ExitStack() as inner:
                log = inner.enter_context(run.begin(state.step)) if processes.first else None
                draws = Draws(pairs, config.data, config.crops, config.seed, unpaired=config.unpaired)
                batches = inner.enter_context(Batches(draws, state.position, (processes.rank, processes.count)))
                finished = _loop(run, batches, processes, log=log, report=report, stopped=stopped)
        except NotFiniteError as error:
            raise ConfigError(
                f"step {state.step + 1}: {error}; {last_good(run.checkpoints)}; lower optimizer.learning_rate, set "
                "optimizer.gradient_clip, or use compute.precision=fp32"
            ) from None
    return Outcome(run.model if processes.first else None, state.step, finished)


def _loop(
    run: RunFolder, batches: Batches, processes: Processes, *, log: Log | None, report: Report | None, stopped: Stopped
) -> bool:
    """Make steps until the end of the run (True) or until stopped (False)."""
    state, config = run.state, run.state.config
    total = config.total_steps(len(run.pairs.pairs), processes.count)
    saved = validated = state.minutes
    progress, asked = processes.agree([_progress(state, total), 0.0])
    clock = Clock(state, progress)
    while progress < 1 and not asked:
        factor = learning_rate_factor(config, state.step, max(progress, (state.step + 1) / total), total)
        terms, skipped = train_step(state, batches, config.stage_at(progress), factor, processes)

        # advance by the clock of the slowest process
        state.minutes = clock.minutes()
        progress, asked, state.minutes = processes.agree([_progress(state, total), float(stopped()), state.minutes])
        over = progress >= 1 or bool(asked)
        if log is None:
            continue

        # log
        for line in skipped:
            log.write(state.step, {"skipped": line})
        if state.step % config.save.log_steps == 0 or over:
            log.write_step(state, min(progress, 1.0), config.optimizer.learning_rate * factor, terms)
        if report is not None:
            report(clock.report(progress, terms))

        # save and validate
        if over or _due(state, saved, config.save.checkpoint_minutes, config.save.checkpoint_steps):
            run.save()
            log.draw()
            saved = state.minutes
        due = _due(state, validated, config.save.validation_minutes, config.save.validation_steps)
        if run.judged_pairs.pairs and (progress >= 1 or (due and not asked)):
            run.validate(log)
            validated = state.minutes
    if log is not None:
        run.end(log, finished=progress >= 1)
    processes.wait()
    return progress >= 1


def learning_rate_factor(config: TrainConfig, step: int, progress: float, total: int) -> float:
    """Return the factor on all learning rates after `step` of `total` steps, at a `progress` in [0, 1]."""
    if config.optimizer.schedule == "cosine":
        return losses.warmup_cosine(progress, config.optimizer.warmup)
    if config.optimizer.schedule == "linear":
        epochs = config.epochs or 200
        constant = epochs // 2
        epoch = round(_epochs_done(progress, epochs) * epochs)
        return 1 - max(0, epoch + 1 - constant) / (epochs - constant + 1)
    if config.optimizer.schedule == "halved":
        return float(0.5 ** round(_epochs_done(progress, 10) * 10))
    if config.optimizer.schedule == "annealed":
        done = _epochs_done(progress, config.epochs or 300)
        return 0.005 + 0.995 * losses.warmup_cosine(done, 0.0)
    epoch = step * (config.epochs or 1000) // total
    return min(epoch / 1000, 1.0)


def _epochs_done(progress: float, epochs: int) -> float:
    """Return the share of the run that whole epochs before a step are; `progress` is that after the step."""
    return max(math.ceil(progress * epochs - 1e-9) - 1, 0) / epochs


def _progress(state: State, total: int) -> float:
    """Return the share of the run that is done, by steps or by time, whichever is larger; above 1 when over."""
    limit = state.config.max_minutes
    return max(state.step / total, state.minutes / limit if limit else 0.0)


def _due(state: State, last: float, minutes: float, steps: int | None) -> bool:
    return state.step % steps == 0 if steps is not None else state.minutes - last >= minutes
