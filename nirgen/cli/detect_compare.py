"""`nirgen detect compare`: measure whether generated images help a detector."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, bars, show, stoppable

if TYPE_CHECKING:
    from nirgen.detect.arms import ComparisonPlan
    from nirgen.detect.comparison import Comparison


def compare(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Dataset with real and generated training images, and real test images.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write or resume.", show_default=False)],
    model: options.DetectModel = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Random seeds; each training set is used once per seed.  "
            "[default: {detect.config:CompareConfig.seeds}]",
        ),
    ] = None,
    ratios: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Generated images per real image, one training set each; or 'all'.  [default: 0,1,2 as available]",
        ),
    ] = None,
    split: options.JudgedSplit = None,
    config: options.DetectSettings = None,
    steps: options.Steps = None,
    batch: options.Batch = None,
    learning_rate: options.LearningRate = None,
    size: options.TrainSize = None,
    changes: options.Changes = None,
    bootstrap: options.Bootstrap = None,
    resamples: options.Resamples = None,
    device: options.Device = None,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure what generated images add to a detector.

    Trains detectors on real images and on real plus generated ones, as in the paper's Table 7, with equally many steps
    each; evaluates all on real images and states whether the gain exceeds the noise. The same command resumes.
    docs/detect.md has the rule.

    \b
    Examples:
      nirgen detect compare dataset comparison --dry-run
      nirgen detect compare dataset comparison --ratios 0,1,all --seeds 0,1,2,3,4
    """
    announce("reading the dataset", quiet=as_json)
    from nirgen import detect
    from nirgen.detect.arms import parse_ratios, parse_seeds

    given = options.given(model=model, steps=steps, batch=batch, learning_rate=learning_rate, size=size)
    training = detect.DetectConfig.load(config, changes or [], given)
    drawing = options.given(resamples=resamples, draw=bootstrap)
    chosen = options.given(seeds=None if seeds is None else parse_seeds(seeds), split=split)
    settings = detect.CompareConfig.read({"train": training, "bootstrap": drawing, **chosen}, where="the command line")
    plan = detect.plan_comparison(dataset, settings, None if ratios is None else parse_ratios(ratios))
    if dry_run:
        _describe(plan)
        return
    kept = f"runs that are done are kept, and the same command goes on in {out}"
    with stoppable(kept, second="exit") as stop, bars(hidden=as_json) as report:
        found = detect.compare(
            plan,
            out,
            device=device,
            progress=report,
            stopped=stop,
            say=(lambda _line: None) if as_json else partial(typer.echo, err=True),
        )
    if as_json:
        from nirgen.detect.report import as_dict

        typer.echo(json.dumps(as_dict(found), indent=2, ensure_ascii=False))
    else:
        _print(found, out)


def _describe(plan: ComparisonPlan) -> None:
    train = plan.config.train
    rows = []
    for arm in plan.arms:
        row: tuple[object, ...] = (0, "-", 1)
        if arm.images:
            row = (train.steps, f"{arm.epochs(train.steps, train.batch):.3g}", len(plan.config.seeds))
        rows.append([arm.title, *map(str, (arm.real, arm.generated, len(arm.images), *row))])
    show(("arm", "real", "generated", "images", "steps", "epochs", "runs"), rows, right=range(1, 7))
    typer.echo(
        f"\neach judged on {len(plan.test.images)} real images of the split '{plan.test.name}'; "
        f"every trained arm makes {train.steps} steps of {train.batch} images, from {train.model}"
    )


def _print(found: Comparison, out: Path) -> None:
    from nirgen.detect.report import CAVEAT, FILES, notes_on, sentence, table

    headings, rows = table(found)
    show(headings, ([cell.replace(" (", "\n(") for cell in row] for row in rows))
    typer.echo(f"\n{sentence(found)}\n")
    for note in (*notes_on(found), CAVEAT):
        typer.echo(f"note: {note}")
    typer.echo(f"{', '.join(FILES)} are in {out}")
