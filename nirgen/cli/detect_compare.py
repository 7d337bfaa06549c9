"""`nirgen detect compare`: whether generated images help a detector."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nirgen.cli.output import show, stages, stoppable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.detect.comparison import Comparison
    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import Truth
    from nirgen.detect.runs import Arm


_SECONDS_BETWEEN_LINES = 30


def compare(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="A dataset of 'nirgen build-dataset' with real and generated images to train on.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write, or to go on with.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            help="What every arm begins from: a hub's id, a folder, a run, or fresh.  [default: as 'detect train']"
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="LIST", help="Each arm is trained once with each.")] = "0,1,2",
    ratios: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Generated images for each real one, an arm each; or 'all'.  [default: 0,1,2, or what there is]",
        ),
    ] = None,
    split: Annotated[Literal["test", "val"], typer.Option(help="On whose real images arms are judged.")] = "test",
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A YAML file of settings of training.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of every run.  [default: 2000]")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a step.  [default: 8]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its highest value.  [default: 0.0001]")] = None,
    size: Annotated[
        int | None, typer.Option(help="Side that images are squashed to, a multiple of 32.  [default: 640]")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as in --set augment.crop=0; may be repeated.")
    ] = None,
    bootstrap: Annotated[
        Literal["images", "sequences"], typer.Option(help="What intervals draw: images, or whole recordings.")
    ] = "images",
    resamples: Annotated[int, typer.Option(min=0, help="Samples of the bootstrap; 0 for no intervals.")] = 1000,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1...  [default: the best there is]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the arms, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison for machines.")] = False,
) -> None:
    """Train a detector on real images, and on real and generated ones, and say whether the gain exceeds the noise.

    The arms of the paper's Table 7: as pretrained, + real, + real + generated; each makes equally many steps, and is
    judged on real images alone. The same command goes on where it stopped. docs/detect.md states the rule.
    """
    from nirgen.cli.config_overlay import read_detect_settings
    from nirgen.detect.config import CompareConfig
    from nirgen.detect.data import read_examples, read_truth
    from nirgen.detect.runs import make_arms, parse_ratios

    given: dict[str, Any] = {
        "model": model,
        "steps": steps,
        "batch": batch,
        "learning_rate": learning_rate,
        "size": size,
    }
    settings = CompareConfig.read(
        {
            "train": read_detect_settings(config, changes or [], given),
            "seeds": _whole_numbers(seeds),
            "split": split,
            "bootstrap": {"resamples": resamples, "draw": bootstrap},
        },
        where="the command line",
    )
    asked = None if ratios is None else parse_ratios(ratios)
    truth = read_truth(dataset, split).real()
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

    last = time.monotonic()

    kept = f"runs that are done are kept, and the same command goes on in {out}"
    make_folder(out)
    with (
        locked(out / ".lock", busy=f"{out}: another process compares here; wait for it, or name another folder"),
        stages(lambda: kept) as report,
        stoppable(kept, quiet=False) as stop,
    ):

        def told(what: str, done: int, total: int | None) -> None:
            nonlocal last
            report(what, done, total)
            if not sys.stderr.isatty() and time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                say(f"{what}: {done} of {total}")

        def comparing(done: int, total: int) -> None:
            told("comparing", done, total)
            if stop():
                raise KeyboardInterrupt

        judged = Bench(truth, out, settings, device, told, stop, say).carry_out(runs_of(arms, settings.seeds))
        found = sum_up(judged, truth, settings, comparing)
        write(found, out)
    return found


def _describe(arms: Sequence[Arm], settings: CompareConfig, truth: Truth) -> None:
    """Print what would be done."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("arm", "real", "generated", "images", "steps", "epochs", "runs"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    train = settings.train
    for arm in arms:
        row: tuple[object, ...] = (0, "-", 1)
        if arm.trained:
            row = (train.steps, f"{arm.epochs(train.steps, train.batch):.3g}", len(settings.seeds))
        table.add_row(arm.title, *map(str, (arm.real, arm.generated, len(arm.images), *row)))
    show(table)
    typer.echo(
        f"\neach judged on {len(truth.entries)} real images of the split '{truth.split}'; every trained arm makes "
        f"{train.steps} steps of {train.batch} images, from {train.model}"
    )


def _print(found: Comparison, out: Path) -> None:
    from rich.table import Table

    from nirgen.detect.report import CAVEAT, FILES, columns, lines, notes_on, published, sentence

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("trained on")
    for heading in columns(found).values():
        table.add_column(heading)
    for title, cells in (*lines(found), *published(found)):
        table.add_row(title, *(cell.replace(" (", "\n(") for cell in cells))
    show(table)
    typer.echo(f"\n{sentence(found)}\n")
    for note in (*notes_on(found), CAVEAT):
        typer.echo(f"note: {note}")
    typer.echo(f"{', '.join(FILES)} are in {out}")
