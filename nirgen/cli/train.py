"""`nirgen train`: a generator from RGB-NIR pairs."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nirgen.cli.config_overlay import read_train_settings
from nirgen.cli.output import interruptible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig
    from nirgen.train.loop import StepReport


_SECONDS_BETWEEN_LINES = 15


def train(
    config: Annotated[
        str, typer.Argument(help="A YAML file of settings, or a preset: paper, released, compact.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The run folder to write, or to go on with.")],
    pairs: Annotated[
        Path | None, typer.Option(help="The list that 'nirgen pairs' wrote.  [default: the settings' data.pairs]")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of the images.  [default: the list's]")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as in --set losses.ssim=5; may be repeated.")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.05, help="Fit the schedule into this time; judging comes on top.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1...  [default: the best there is]")] = None,
    licence: Annotated[str | None, typer.Option(help="What may be done with the weights.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, order and crops.")] = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Resume although settings or pairs changed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved settings and what would be done; write nothing.")
    ] = False,
) -> None:
    """Train a generator; the run folder can then be named as a model.

    The same command goes on where a run stopped. Ctrl-C finishes the step, saves and leaves; a second leaves at once.
    A finished model is judged on the split 'val', as by 'nirgen evaluate'. On several GPUs: torchrun --nproc-per-node=4
    -m nirgen train...
    """
    from nirgen.errors import ConfigError
    from nirgen.pairs import PairList

    options: dict[str, Any] = {"max_minutes": max_minutes, "licence": licence, "seed": seed}
    given = {name: value for name, value in options.items() if value is not None}
    given |= {f"data.{name}": str(value) for name, value in (("pairs", pairs), ("root", root)) if value is not None}
    settings = read_train_settings(config, changes or [], given)
    if settings.data.pairs is None:
        raise ConfigError("no pairs are named; give --pairs LIST, as 'nirgen pairs' writes it, or set data.pairs")
    listed = PairList.read(Path(settings.data.pairs), Path(settings.data.root) if settings.data.root else None)
    if dry_run:
        _describe(settings, listed)
        return
    _train(settings, listed, out, device, allow_changes=allow_changes)


def _train(settings: TrainConfig, pairs: PairList, out: Path, device: str | None, *, allow_changes: bool) -> None:
    """Train, then judge the model; leave with code 130 if the run was stopped."""
    from nirgen.train.loop import train as run

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    with _stopping() as stop, _progress() as report:
        try:
            outcome = run(
                pairs,
                settings,
                out,
                device=device,
                distributed="TORCHELASTIC_RUN_ID" in os.environ or processes > 1,
                allow_changes=allow_changes,
                report=report,
                stopped=stop,
            )
        except KeyboardInterrupt:
            typer.echo(f"interrupted at once; the same command goes on from the last checkpoint in {out}", err=True)
            raise typer.Exit(130) from None
    if outcome.model is None:
        return
    if not outcome.finished:
        typer.echo(f"stopped after step {outcome.steps}; the same command goes on from there", err=True)
        typer.echo(f"{outcome.model}")
        raise typer.Exit(130)
    if any(pair.split == "val" for pair in pairs.pairs):
        with interruptible(lambda: f"{outcome.model} is whole, but its card has no numbers"):
            _judge(outcome.model, pairs, device)
    typer.echo(f"{outcome.model}")


def _describe(settings: TrainConfig, pairs: PairList) -> None:
    """Print the resolved settings, and what a run of them would be."""
    import yaml

    from nirgen.models.checkpoint import build
    from nirgen.train.monitor import chosen_pairs

    chosen = pairs.split("train").pairs
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
    sequences = len({pair.sequence for pair in chosen})
    judged = len(chosen_pairs(pairs, settings.save).pairs)
    parameters = sum(parameter.numel() for parameter in build(settings.generator).parameters())
    typer.echo(f"# {len(chosen)} pairs of {sequences} sequences to train on, {judged} to judge by", err=True)
    budget = f", in {settings.max_minutes:g} minutes at most" if settings.max_minutes else ""
    typer.echo(f"# {parameters:,} parameters, {settings.total_steps(len(chosen)):,} steps{budget}", err=True)


@contextmanager
def _stopping() -> Generator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came; a second one ends at once."""
    asked = False

    def stop(_signal: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        if os.environ.get("RANK", "0") == "0":
            typer.echo("stopping: this step, then a checkpoint; once more to leave at once", err=True)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress() -> Generator[Callable[[StepReport], None]]:
    """A live bar on a terminal, else a line every 15 seconds, or as one of several processes."""
    if not sys.stderr.isatty() or "RANK" in os.environ:
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Bar(*columns, TextColumn("{task.fields[left]}\n{task.fields[terms]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("step 0", total=1.0, left="", terms="")

        def report(progress: StepReport) -> None:
            bar.update(
                task,
                completed=progress.progress,
                description=f"step {progress.step}",
                left=_pace(progress),
                terms=_terms(progress),
            )

        yield report


def _lines() -> Callable[[StepReport], None]:
    last = -float(_SECONDS_BETWEEN_LINES)

    def report(progress: StepReport) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _SECONDS_BETWEEN_LINES and progress.progress < 1:
            return
        last = now
        line = f"step {progress.step}, {progress.progress:.1%}, {_pace(progress)}: {_terms(progress)}"
        typer.echo(line, err=True)

    return report


def _pace(progress: StepReport) -> str:
    return f"{progress.rate:.2f} steps/s, {progress.minutes_left:.0f} min to go"


def _terms(progress: StepReport) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in progress.terms.items())


def _judge(model: Path, pairs: PairList, device: str | None) -> None:
    """Print the model's numbers on the split `val`, and write them into its header and card."""
    from nirgen.cli.evaluate import print_scores
    from nirgen.errors import NirgenError
    from nirgen.evaluate import as_metrics, evaluate
    from nirgen.model import load_model
    from nirgen.models.checkpoint import record_metrics
    from nirgen.train.export import write_card

    typer.echo("judging the model on the split 'val'", err=True)
    try:
        scores = evaluate(load_model(model, device=device), pairs)
    except NirgenError as error:  # the model is there, whatever can't be said of it
        typer.echo(f"warning: the model's header has no numbers: {error}", err=True)
        return
    record_metrics(model, as_metrics(scores, "val"))
    write_card(model, model.parent / "card.md")
    print_scores(scores)
