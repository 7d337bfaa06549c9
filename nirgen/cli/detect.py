"""`nirgen detect`: detectors trained on a dataset of nirgen's, judged and compared."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import detect_compare, detect_evaluate, options
from nirgen.cli.output import bars, step_text, stoppable

if TYPE_CHECKING:
    from nirgen.detect.config import DetectConfig

app = options.Group(help="Train a detector on a dataset, judge it, and see what generated data do.")


@app.command("train")
def train(
    dataset: Annotated[Path, typer.Argument(help="The dataset that 'nirgen build-dataset' wrote.", show_default=False)],
    run: Annotated[Path, typer.Argument(help="The run folder to write, or to go on with.", show_default=False)],
    config: options.DetectSettings = None,
    model: options.DetectModel = None,
    steps: options.Steps = None,
    batch: options.Batch = None,
    learning_rate: options.LearningRate = None,
    size: options.TrainSize = None,
    changes: options.Changes = None,
    device: options.Device = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Random seed for data order, crops and noise.  [default: {detect.config:DetectConfig.seed}]"
        ),
    ] = None,
    dry_run: options.DryRun = False,
) -> None:
    """Fine-tune a detector on a dataset; RUN/model is then a folder that transformers reads, too.

    The same command goes on where a run stopped. Ctrl-C finishes the step, saves and leaves; a second one leaves at
    once. docs/detect.md says what is done with grey images, regions to ignore and empty images.
    """
    import yaml

    from nirgen.dataset.folder import read_dataset
    from nirgen.detect.config import DetectConfig

    given = options.given(model=model, steps=steps, batch=batch, learning_rate=learning_rate, size=size, seed=seed)
    settings = DetectConfig.load(config, changes or [], given)
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
    with stoppable(kept, second="exit") as stop, bars(final="train") as report:
        from nirgen.detect.loop import train_detector

        outcome = train_detector(
            dataset,
            run,
            settings,
            device=device,
            progress=lambda at: report("train", at.step, settings.steps, step_text(at)),
            stopped=stop,
        )
    if not outcome.finished:
        typer.echo(f"stopped after step {outcome.steps}; the same command goes on from there", err=True)
    typer.echo(f"{outcome.model}")
    if not outcome.finished:
        raise typer.Exit(130)


app.command("evaluate")(detect_evaluate.evaluate)
app.command("compare")(detect_compare.compare)
