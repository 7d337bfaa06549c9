"""`nirgen detect`: train detectors on a dataset, evaluate and compare them."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from nirgen.cli import detect_compare, detect_evaluate, options
from nirgen.cli.output import announce, bars, step_text, stoppable

app = options.Group(help="Train, evaluate and compare object detectors.")


@app.command("train")
def train(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="Dataset of 'nirgen build-dataset'.", show_default=False)
    ],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder to write or resume.", show_default=False)],
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
    """Fine-tune a detector on a dataset.

    Reads the split 'train' of DATASET and writes a run folder: checkpoints, a log, and RUN/model, which transformers
    reads as well. The same command resumes a stopped run. Ctrl-C finishes the step and saves; a second Ctrl-C stops at
    once. docs/detect.md describes the augmentation, grey images, ignore regions and empty images.

    \b
    Examples:
      nirgen detect train dataset runs/detector --steps 5000
      nirgen detect train dataset runs/fresh --model fresh --set augment.crop=0
    """
    announce("reading the dataset")
    import yaml

    from nirgen import detect
    from nirgen.detect.data import read_split, refuse_without_boxes

    given = options.given(model=model, steps=steps, batch=batch, learning_rate=learning_rate, size=size, seed=seed)
    settings = detect.DetectConfig.load(config, changes or [], given)
    split = read_split(dataset, settings.split)
    refuse_without_boxes(split)
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
    if dry_run:
        typer.echo(f"# {split.describe()}", err=True)
        return
    kept = f"the same command goes on from the last checkpoint in {run}"
    with stoppable(kept, second="exit") as stop, bars(final="train") as report:
        outcome = detect.train(
            split,
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
