"""`nirgen detect`: train detectors on a dataset, evaluate them, and measure whether generated images help."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Literal

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, bars, conclude, echo, echo_text, progress, show, step_text, stoppable
from nirgen.errors import counted

if TYPE_CHECKING:
    from nirgen.detect.arms import ComparisonPlan
    from nirgen.detect.comparison import Comparison
    from nirgen.detect.config import DetectConfig
    from nirgen.detect.data import Split
    from nirgen.detect.evaluation import Evaluation
    from nirgen.detect.loop import DetectorOutcome
    from nirgen.stats import Estimate


app = options.Group(help="Train, evaluate and compare object detectors.")

_DETECT = "detect.config:DetectConfig"
_COMPARE = "detect.config:CompareConfig"
_PREDICT = "detect.prediction"
_DRAWING = "detect.config:BootstrapConfig"
_MODEL = option("Start: hub id, transformers folder, run folder, or fresh weights.", "ID|DIR|fresh", of=_DETECT)
_SETTINGS = option("YAML file of training settings.", "--config FILE")
_STEPS = option("Optimizer steps.", min=1, of=_DETECT)
_BATCH = option("Images per step.", min=1, of=_DETECT)
_LEARNING_RATE = option("Peak learning rate.", of=_DETECT)
_SIZE = option("Side that images are resized to, a multiple of 32.", "PX", of=_DETECT)
_BALANCE = option("Repeat images of classes that are on less than this share of the images.", "SHARE", of=_DETECT)
_EVERY = option("Steps between validations; 0: none.  [default: a tenth of the steps]", "STEPS", min=0)
_PATIENCE = option("Validations without a higher AP that end the run.  [default: no limit]", "COUNT", min=1)
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
    balance_classes: float | None = _BALANCE,
    validate_every: int | None = _EVERY,
    patience: int | None = _PATIENCE,
    changes: list[str] | None = options.CHANGES,
    device: str | None = options.DEVICE,
    seed: int | None = option("Random seed for data order, crops and noise.", min=0, of=_DETECT),
    dry_run: bool = options.DRY_RUN,
) -> None:
    """Fine-tune a detector on a dataset.

    Trains on the split 'train' of DATASET and validates on 'val'. Writes a run folder: checkpoints, a log, curves, and
    RUN/model, the weights of the highest validation AP, which transformers reads as well. The same command resumes a
    stopped run. Ctrl-C finishes the step and saves; a second Ctrl-C stops at once. docs/detect.md describes the
    augmentation, grey images, ignore regions and empty images.

    \b
    Examples:
      nirgen detect train dataset runs/detector --steps 5000
      nirgen detect train dataset runs/fresh --model fresh --set augment.crop=0
    """
    announce("reading the dataset")
    import yaml

    from nirgen import detect
    from nirgen.detect.data import read_split, read_validation, refuse_without_boxes

    given = options.given(model=model, steps=steps, batch=batch, learning_rate=learning_rate, size=size, seed=seed)
    given |= options.given(validate_every=validate_every, patience=patience, balance_classes=balance_classes)
    settings = detect.DetectConfig.load(config, changes or [], given)
    split = read_split(dataset, settings.split)
    refuse_without_boxes(split)
    validation = read_validation(split, settings)
    for line in _describe_training(settings, split, validation):
        echo(f"# {line}" if dry_run else line, err=True)
    if dry_run:
        echo_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
        return
    echo(f"all settings: {run / 'config.yaml'}", err=True)
    kept = f"the same command goes on from the last checkpoint in {run}"
    with stoppable(kept, second="exit") as stop, bars(final="train") as report:
        outcome = detect.train(
            split,
            run,
            settings,
            validation=validation,
            device=device,
            progress=lambda at: report("train", at.step, settings.steps, step_text(at)),
            validating=partial(report, "validate"),
            stopped=stop,
            say=lambda line: echo(f"warning: {line}", err=True),
        )
    if not outcome.finished:
        echo(f"stopped after step {outcome.steps}; the same command goes on from there", err=True)
        echo(f"{outcome.model}")
        raise typer.Exit(130)
    then = ("evaluate", run, dataset) if _has_images(dataset, "test") else ("predict", run, "IMAGES", "OUT")
    conclude(
        _reached(outcome, settings, validation),
        wrote=[outcome.model, run / "curves.png", *filter(None, [outcome.judged])],
        then=("detect", *then),
    )


def _describe_training(settings: DetectConfig, split: Split, validation: Split | None) -> list[str]:
    """Return lines on what is trained on what."""
    from nirgen.detect.data import VALIDATION, class_factors

    epochs = settings.steps * settings.batch / len(split.images)
    size = f"{settings.size}x{settings.size} pixels"
    budget = f"{settings.steps} steps of {settings.batch} images at {size} ({epochs:.3g} epochs)"
    lines = [
        f"training on {split.describe()}",
        f"from {settings.model}: {budget}, learning rate {settings.learning_rate:g}",
    ]
    factors = class_factors(split, settings.balance_classes)
    repeated = ", ".join(f"{name} {factor:.2f} x" for name, factor in factors.items() if factor > 1)
    lines += [f"images of rare classes are repeated: {repeated}"] if repeated else []
    if validation is not None:
        real = "" if validation.generated else "real "
        images = f"{len(validation.images)} {real}images of '{validation.name}'"
        return [*lines, f"validating on {images} every {settings.validation_steps} steps; the best weights are kept"]
    reason = f"the split '{VALIDATION}' has no labelled objects"
    reason = "validate_every is 0" if not settings.validation_steps else reason
    reason = f"the split '{VALIDATION}' is trained on" if split.name == VALIDATION else reason
    return [*lines, f"no validation, for {reason}; the last weights are kept"]


def _reached(outcome: DetectorOutcome, settings: DetectConfig, validation: Split | None) -> str:
    """Return the verdict on a finished training."""
    from nirgen.detect.config import NOTHING_LEARNT

    if outcome.ap is None or validation is None:
        return f"trained for {counted(outcome.steps, 'step')}, without validation: evaluate it before you use it"
    real = "" if validation.generated else "real "
    early = outcome.steps < settings.steps
    of = f"{outcome.steps}, which ended early after {settings.patience} validations without a higher AP"
    reached = (
        f"AP {outcome.ap:.4f} on {len(validation.images)} {real}images of '{validation.name}', at step "
        f"{outcome.model_step} of {of if early else outcome.steps}"
    )
    if outcome.ap < NOTHING_LEARNT:
        return f"{reached}: next to nothing was learnt; train for more --steps, or from pretrained weights (--model)"
    return reached


def _has_images(dataset: Path, split: str) -> bool:
    from nirgen.dataset.folder import read_dataset

    return bool(read_dataset(dataset).splits.get(split, {}).get("images"))


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

        echo_text(json.dumps(as_dict(found), indent=2, ensure_ascii=False))
        return
    from nirgen.detect.evaluation import FILES

    _print_evaluation(found)
    echo()
    then = [] if detections is not None else ["detect", "predict", paths[0], "IMAGES", "OUT"]
    conclude(_judgement(found), wrote=[] if out is None else [out / name for name in FILES], then=then)


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
    echo(f"{what} on {counted(len(found.split.images), 'image')} of the split '{found.split.name}', by {found.library}")
    echo()
    objects = found.objects
    rows = [
        [title, *_cells(found.numbers[name]), str(sum(objects.values())) if name == "ap" else ""]
        for name, title in TITLES.items()
    ]
    rows += [[f"AP {name}", *_cells(found.numbers[f"ap/{name}"]), str(count)] for name, count in objects.items()]
    show(("", "value", "95 % interval", "objects"), rows, right=range(1, 4))
    for note in found.notes():
        echo(f"note: {note}")


def _judgement(found: Evaluation) -> str:
    """Return the verdict on a detector."""
    value, interval = _cells(found.numbers["ap"])
    between = "" if interval == "-" else f" (95 % interval {interval})"
    scores = {name: found.numbers[f"ap/{name}"].value for name in found.split.names}
    known = sorted((value, name) for name, value in scores.items() if value is not None)
    classes = f"; best on {known[-1][1]}, worst on {known[0][1]}" if len(known) > 1 and known[-1][0] > 0 else ""
    return f"AP {value}{between} on {counted(len(found.split.images), 'image')} of '{found.split.name}'{classes}"


def _cells(number: Estimate) -> tuple[str, str]:
    value = "-" if number.value is None else f"{number.value:.4f}"
    interval = "-" if number.low is None else f"{number.low:.4f} to {number.high:.4f}"
    return value, interval


@app.command("predict")
def predict(
    model: str = argument("DETECTOR", "Run of 'nirgen detect train', hub id or transformers folder."),
    images: Path = argument("IMAGES", "Folder of images; its subfolders are searched too."),
    out: Path = argument("OUT", "Folder to write or resume."),
    classes: str | None = option("Classes to detect, such as person,car.  [default: all of the detector's]", "LIST"),
    pictures: int | None = option("Most images to draw, spread evenly.", min=0, of=f"{_PREDICT}:DRAWN"),
    score: float | None = option("Least score of a box in a picture.", min=0, max=1, of=f"{_PREDICT}:SCORE"),
    device: str | None = options.DEVICE,
    size: int | None = option("Side that images are resized to.  [default: the model's]", "PX", min=32),
    as_json: bool = options.AS_JSON,
) -> None:
    """Detect objects on a folder of images.

    Writes OUT/detections.json (COCO results), OUT/images.json (the COCO file of the images), OUT/rows.jsonl and
    pictures with boxes. The same command resumes. An image that can't be read gets a row with its error.

    \b
    Examples:
      nirgen detect predict runs/detector photos predictions
      nirgen detect predict PekingU/rtdetr_v2_r18vd photos predictions --classes person,car --pictures 0
    """
    announce("looking for images", quiet=as_json)
    from nirgen.detect import prediction

    chosen = options.given(pictures=pictures, score=score)
    names = None if classes is None else [name.strip() for name in classes.split(",")]
    kept = f"what is done is kept, and the same command goes on in {out}"
    with stoppable(kept), bars(hidden=as_json) as report:
        found = prediction.predict(
            model, images, out, categories=names, device=device, size=size, progress=report, **chosen
        )
    least = prediction.SCORE if score is None else score
    counts = found.counts(least)
    files = [out / name for name in (prediction.RESULTS, prediction.IMAGES, prediction.ROWS)]
    files += [out / prediction.PICTURES] if pictures != 0 else []
    if as_json:
        values = {
            "images": len(found.rows),
            "done_before": found.done_before,
            "score": least,
            "boxes": counts,
            "failed": [{"file_name": row["file_name"], "error": row["error"]} for row in found.failed],
        }
        echo_text(json.dumps(values, indent=2, ensure_ascii=False))
    else:
        for row in found.failed:
            echo(f"failed: {row['error']}", err=True)
        each = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none"
        failed = f"; {counted(len(found.failed), 'image')} failed" if found.failed else ""
        before = f" ({found.done_before} done before)" if found.done_before else ""
        on = counted(len(found.rows) - len(found.failed), "image")
        then = ["detect", "evaluate", model, "DATASET"]
        conclude(f"boxes at scores from {least:g} on, on {on}{before}: {each}{failed}", wrote=files, then=then)
    if found.failed:
        raise typer.Exit(3)


@app.command("compare")
def compare(
    dataset: Path = argument("DATASET", "Dataset with real and generated training images, and real test images."),
    out: Path = argument("OUT", "Folder to write or resume."),
    model: str | None = _MODEL,
    seeds: str | None = option("Random seeds; each training set is used once per seed.", "LIST", of=_COMPARE),
    ratios: str | None = option(
        "Generated images per real image, one training set each; or 'all'.  [default: 0,1,2 as available]", "LIST"
    ),
    arms: str | None = option(
        "Further training sets: grey, colour, nir-like, clean, faithful, zero-shot; or none.  [default: grey]", "LIST"
    ),
    gain: float | None = option("Smallest gain of AP that matters.", "AP", of=_COMPARE),
    budget: float | None = option(
        "Minutes in all; the better half of the training sets gets each further seed.  [default: no limit]",
        "MINUTES",
        min=0,
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
    """Answer whether generated images help a detector, and how many.

    Trains detectors on real images, and on these with generated ones or with grey copies of their RGB images, with
    equally many steps each; evaluates all on real images, and answers by class: use them, grey is as good, they hurt,
    or undecided. What the test images could show is told first. The same command resumes. docs/detect.md has the rule.

    \b
    Examples:
      nirgen detect compare dataset comparison --dry-run
      nirgen detect compare dataset comparison --ratios 0,1,all --seeds 0,1,2,3,4
      nirgen detect compare dataset comparison --arms grey,colour,nir-like,zero-shot
    """
    announce("reading the dataset", quiet=as_json)
    from nirgen import detect
    from nirgen.detect.arms import USUAL, parse_extras, parse_ratios, parse_seeds

    given = options.given(model=model, steps=steps, batch=batch, learning_rate=learning_rate, size=size)
    training = detect.DetectConfig.load(config, changes or [], given)
    drawing = options.given(resamples=resamples, draw=bootstrap)
    chosen = options.given(seeds=None if seeds is None else parse_seeds(seeds), split=split, gain=gain)
    settings = detect.CompareConfig.read({"train": training, "bootstrap": drawing, **chosen}, where="the command line")
    extras = USUAL if arms is None else parse_extras(arms)
    plan = detect.plan_comparison(dataset, settings, None if ratios is None else parse_ratios(ratios), extras)
    if dry_run:
        _print_plan(plan, device)
        return
    kept = f"runs that are done are kept, and the same command goes on in {out}"
    with stoppable(kept, second="exit") as stop, bars(hidden=as_json) as report:
        found = detect.compare(
            plan,
            out,
            budget=budget,
            device=device,
            progress=report,
            stopped=stop,
            say=(lambda _line: None) if as_json else partial(echo, err=True),
        )
    if as_json:
        from nirgen.detect.report import as_dict

        echo_text(json.dumps(as_dict(found), indent=2, ensure_ascii=False))
    else:
        _print_comparison(found, out)


def _print_plan(plan: ComparisonPlan, device: str | None) -> None:
    from nirgen.detect.budget import measure_pace
    from nirgen.detect.power import forewarn
    from nirgen.errors import NirgenError

    train = plan.config.train
    rows = []
    for arm in plan.arms:
        row: tuple[object, ...] = (0, "-", 1)
        if arm.images:
            row = (train.steps, f"{arm.epochs(train.steps, train.batch):.3g}", len(plan.config.seeds))
        rows.append([arm.title, *map(str, (arm.real, arm.generated, arm.copies, *row))])
    show(("arm", "real", "generated", "RGB", "steps", "epochs", "runs"), rows, right=range(1, 7))
    echo()
    echo(
        f"each judged on {counted(len(plan.test.images), 'real image')} of the split '{plan.test.name}'; "
        f"every trained arm makes {train.steps} steps of {train.batch} images, from {train.model}"
    )
    for line in forewarn(plan):
        echo(line)
    try:
        echo(f"time: {measure_pace(plan, device).describe(plan)}")
    except NirgenError as error:
        echo(f"time: unknown, for the detector can't be tried: {error}")


def _print_comparison(found: Comparison, out: Path) -> None:
    from nirgen.detect.page import PAGE
    from nirgen.detect.report import CAVEAT, FILES, answers, notes_on, sentence, table

    headings, rows = table(found)
    show(headings, ([[(cell.replace(" (", "\n("), "")] for cell in row] for row in rows))
    echo()
    for note in (*notes_on(found), CAVEAT):
        echo(f"note: {note}")
    told, *others = answers(found)
    for line in (sentence(found), *others):
        echo(line)
    last = out / "runs" / found.reference.arm.name / f"seed{found.config.seeds[0]}"
    conclude(told, wrote=[out / name for name in (PAGE, *FILES)], then=("detect", "predict", last, "IMAGES", "OUT"))
