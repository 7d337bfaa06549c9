"""Detection metrics of a split with intervals, and COCO result files."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nirgen import images
from nirgen._version import __version__
from nirgen.detect.coco_eval import MOST_DETECTIONS, Result, draw, match, numbers_only, official, precisions
from nirgen.errors import NirgenError
from nirgen.files import output_file
from nirgen.stats import Estimate, estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nirgen.detect.config import BootstrapConfig
    from nirgen.detect.data import Truth
    from nirgen.detect.detector import Detector


def read_results(path: Path, truth: Truth) -> tuple[list[Result], str]:
    """Read detections that were made elsewhere.

    Args:
        path: A JSON list of objects with `image_id`, `category_id`, `bbox`, `score`; other keys are left aside.
        truth: The images that they are of.

    Returns:
        The detections in their order, without those on images of the split that are left out; and the sha256 of the
        file.

    Raises:
        NirgenError: It isn't such a list, or has an image or a category that the split doesn't have, or a box or a
            score that is no number.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a file of COCO results") from None
    try:
        values = json.loads(data)  # unlike msgspec it reads NaN, so that its place can be named
    except ValueError as error:
        raise NirgenError(f"{path}: no JSON ({error}); write COCO results, a list of detections") from None
    if not isinstance(values, list):
        what = "has 'annotations', so it is a COCO file of labels" if _is_coco(values) else f"a {type(values).__name__}"
        raise NirgenError(f"{path}: no list but {what}; write COCO results, a list of detections with their scores")
    images = {entry.image.id for entry in truth.entries}
    categories = {category.id: category.name for category in truth.categories}
    results = []
    for number, value in enumerate(values):
        where = f"{path}: detection {number}"
        result = _read_one(value, where)
        if result.image_id not in images and result.image_id not in truth.left_out:
            raise NirgenError(
                f"{where} is on image {result.image_id}, which the split '{truth.split}' doesn't have; detect on the "
                f"images of {truth.folder.name}/annotations/{truth.split}.json, by their ids"
            )
        if result.category_id not in categories:
            known = ", ".join(f"{key} {name}" for key, name in categories.items())
            raise NirgenError(
                f"{where} is of category {result.category_id}, which the dataset doesn't have (it has {known}); map "
                "the detector's classes to these ids"
            )
        if result.image_id in images:
            results.append(result)
    return results, hashlib.sha256(data).hexdigest()


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write detections as COCO results, in their order.

    Args:
        path: The file; its folders are made.
        results: Boxes are rounded to 3 decimals, scores to 8.

    Raises:
        OutputError: It can't be written.
    """
    lines = [
        msgspec.json.encode(
            {
                "image_id": result.image_id,
                "category_id": result.category_id,
                "bbox": result.bbox,
                "score": result.score,
            }
        )
        for result in map(rounded, results)
    ]
    with output_file(path) as temporary:
        temporary.write_bytes(b"[" + b",\n".join(lines) + b"]\n")


def rounded(result: Result) -> Result:
    """A detection as it stands in a file: what is judged is what is written.

    Example:
        >>> rounded(Result(1, 3, (0.12345, 2.0, 3.0, 4.0), 0.123456789))
        Result(image_id=1, category_id=3, bbox=(0.123, 2.0, 3.0, 4.0), score=0.12345679)
    """
    x, y, width, height = (round(value, 3) for value in result.bbox)
    return result._replace(bbox=(x, y, width, height), score=round(result.score, 8))


def _is_coco(value: Any) -> bool:
    return isinstance(value, dict) and "annotations" in value


def _read_one(value: Any, where: str) -> Result:
    try:
        image_id, category_id, bbox, score = (value[key] for key in Result._fields)
        box = tuple(float(side) for side in bbox)
        if not all(_is_whole(number) for number in (image_id, category_id)) or len(box) != 4:
            raise TypeError
        number = float(score)
    except (KeyError, TypeError, ValueError, IndexError):
        raise NirgenError(
            f"{where} isn't one ({str(value)[:80]}); it needs image_id, category_id, bbox and score"
        ) from None
    if not math.isfinite(number):
        raise NirgenError(f"{where} has the score {number}; a score is a finite number")
    if not all(map(math.isfinite, box)) or box[2] < 0 or box[3] < 0:
        raise NirgenError(f"{where} has the box {list(box)}; x, y, width and height are finite, and sizes not negative")
    return Result(int(image_id), int(category_id), box, number)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)


SCHEMA = 1
METRICS = "metrics.json"
DETECTIONS = "detections.json"
TITLES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar100": "AR100",
}
"""What tables call COCO's numbers."""
_BATCH = 8


@dataclass(frozen=True)
class Evaluation:
    """What came of judging a detector.

    Attributes:
        truth: The images.
        results: What it found on them.
        judged: What was judged: `model`, `model_id` and `size`, or `detections_sha256`.
        settings: Of the intervals.
        library: What computed the numbers, with its version.
        numbers: By the names of `TITLES`, and `ap/CLASS` of single classes.
    """

    truth: Truth
    results: tuple[Result, ...]
    judged: Mapping[str, str | int]
    settings: BootstrapConfig
    library: str
    numbers: dict[str, Estimate]

    @property
    def objects(self) -> dict[str, int]:
        """How many objects of each class there are to find; regions to ignore aren't counted."""
        boxes = [box.category for entry in self.truth.entries for box in entry.boxes if not box.iscrowd]
        return {name: boxes.count(name) for name in self.truth.names}

    def notes(self) -> list[str]:
        """What is to be known of the numbers."""
        found = []
        if self.truth.generated:
            found.append(
                f"{self.truth.generated} of {len(self.truth.entries)} images are generated; what a detector does on "
                "real ones they don't tell"
            )
        if self.truth.unlabelled:
            found.append(
                f"{self.truth.unlabelled} images of the split are left out, for nobody has labelled them: what is on "
                "them is unknown"
            )
        groups = len(set(self.truth.groups(self.settings.draw)))
        if self.settings.resamples and groups < 2:
            found.append(f"no intervals: there is one of the {self.settings.draw} that the bootstrap draws")
        elif self.settings.resamples and groups < 10:
            found.append(f"intervals of {groups} {self.settings.draw} are rough, and rather too narrow")
        missing = [name for name, count in self.objects.items() if not count]
        if missing:
            found.append(f"no {' and no '.join(missing)} is on these images, so AP is over the other classes")
        return found


def detect(detector: Detector, truth: Truth, progress: Callable[[int, int], None] | None = None) -> list[Result]:
    """Find what is on the images of a split.

    Args:
        detector: Its names are the dataset's categories, in their order.
        truth: The images; their boxes aren't looked at.
        progress: Told how many images are done, of how many.

    Returns:
        The detections, as they are written in files.

    Raises:
        ImageError: An image can't be read.
    """
    ids = [category.id for category in truth.categories]
    paths = truth.paths()
    found: list[Result] = []
    for first in range(0, len(paths), _BATCH):
        part = slice(first, first + _BATCH)
        pictures = [images.read(path) for path in paths[part]]
        for entry, detections in zip(truth.entries[part], detector.predict(pictures), strict=True):
            for box, score, category in zip(
                detections.boxes.tolist(), detections.scores.tolist(), detections.categories.tolist(), strict=True
            ):
                found.append(rounded(Result(entry.image.id, ids[category], tuple(box), score)))
        if progress is not None:
            progress(min(first + _BATCH, len(paths)), len(paths))
    return found


def evaluate(
    truth: Truth, results: Sequence[Result], settings: BootstrapConfig, judged: Mapping[str, str | int]
) -> Evaluation:
    """Judge detections.

    Args:
        truth: What is on the images.
        results: What was found on them.
        settings: Of the intervals.
        judged: What found it.
    """
    drawn = draw(truth.groups(settings.draw), settings)
    matches = match(truth, results) if len(drawn) else numbers_only(truth, results)
    values = official(matches).numbers(truth.names)
    draws = precisions(matches, drawn).numbers(truth.names) if len(drawn) else dict.fromkeys(values, np.empty(0))
    numbers = {name: estimate(float(value[0]), draws[name]) for name, value in values.items()}
    return Evaluation(truth, tuple(results), judged, settings, matches.library, numbers)


def refuse_trained_on(truth: Truth, about: Mapping[str, Any] | None, name: str) -> None:
    """Refuse a detector that was trained on the split that is to judge it.

    Args:
        truth: The images.
        about: What `read_about` says of the detector.
        name: What errors call it.

    Raises:
        NirgenError: It was.
    """
    dataset = (about or {}).get("dataset")
    if isinstance(dataset, dict) and (dataset.get("sha256"), dataset.get("split")) == (
        truth.dataset_sha256,
        truth.split,
    ):
        raise NirgenError(
            f"{name}: was trained on the split '{truth.split}' of this dataset; judge it on another split"
        )


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """What `metrics.json` holds (docs/detect.md)."""
    truth, objects = evaluation.truth, evaluation.objects
    return {
        "schema": SCHEMA,
        "nirgen": __version__,
        "judged": dict(evaluation.judged),
        "dataset_sha256": truth.dataset_sha256,
        "split": truth.split,
        "images": {
            "count": len(truth.entries),
            "generated": truth.generated,
            "unlabelled": truth.unlabelled,
            "empty": sum(not any(not box.iscrowd for box in entry.boxes) for entry in truth.entries),
        },
        "ignored_regions": sum(box.iscrowd for entry in truth.entries for box in entry.boxes),
        "detections": len(evaluation.results),
        "library": evaluation.library,
        "most_detections": MOST_DETECTIONS,
        "bootstrap": evaluation.settings.model_dump(mode="json"),
        "numbers": {name: evaluation.numbers[name].as_dict() for name in TITLES},
        "classes": {
            name: {"objects": objects[name], "ap": evaluation.numbers[f"ap/{name}"].as_dict()} for name in truth.names
        },
        "notes": evaluation.notes(),
    }


def write(evaluation: Evaluation, out: Path) -> None:
    """Write `detections.json`, then `metrics.json`; those of an earlier evaluation are replaced.

    Args:
        evaluation: What came of judging.
        out: The folder; it is made.

    Raises:
        OutputError: A file can't be written.
    """
    write_results(out / DETECTIONS, evaluation.results)
    with output_file(out / METRICS) as temporary:
        temporary.write_text(json.dumps(as_dict(evaluation), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
