"""`nirgen detect evaluate`: how well a detector finds what is on images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, progress, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.config import BootstrapConfig
    from nirgen.detect.data import Truth
    from nirgen.detect.evaluation import Evaluation
    from nirgen.stats import Estimate


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] DATASET",
            help="A run of 'nirgen detect train', a hub's id or a folder of transformers; then the dataset.",
            show_default=False,
        ),
    ],
    detections: Annotated[
        Path | None, typer.Option(metavar="FILE", help="COCO results made elsewhere, instead of MODEL.")
    ] = None,
    split: options.JudgedSplit = None,
    real: Annotated[bool, typer.Option("--real", help="Judge on real images alone, if the split has others.")] = False,
    bootstrap: options.Bootstrap = None,
    resamples: options.Resamples = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Random seed of the bootstrap.  [default: {detect.config:BootstrapConfig.seed}]"),
    ] = None,
    device: options.Device = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="Side that images are squashed to, in pixels.  [default: the model's]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Where to write detections.json and metrics.json."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge a detector by COCO's numbers, with 95 % intervals.

    Either MODEL DATASET, or DATASET with --detections. Regions to ignore are neither found nor missed; images with
    nothing on them count. docs/detect.md explains the numbers.
    """
    _check_usage(paths, detections, device=device, size=size)
    announce("reading the dataset", quiet=as_json)
    from nirgen.detect.config import BootstrapConfig, CompareConfig
    from nirgen.detect.data import read_truth

    drawing = options.given(resamples=resamples, draw=bootstrap, seed=seed)
    settings = BootstrapConfig.read(drawing, where="the command line")
    with progress("nothing was written") as report:
        truth = read_truth(paths[-1], split or CompareConfig().split)
        truth = truth.real() if real else truth
        if detections is not None:
            found = _of_file(detections, truth, settings)
        else:
            found = _of_model(str(paths[0]), truth, settings, device, size, report)
        if out is not None:
            from nirgen.detect.evaluation import write

            write(found, out)
    if as_json:
        from nirgen.detect.evaluation import as_dict

        typer.echo(json.dumps(as_dict(found), indent=2, ensure_ascii=False))
        return
    print_evaluation(found)
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


def _of_file(path: Path, truth: Truth, settings: BootstrapConfig) -> Evaluation:
    from nirgen.detect.evaluation import evaluate as judge
    from nirgen.detect.evaluation import read_results

    results, sha256 = read_results(path, truth)
    return judge(truth, results, settings, {"detections_sha256": sha256})


def _of_model(
    name: str,
    truth: Truth,
    settings: BootstrapConfig,
    device: str | None,
    size: int | None,
    report: Callable[[str, int, int | None], None],
) -> Evaluation:
    from nirgen.detect.detector import load_detector, read_about
    from nirgen.detect.evaluation import detect, refuse_trained_on
    from nirgen.detect.evaluation import evaluate as judge

    refuse_trained_on(truth, read_about(name), name)
    detector = load_detector(name, categories=truth.names, device=device, size=size)
    results = detect(detector, truth, lambda done, total: report("detecting", done, total))
    report("judging", 0, None)
    shown = Path(name).resolve().name if Path(name).exists() else name
    return judge(truth, results, settings, {"model": shown, "model_id": detector.id, "size": detector.size})


def print_evaluation(found: Evaluation) -> None:
    """Print the numbers as a table, with what is to be known of them."""
    from nirgen.detect.evaluation import TITLES

    truth = found.truth
    what = found.judged.get("model") or "detections"
    typer.echo(f"{what} on {len(truth.entries)} images of the split '{truth.split}', by {found.library}\n")
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
    """The value and its interval; a dash where there is none."""
    value = "-" if number.value is None else f"{number.value:.4f}"
    interval = "-" if number.low is None else f"{number.low:.4f} to {number.high:.4f}"
    return value, interval
