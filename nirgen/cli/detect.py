"""`nirgen detect`: train detectors on a dataset, evaluate them, and measure whether generated images help."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Literal

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, bars, progress, show, step_text, stoppable

if TYPE_CHECKING:
    from nirgen.detect.arms import ComparisonPlan
    from nirgen.detect.comparison import Comparison
    from nirgen.detect.evaluation import Evaluation
    from nirgen.stats import Estimate


app = options.Group(help="Train, evaluate and compare object detectors.")

_DETECT = "detect.config:DetectConfig"
_COMPARE = "detect.config:CompareConfig"
_DRAWING = "detect.config:BootstrapConfig"
_MODEL = option("Start: hub id, transformers folder, run folder, or fresh weights.", "ID|DIR|fresh", of=_DETECT)
_SETTINGS = option("YAML file of training settings.", "--config FILE")
_STEPS = option("Optimizer steps.", min=1, of=_DETECT)
_BATCH = option("Images per step.", min=1, of=_DETECT)
_LEARNING_RATE = option("Peak learning rate.", of=_DETECT)
_SIZE = option("Side that images are resized to, a multiple of 32.", "PX", of=_DETECT)
_SPLIT = option("Split to evaluate on.", of=_COMPARE)
_BOOTSTRAP = option("Unit that the bootstrap draws.", of=f"{_DRAWING}.draw")
_RESAMPLES = option("Bootstrap samples; 0: no intervals.", min=0, of=_DRAWING)


@app.command("train")
def train(
    dataset: Path = argument("DATASET", "Dataset of 'nirgen build-dataset'."),
    run: Path = argument("RUN", "Run folder to write or resume."),
    config: Path | None = _SETTINGS,
    model: str | None = _MODEL,
    steps: int | None = _STEPS,
    batch: int | None = _BATCH,
    learning_rate: float | None = _LEARNING_RATE,
    size: int | None = _SIZE,
    changes: list[str] | None = options.CHANGES,
    device: str | None = options.DEVICE,
    seed: int | None = option("Random seed for data order, crops and noise.", min=0, of=_DETECT),
    dry_run: bool = options.DRY_RUN,
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
            say=lambda line: typer.echo(f"warning: {line}", err=True),
        )
    if not outcome.finished:
        typer.echo(f"stopped after step {outcome.steps}; the same command goes on from there", err=True)
    typer.echo(f"{outcome.model}")
    if not outcome.finished:
        raise typer.Exit(130)


@app.command("evaluate")
def evaluate(
    paths: list[Path] = argument(
        "[MODEL] DATASET", "Run of 'nirgen detect train', hub id or transformers folder; then the dataset."
    ),
    detections: Path | None = option("COCO results of another tool, in place of MODEL.", "FILE"),
    split: Literal["test", "val"] | None = _SPLIT,
    real: bool = flag("Evaluate on real images only.", "--real"),
    bootstrap: Literal["images", "sequences"] | None = _BOOTSTRAP,
    resamples: int | None = _RESAMPLES,
    seed: int | None = option("Random seed of the bootstrap.", min=0, of=_DRAWING),
    device: str | None = options.DEVICE,
    size: int | None = option("Side that images are resized to.  [default: the model's]", "PX", min=32),
    out: Path | None = option("Folder for detections.json and metrics.json.", "--out -o DIR"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Evaluate a detector by COCO metrics with 95 % intervals.

    Detections in ignore regions count neither as hits nor as false positives; images without objects count.
    docs/detect.md explains the metrics.

    \b
    Examples:
      nirgen detect evaluate runs/detector dataset
      nirgen detect evaluate dataset --detections results.json --split val
    """
    _check_evaluation(paths, detections, device=device, size=size)
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
    _print_evaluation(found)
    if out is not None:
        typer.echo(f"\ndetections.json and metrics.json are in {out}")


def _check_evaluation(paths: list[Path], detections: Path | None, *, device: str | None, size: int | None) -> None:
    refuse(len(paths) > 2, "give MODEL and DATASET, or DATASET with --detections")
    if detections is None:
        refuse(len(paths) < 2, "give MODEL and DATASET, or --detections FILE with DATASET")
    else:
        refuse(len(paths) > 1, "--detections stands in MODEL's place: leave out MODEL")
        refuse((device, size) != (None, None), "--device and --size are of a MODEL; --detections were found already")


def _print_evaluation(found: Evaluation) -> None:
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


@app.command("compare")
def compare(
    dataset: Path = argument("DATASET", "Dataset with real and generated training images, and real test images."),
    out: Path = argument("OUT", "Folder to write or resume."),
    model: str | None = _MODEL,
    seeds: str | None = option("Random seeds; each training set is used once per seed.", "LIST", of=_COMPARE),
    ratios: str | None = option(
        "Generated images per real image, one training set each; or 'all'.  [default: 0,1,2 as available]", "LIST"
    ),
    split: Literal["test", "val"] | None = _SPLIT,
    config: Path | None = _SETTINGS,
    steps: int | None = _STEPS,
    batch: int | None = _BATCH,
    learning_rate: float | None = _LEARNING_RATE,
    size: int | None = _SIZE,
    changes: list[str] | None = options.CHANGES,
    bootstrap: Literal["images", "sequences"] | None = _BOOTSTRAP,
    resamples: int | None = _RESAMPLES,
    device: str | None = options.DEVICE,
    dry_run: bool = options.DRY_RUN,
    as_json: bool = options.AS_JSON,
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
        _print_plan(plan)
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
        _print_comparison(found, out)


def _print_plan(plan: ComparisonPlan) -> None:
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


def _print_comparison(found: Comparison, out: Path) -> None:
    from nirgen.detect.report import CAVEAT, FILES, notes_on, sentence, table

    headings, rows = table(found)
    show(headings, ([cell.replace(" (", "\n(") for cell in row] for row in rows))
    typer.echo(f"\n{sentence(found)}\n")
    for note in (*notes_on(found), CAVEAT):
        typer.echo(f"note: {note}")
    typer.echo(f"{', '.join(FILES)} are in {out}")
