"""The training loop, and the folder that it leaves."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen import losses
from nirgen.devices import choose_device
from nirgen.errors import ConfigError
from nirgen.files import make_folder
from nirgen.train.batches import Batches, Draws
from nirgen.train.folder import Checkpoints, RunFolder, alone, full_disk_is_one_line, last_good, resume
from nirgen.train.monitor import chosen_pairs
from nirgen.train.state import State
from nirgen.train.step import NotFiniteError, Processes, joined, train_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.config import Stage, TrainConfig
    from nirgen.train.monitor import Log


@dataclass(frozen=True)
class StepReport:
    """Where a run stands, after a step.

    Attributes:
        step: Steps done.
        progress: Share of the run that is done, in [0, 1].
        rate: Steps a second, in this sitting.
        minutes_left: To the end, at the pace of this sitting.
        terms: Each loss term, weighted, and the generator's gradient norm.
    """

    step: int
    progress: float
    rate: float
    minutes_left: float
    terms: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """How a sitting ended.

    Attributes:
        model: The model file; None in the processes that don't write.
        steps: Steps done over all sittings.
        finished: Whether the run is at its end, or can be resumed.
    """

    model: Path | None
    steps: int
    finished: bool


def train(
    pairs: PairList,
    config: TrainConfig,
    out: Path,
    *,
    device: str | None = None,
    distributed: bool = False,
    allow_changes: bool = False,
    report: Callable[[StepReport], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train a generator on the split `train`, or go on where a run stopped.

    Args:
        pairs: The list; its split `train` is trained on, its split `val`, if there is one, is judged on.
        config: The run.
        out: The run folder, new or of the same run (docs/formats.md says what is in it).
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best there is by default.
        distributed: Whether `torchrun` started this process beside others.
        allow_changes: Resume although settings or pairs changed.
        report: Called after each step, in the first process.
        stop: Asked after each step whether to save and leave.

    Returns:
        The model file, and whether the run is at its end.

    Raises:
        ConfigError: The networks can't run as configured; there is no such device; a loss became NaN or infinite; or
            the run in the folder has other settings or pairs.
        ImageError: A pair can't be read.
        ModelError: A checkpoint or weights to start from can't be read.
        OutputError: Another process trains here, or the folder can't be written.
    """
    where = choose_device(device)
    chosen = pairs.split("train")
    with ExitStack() as stack:
        processes = stack.enter_context(joined(where, distributed=distributed))
        state = State(config, processes.device)
        checkpoints = Checkpoints(out / "checkpoints", config.save.keep)
        if processes.first:
            make_folder(out)
            stack.enter_context(alone(out))
        run = RunFolder(out, state, chosen, chosen_pairs(pairs, config.save), checkpoints, processes=processes.count)
        last = checkpoints.newest()
        if last is not None:
            resume(run, last, allow_changes=allow_changes)
        try:
            with full_disk_is_one_line(out, checkpoints), ExitStack() as inner:
                log = inner.enter_context(run.begin(last is not None)) if processes.first else None
                draws = Draws(chosen, config.data, config.crops, config.seed)
                batches = inner.enter_context(Batches(draws, state.position, (processes.rank, processes.count)))
                finished = _loop(run, batches, processes, log=log, report=report, stop=stop)
        except NotFiniteError as error:
            raise ConfigError(
                f"step {state.step + 1}: {error}; {last_good(checkpoints)}; lower optimizer.learning_rate, set "
                "optimizer.gradient_clip, or use compute.precision=float32"
            ) from None
    return Outcome(run.model if processes.first else None, state.step, finished)


def _loop(
    run: RunFolder,
    batches: Batches,
    processes: Processes,
    *,
    log: Log | None,
    report: Callable[[StepReport], None] | None,
    stop: Callable[[], bool],
) -> bool:
    """Make steps until the end of the run, or until asked to stop; whether it is the end."""
    state, config = run.state, run.state.config
    began, before = time.monotonic(), state.minutes
    total = total_steps(config, len(run.pairs.pairs), processes.count)
    saved = validated = state.minutes
    progress, asked = processes.agree([_progress(state, total), 0.0])
    first = state.step, progress
    while progress < 1 and not asked:
        factor = learning_rate_factor(config, state.step, max(progress, (state.step + 1) / total), total)
        terms, skipped = train_step(state, batches, stage_at(config, progress), factor, processes)

        # where it stands, by the clock of the slowest process
        state.minutes = before + (time.monotonic() - began) / 60
        progress, asked, state.minutes = processes.agree([_progress(state, total), float(stop()), state.minutes])
        over = progress >= 1 or bool(asked)
        if log is None:
            continue

        # say so
        for line in skipped:
            log.write(state.step, {"skipped": line})
        if state.step % config.save.log_steps == 0 or over:
            log.write(state.step, _line(state, min(progress, 1.0), factor, terms))
        if report is not None:
            report(_standing(state, progress, first, time.monotonic() - began, terms))

        # save and judge
        if over or _due(state, saved, config.save.checkpoint_minutes, config.save.checkpoint_steps):
            run.save()
            log.draw()
            saved = state.minutes
        due = _due(state, validated, config.save.validation_minutes, config.save.validation_steps)
        if run.judged_pairs.pairs and (progress >= 1 or (due and not asked)):
            run.judge(log)
            validated = state.minutes
    if log is not None:
        run.end(log, finished=progress >= 1)
    processes.wait()
    return progress >= 1


def total_steps(config: TrainConfig, pairs: int, processes: int = 1) -> int:
    """Optimizer steps of a whole run: as configured, or those of its epochs, each stage with its own batch."""
    if config.steps is not None:
        return config.steps
    draws = (config.epochs or 1000) * pairs
    crops = processes * config.optimizer.accumulate
    return max(1, round(draws / sum(stage.share * stage.batch * crops for stage in config.stages)))


def stage_at(config: TrainConfig, progress: float) -> Stage:
    """The stage that a share of the run falls into."""
    end = 0.0
    for stage in config.stages:
        end += stage.share
        if progress < end:
            return stage
    return config.stages[-1]


def learning_rate_factor(config: TrainConfig, step: int, progress: float, total: int) -> float:
    """Factor on all learning rates.

    Args:
        config: The run.
        step: Steps done.
        progress: Share of the run that is done, in [0, 1].
        total: Steps of the whole run.
    """
    if config.optimizer.schedule == "cosine":
        return losses.warmup_cosine(progress, config.optimizer.warmup)
    epoch = step * (config.epochs or 1000) // total
    return min(epoch / 1000, 1.0)


def _progress(state: State, total: int) -> float:
    """Share of the run that is done, by steps or by the clock, whichever is further; above 1 when over."""
    limit = state.config.max_minutes
    return max(state.step / total, state.minutes / limit if limit else 0.0)


def _standing(
    state: State, progress: float, first: tuple[int, float], seconds: float, terms: dict[str, float]
) -> StepReport:
    """Where a run stands, given its step and progress at the beginning of this sitting."""
    rate = (state.step - first[0]) / seconds
    left = seconds / 60 * (1 - progress) / max(progress - first[1], 1e-9)
    return StepReport(state.step, min(progress, 1.0), rate, max(left, 0.0), terms)


def _due(state: State, last: float, minutes: float, steps: int | None) -> bool:
    """Whether it is time again."""
    return state.step % steps == 0 if steps is not None else state.minutes - last >= minutes


def _line(state: State, progress: float, factor: float, terms: dict[str, float]) -> dict[str, Any]:
    rate = state.config.optimizer.learning_rate * factor
    about = {"minutes": round(state.minutes, 2), "progress": round(progress, 5), "learning_rate": float(f"{rate:.4g}")}
    finite = {name: float(f"{value:.5g}") if math.isfinite(value) else None for name, value in terms.items()}
    return about | finite  # a gradient that half precision overflowed in is null
