"""Evaluation of a detector on a split: COCO's numbers with intervals, and files of COCO results."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from nirgen import images
from nirgen._version import __version__
from nirgen.detect.coco_eval import MOST_DETECTIONS, Result, match, official, precisions
from nirgen.detect.config import BootstrapConfig
from nirgen.detect.data import read_split
from nirgen.errors import NirgenError
from nirgen.files import output_file, read_bytes, seal, sha256_of
from nirgen.progress import in_batches
from nirgen.stats import Estimate, draw_images, estimate, note_on_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nirgen.detect.coco_eval import Matches
    from nirgen.detect.data import Split
    from nirgen.detect.detector import Detector
    from nirgen.progress import Progress


SCHEMA = 1
METRICS = "metrics.json"
DETECTIONS = "detections.json"
PICTURES = ("predictions.png", "precision_recall.png", "confusion_matrix.png")
FILES = (METRICS, DETECTIONS, *PICTURES)
TITLES = {
    "ap": "AP", "ap50": "AP50", "ap75": "AP75",
    "ap_small": "AP small", "ap_medium": "AP medium", "ap_large": "AP large", "ar100": "AR100",
}  # fmt: skip
_BATCH = 8


@dataclass(frozen=True)
class Evaluation:
    """The numbers of a detector on a split."""

    split: Split
    results: tuple[Result, ...]
    judged: Mapping[str, str | int]  # `model`, `model_id` and `size`, or `detections_sha256`
    settings: BootstrapConfig
    matches: Matches
    numbers: dict[str, Estimate]  # by the names of `TITLES`; AP of a class is `ap/CLASS`

    @property
    def library(self) -> str:
        """Name and version of what matched the detections."""
        return self.matches.library

    @property
    def objects(self) -> dict[str, int]:
        """Number of objects of each class, without regions to ignore."""
        boxes = Counter(box.category for image in self.split.images for box in image.boxes if not box.ignored)
        return {name: boxes[name] for name in self.split.names}

    def notes(self) -> list[str]:
        """Return the caveats on the numbers."""
        split, draw = self.split, self.settings.draw
        groups = len(set(split.groups(draw)))
        missing = " and no ".join(name for name, count in self.objects.items() if not count)
        generated = f"{split.generated} of {len(split.images)} images are generated"
        unlabelled = f"{split.unlabelled} images of the split are left out, for nobody has labelled them"
        found = [f"{generated}; what a detector does on real ones they don't tell"] if split.generated else []
        found += [f"{unlabelled}: what is on them is unknown"] if split.unlabelled else []
        if self.settings.resamples and groups < 2:
            found += [f"no intervals: there is one of the {draw} that the bootstrap draws"]
        elif self.settings.resamples:
            found += note_on_groups(groups, draw)
        return found + ([f"no {missing} is on these images, so AP is over the other classes"] if missing else [])


def evaluate(
    dataset: Path,
    model: str | None = None,
    *,
    detections: Path | None = None,
    split: Literal["test", "val"] = "test",
    real: bool = False,
    bootstrap: BootstrapConfig | None = None,
    device: str | None = None,
    size: int | None = None,
    out: Path | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Evaluation:
    """Evaluate a detector, or detections that another tool made, on a split of a dataset.

    Args:
        dataset: Output of `nirgen build-dataset`.
        model: A run of `nirgen detect train`, a hub id or a folder of transformers; or give `detections`.
        detections: A file of COCO results.
        split: `test` or `val`.
        real: Leave generated images out.
        bootstrap: Bootstrap of the intervals.
        device: `cpu`, `cuda`...; the best available one by default.
        size: Side that images are resized to, in pixels; the model's own by default.
        out: A folder to write `detections.json`, `metrics.json` and pictures to.
        progress: Progress callback.

    Raises:
        ConfigError: The detector doesn't know a category, or transformers isn't installed.
        NirgenError: The dataset or the detections can't be read, or the detector was trained on the split.
    """
    chosen = read_split(dataset, split)
    chosen = chosen.real() if real else chosen
    settings = bootstrap or BootstrapConfig()
    if detections is not None:
        results, sha256 = read_results(detections, chosen)
        found = score(chosen, results, settings, {"detections_sha256": sha256})
    elif model is not None:
        from nirgen.detect.detector import load_detector, read_about

        refuse_trained_on(chosen, read_about(model), model)
        detector = load_detector(model, categories=chosen.names, device=device, size=size)
        results = detect(detector, chosen, partial(progress, "detecting"))
        progress("judging", 0, None)
        shown = Path(model).resolve().name if Path(model).exists() else model
        found = score(chosen, results, settings, {"model": shown, "model_id": detector.id, "size": detector.size})
    else:
        raise NirgenError("nothing to evaluate: give a model, or detections")
    if out is not None:
        write(found, out)
    return found


def detect(detector: Detector, split: Split, progress: Callable[[int, int], None] | None = None) -> list[Result]:
    """Run a detector, whose names are the split's categories, on its images; detections are rounded as in files."""
    ids = [category.id for category in split.categories]
    found: list[Result] = []
    done = 0
    for pictures in in_batches(images.read, [image.path for image in split.images], _BATCH):
        image_ids = split.ids[done : done + len(pictures)]
        for image_id, on_it in zip(image_ids, detector.predict(pictures), strict=True):
            boxes = zip(on_it.categories.tolist(), on_it.boxes.tolist(), on_it.scores.tolist(), strict=True)
            found += [rounded(Result(image_id, ids[category], tuple(box), score)) for category, box, score in boxes]
        done += len(pictures)
        if progress is not None:
            progress(done, len(split.images))
    return found


def score(
    split: Split, results: Sequence[Result], settings: BootstrapConfig, judged: Mapping[str, str | int]
) -> Evaluation:
    """Compute COCO's numbers of detections; `judged` names the detector."""
    drawn = draw_images(split.groups(settings.draw), resamples=settings.resamples, seed=settings.seed)
    matches = match(split, results)
    values, draws = (each.numbers(split.names) for each in (official(matches), precisions(matches, drawn)))
    numbers = {name: estimate(float(value[0]), draws[name]) for name, value in values.items()}
    return Evaluation(split, tuple(results), judged, settings, matches, numbers)


def refuse_trained_on(split: Split, about: Mapping[str, Any] | None, name: str) -> None:
    """Raise a NirgenError for a detector that was trained on the split; `about` is its `nirgen.json`."""
    dataset = (about or {}).get("dataset")
    if isinstance(dataset, dict) and (dataset.get("sha256"), dataset.get("split")) == (split.sha256, split.name):
        raise NirgenError(f"{name}: was trained on the split '{split.name}' of this dataset; judge it on another split")


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return the values of `metrics.json` (docs/detect.md)."""
    split, objects = evaluation.split, evaluation.objects
    return {
        "schema": SCHEMA,
        "nirgen": __version__,
        "judged": dict(evaluation.judged),
        "dataset_sha256": split.sha256,
        "split": split.name,
        "images": {
            "count": len(split.images),
            "generated": split.generated,
            "unlabelled": split.unlabelled,
            "empty": sum(all(box.ignored for box in image.boxes) for image in split.images),
        },
        "ignored_regions": sum(box.ignored for image in split.images for box in image.boxes),
        "detections": len(evaluation.results),
        "library": evaluation.library,
        "most_detections": MOST_DETECTIONS,
        "bootstrap": evaluation.settings.model_dump(mode="json"),
        "numbers": {name: evaluation.numbers[name].as_dict() for name in TITLES},
        "classes": {
            name: {"objects": objects[name], "ap": evaluation.numbers[f"ap/{name}"].as_dict()} for name in split.names
        },
        "notes": evaluation.notes(),
    }


def write(evaluation: Evaluation, out: Path) -> None:
    """Write `detections.json`, the pictures, then `metrics.json`; those of an earlier evaluation are replaced."""
    from nirgen.detect.pictures import write_pictures

    write_results(out / DETECTIONS, evaluation.results)
    write_pictures(evaluation.split, evaluation.results, evaluation.matches, out)
    with output_file(out / METRICS) as temporary:
        values = seal(as_dict(evaluation) | {"detections_sha256": sha256_of(out / DETECTIONS)})
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_results(path: Path, split: Split) -> tuple[list[Result], str]:
    """Read a file of COCO results, a JSON list of objects with `image_id`, `category_id`, `bbox` and `score`.

    Return the detections in their order, without those on images that the split leaves out; and the file's sha256.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a file of COCO results") from None
    try:
        values = json.loads(data)  # unlike msgspec it reads NaN, so that its place can be named
    except ValueError as error:
        raise NirgenError(f"{path}: no JSON ({error}); write COCO results, a list of detections") from None
    if not isinstance(values, list):
        labels = isinstance(values, dict) and "annotations" in values
        what = "has 'annotations', so it is a COCO file of labels" if labels else f"a {type(values).__name__}"
        raise NirgenError(f"{path}: no list but {what}; write COCO results, a list of detections with their scores")
    ids = set(split.ids)
    categories = {category.id: category.name for category in split.categories}
    results: list[Result] = []
    for number, value in enumerate(values):
        where = f"{path}: detection {number}"
        result = _read_one(value, where)
        if result.image_id not in ids and result.image_id not in split.left_out:
            raise NirgenError(
                f"{where} is on image {result.image_id}, which the split '{split.name}' doesn't have; detect on the "
                f"images of {split.folder.name}/annotations/{split.name}.json, by their ids"
            )
        if result.category_id not in categories:
            known = ", ".join(f"{key} {name}" for key, name in categories.items())
            raise NirgenError(
                f"{where} is of category {result.category_id}, which the dataset doesn't have (it has {known}); map "
                "the detector's classes to these ids"
            )
        results += [result] if result.image_id in ids else []
    return results, hashlib.sha256(data).hexdigest()


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write detections as COCO results, in their order; boxes have 3 decimals, scores 8."""
    lines = [msgspec.json.encode(rounded(result)._asdict()) for result in results]
    with output_file(path) as temporary:
        temporary.write_bytes(b"[" + b",\n".join(lines) + b"]\n")


def rounded(result: Result) -> Result:
    """Return a detection as files have it, so that the numbers are those of the file.

    Example:
        >>> rounded(Result(1, 3, (0.12345, 2.0, 3.0, 4.0), 0.123456789))
        Result(image_id=1, category_id=3, bbox=(0.123, 2.0, 3.0, 4.0), score=0.12345679)
    """
    x, y, width, height = (round(value, 3) for value in result.bbox)
    return result._replace(bbox=(x, y, width, height), score=round(result.score, 8))


def _read_one(value: Any, where: str) -> Result:
    try:
        image_id, category_id, bbox, score = (value[key] for key in Result._fields)
        x, y, width, height = map(float, bbox)
        for number in (image_id, category_id):
            if not isinstance(number, int | float) or isinstance(number, bool) or number != int(number):
                raise TypeError
        found = Result(int(image_id), int(category_id), (x, y, width, height), float(score))
    except (KeyError, TypeError, ValueError, IndexError):
        raise NirgenError(
            f"{where} isn't one ({str(value)[:80]}); it needs image_id, category_id, bbox and score"
        ) from None
    if not math.isfinite(found.score):
        raise NirgenError(f"{where} has the score {found.score}; a score is a finite number")
    if not all(map(math.isfinite, found.bbox)) or min(width, height) < 0:
        box = list(found.bbox)
        raise NirgenError(f"{where} has the box {box}; x, y, width and height are finite, and sizes not negative")
    return found
