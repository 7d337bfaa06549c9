"""`nirgen detect`: detectors trained on a dataset of nirgen's, judged and compared."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nirgen.cli import detect_compare, detect_evaluate
from nirgen.cli.output import stages, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nirgen.detect.config import DetectConfig
    from nirgen.train.loop import StepReport


app = typer.Typer(no_args_is_help=True, help="Train a detector on a dataset, judge it, and see what generated data do.")

_SECONDS_BETWEEN_LINES = 15


@app.command("train")
def train(
    dataset: Annotated[Path, typer.Argument(help="The dataset that 'nirgen build-dataset' wrote.", show_default=False)],
    run: Annotated[Path, typer.Argument(help="The run folder to write, or to go on with.", show_default=False)],
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A YAML file of settings.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="What to start from: an id of the hub's, a folder, a run, or fresh.  "
            "[default: PekingU/rtdetr_v2_r18vd]"
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the whole run.  [default: 2000]")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a step.  [default: 8]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its highest value.  [default: 0.0001]")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side that images are squashed to, a multiple of 32.  [default: 640]")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as in --set augment.crop=0; may be repeated.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1...  [default: the best there is]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of order, crops and noise.  [default: 0]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved settings and what would be done; write nothing.")
    ] = False,
) -> None:
    """Fine-tune a detector on a dataset; RUN/model is then a folder that transformers reads, too.

    The same command goes on where a run stopped. Ctrl-C finishes the step, saves and leaves; a second one leaves at
    once. docs/detect.md says what is done with grey images, regions to ignore and empty images.
    """
    import yaml

    from nirgen.cli.config_overlay import read_detect_settings
    from nirgen.dataset.folder import read_dataset

    given: dict[str, Any] = {
        "model": model,
        "steps": steps,
        "batch": batch,
        "learning_rate": learning_rate,
        "size": size,
        "seed": seed,
    }
    settings = read_detect_settings(config, changes or [], given)
    read_dataset(dataset)  # what is no dataset is told before anything heavy is loaded
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
    if dry_run:
        from nirgen.detect.data import read_examples

        typer.echo(f"# {read_examples(dataset, settings.split).describe()}", err=True)
        return
    _train(dataset, run, settings, device)


def _train(dataset: Path, run: Path, settings: DetectConfig, device: str | None) -> None:
    """Train, and leave with code 130 if the run was stopped."""
    kept = f"the same command goes on from the last checkpoint in {run}"
    with stages(lambda: kept) as bar, stoppable(kept, quiet=False) as stop, _reporting(bar, settings.steps) as report:
        from nirgen.detect.loop import train_detector

        outcome = train_detector(dataset, run, settings, device=device, progress=report, stopped=stop)
    if not outcome.finished:
        typer.echo(f"stopped after step {outcome.steps}; the same command goes on from there", err=True)
    typer.echo(f"{outcome.model}")
    if not outcome.finished:
        raise typer.Exit(130)


@contextmanager
def _reporting(bar: Callable[[str, int, int | None], None], steps: int) -> Generator[Callable[[StepReport], None]]:
    """A bar on a terminal; anywhere a line at the first step, every 15 seconds and at the last step."""
    last: float | None = None

    def report(progress: StepReport) -> None:
        nonlocal last
        bar("train", progress.step, steps)
        now = time.monotonic()
        if last is not None and now - last < _SECONDS_BETWEEN_LINES and progress.step < steps:
            return
        last = now
        terms = ", ".join(f"{name} {value:.3f}" for name, value in progress.terms.items())
        pace = f"{progress.rate:.2f} steps/s, {progress.minutes_left:.0f} min to go"
        typer.echo(f"step {progress.step} of {steps}, {pace}: {terms}", err=True)

    yield report


app.command("evaluate")(detect_evaluate.evaluate)
app.command("compare")(detect_compare.compare)
