"""`nirgen detect evaluate`: compute the average precision of a detector."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, progress, show

if TYPE_CHECKING:
    from nirgen.detect.evaluation import Evaluation
    from nirgen.stats import Estimate


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] DATASET",
            help="Run of 'nirgen detect train', hub id or transformers folder; then the dataset.",
            show_default=False,
        ),
    ],
    detections: Annotated[
        Path | None, typer.Option(metavar="FILE", help="COCO results of another tool, in place of MODEL.")
    ] = None,
    split: options.JudgedSplit = None,
    real: Annotated[bool, typer.Option("--real", help="Evaluate on real images only.")] = False,
    bootstrap: options.Bootstrap = None,
    resamples: options.Resamples = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Random seed of the bootstrap.  [default: {detect.config:BootstrapConfig.seed}]"),
    ] = None,
    device: options.Device = None,
    size: Annotated[
        int | None,
        typer.Option(min=32, metavar="PX", help="Side that images are resized to.  [default: the model's]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for detections.json and metrics.json."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate a detector by COCO metrics with 95 % intervals.

    Detections in ignore regions count neither as hits nor as false positives; images without objects count.
    docs/detect.md explains the metrics.

    \b
    Examples:
      nirgen detect evaluate runs/detector dataset
      nirgen detect evaluate dataset --detections results.json --split val
    """
    _check_usage(paths, detections, device=device, size=size)
    announce("reading the dataset", quiet=as_json)
    from nirgen import detect

    drawing = options.given(resamples=resamples, draw=bootstrap, seed=seed)
    with progress("nothing was written") as report:
        found = detect.evaluate(
            paths[-1],
            str(paths[0]) if detections is None else None,
            detections=detections,
            split=split or detect.CompareConfig().split,
            real=real,
            bootstrap=detect.BootstrapConfig.read(drawing, where="the command line"),
            device=device,
            size=size,
            out=out,
            progress=report,
        )
    if as_json:
        from nirgen.detect.evaluation import as_dict

        typer.echo(json.dumps(as_dict(found), indent=2, ensure_ascii=False))
        return
    _print(found)
    if out is not None:
        typer.echo(f"\ndetections.json and metrics.json are in {out}")


def _check_usage(paths: list[Path], detections: Path | None, *, device: str | None, size: int | None) -> None:
    if len(paths) > 2:
        raise typer.BadParameter("give MODEL and DATASET, or DATASET with --detections")
    if detections is None and len(paths) < 2:
        raise typer.BadParameter("give MODEL and DATASET, or --detections FILE with DATASET")
    if detections is not None and len(paths) > 1:
        raise typer.BadParameter("--detections stands in MODEL's place: leave out MODEL")
    if detections is not None and (device, size) != (None, None):
        raise typer.BadParameter("--device and --size are of a MODEL; --detections were found already")


def _print(found: Evaluation) -> None:
    from nirgen.detect.evaluation import TITLES

    what = found.judged.get("model") or "detections"
    typer.echo(f"{what} on {len(found.split.images)} images of the split '{found.split.name}', by {found.library}\n")
    objects = found.objects
    rows = [
        [title, *_cells(found.numbers[name]), str(sum(objects.values())) if name == "ap" else ""]
        for name, title in TITLES.items()
    ]
    rows += [[f"AP {name}", *_cells(found.numbers[f"ap/{name}"]), str(count)] for name, count in objects.items()]
    show(("", "value", "95 % interval", "objects"), rows, right=range(1, 4))
    for note in found.notes():
        typer.echo(f"note: {note}")


def _cells(number: Estimate) -> tuple[str, str]:
    value = "-" if number.value is None else f"{number.value:.4f}"
    interval = "-" if number.low is None else f"{number.low:.4f} to {number.high:.4f}"
    return value, interval
