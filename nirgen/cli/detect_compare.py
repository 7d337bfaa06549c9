"""`nirgen detect compare`: whether generated images help a detector."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, bars, show, stoppable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.detect.comparison import Comparison
    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Truth
    from nirgen.detect.runs import Arm


def compare(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="A dataset of 'nirgen build-dataset' with real and generated images to train on.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write, or to go on with.", show_default=False)],
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
            help="Generated images for each real one, an arm each; or 'all'.  [default: 0,1,2, or what there is]",
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
    """Train a detector on real images, and on real and generated ones, and say whether the gain exceeds the noise.

    The arms of the paper's Table 7: as pretrained, + real, + real + generated; each makes equally many steps, and is
    judged on real images alone. The same command goes on where it stopped. docs/detect.md states the rule.
    """
    announce("reading the dataset", quiet=as_json)
    from nirgen.detect.config import CompareConfig, DetectConfig
    from nirgen.detect.data import read_examples, read_truth
    from nirgen.detect.runs import make_arms, parse_ratios

    given = options.given(model=model, steps=steps, batch=batch, learning_rate=learning_rate, size=size)
    training = DetectConfig.load(config, changes or [], given)
    drawing = options.given(resamples=resamples, draw=bootstrap)
    chosen = options.given(seeds=None if seeds is None else _whole_numbers(seeds), split=split)
    settings = CompareConfig.read({"train": training, "bootstrap": drawing, **chosen}, where="the command line")
    asked = None if ratios is None else parse_ratios(ratios)
    truth = read_truth(dataset, settings.split).real()
    arms = make_arms(read_examples(dataset, settings.train.split), asked)
    if dry_run:
        _describe(arms, settings, truth)
        return
    found = _compare(arms, truth, out, settings, device, quiet=as_json)
    if as_json:
        from nirgen.detect.report import as_dict

        typer.echo(json.dumps(as_dict(found), indent=2, ensure_ascii=False))
    else:
        _print(found, out)


def _whole_numbers(text: str) -> list[int]:
    from nirgen.errors import ConfigError

    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if not part.isdecimal()), None)
    if wrong is not None:
        raise ConfigError(f"seed {wrong!r}: no whole number from 0 on; give such as --seeds 0,1,2")
    return [int(part) for part in parts]


def _compare(
    arms: Sequence[Arm], truth: Truth, out: Path, settings: CompareConfig, device: str | None, *, quiet: bool
) -> Comparison:
    """Carry out all runs, and sum them up."""
    from nirgen.detect.comparison import sum_up
    from nirgen.detect.report import write
    from nirgen.detect.runs import Bench, runs_of
    from nirgen.files import locked, make_folder

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    kept = f"runs that are done are kept, and the same command goes on in {out}"
    make_folder(out)
    with (
        locked(out / ".lock", busy=f"{out}: another process compares here; wait for it, or name another folder"),
        stoppable(kept, second="exit") as stop,
        bars(hidden=quiet) as report,
    ):

        def comparing(done: int, total: int) -> None:
            report("comparing", done, total)
            if stop():
                raise KeyboardInterrupt

        judged = Bench(truth, out, settings, device, report, stop, say).carry_out(runs_of(arms, settings.seeds))
        found = sum_up(judged, truth, settings, comparing)
        write(found, out)
    return found


def _describe(arms: Sequence[Arm], settings: CompareConfig, truth: Truth) -> None:
    """Print what would be done."""
    train = settings.train
    rows = []
    for arm in arms:
        row: tuple[object, ...] = (0, "-", 1)
        if arm.trained:
            row = (train.steps, f"{arm.epochs(train.steps, train.batch):.3g}", len(settings.seeds))
        rows.append([arm.title, *map(str, (arm.real, arm.generated, len(arm.images), *row))])
    show(("arm", "real", "generated", "images", "steps", "epochs", "runs"), rows, right=range(1, 7))
    typer.echo(
        f"\neach judged on {len(truth.entries)} real images of the split '{truth.split}'; every trained arm makes "
        f"{train.steps} steps of {train.batch} images, from {train.model}"
    )


def _print(found: Comparison, out: Path) -> None:
    from nirgen.detect.report import CAVEAT, FILES, columns, lines, notes_on, published, sentence

    rows = (
        [title, *(cell.replace(" (", "\n(") for cell in cells)] for title, cells in (*lines(found), *published(found))
    )
    show(["trained on", *columns(found).values()], rows)
    typer.echo(f"\n{sentence(found)}\n")
    for note in (*notes_on(found), CAVEAT):
        typer.echo(f"note: {note}")
    typer.echo(f"{', '.join(FILES)} are in {out}")
