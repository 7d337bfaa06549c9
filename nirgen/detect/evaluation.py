"""How well a detector finds what is on the images of a split: COCO's numbers, with intervals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen import __version__, images
from nirgen.detect.average_precision import official, precisions
from nirgen.detect.bootstrap import Estimate, draw, estimate
from nirgen.detect.matching import MOST_DETECTIONS, match, numbers_only
from nirgen.detect.results import Result, rounded, write_results
from nirgen.errors import NirgenError
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nirgen.detect.bootstrap import BootstrapConfig
    from nirgen.detect.detector import Detector
    from nirgen.detect.truth import Truth

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
