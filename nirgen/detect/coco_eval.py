"""COCO average precision: matches by pycocotools, and AP over bootstrap draws of images.

COCOeval goes over detections by falling score and sums up which of them were found. Precision at a recall level is the
best one reached at that recall or a higher one, and improves at found detections only. So it is enough to know, at each
found detection, how many were found and how many counted up to it. Both are sums over images, weighted by how often an
image was drawn.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nirgen.detect.config import BootstrapConfig
    from nirgen.detect.data import Truth


AREAS = ("all", "small", "medium", "large")
"""Of boxes: below 32² square pixels small, from 96² on large, as COCO has it."""
THRESHOLDS = tuple(float(value) for value in np.linspace(0.5, 0.95, 10))
"""Of the overlap (IoU) from which on a detection counts as found: 0.5, 0.55... 0.95."""
MOST_DETECTIONS = 100
"""Of an image and class that are judged, those of the highest scores."""


@dataclass(frozen=True, slots=True)
class Matched:
    """The detections of one class, and of one range of areas, over all images, by falling score.

    D is detections, T thresholds of overlap, N images.

    Attributes:
        image: (D,) the position of the image that each is on.
        found: (T, D) whether it is an object's.
        counted: (T, D) whether it counts at all: not if it is a region's to ignore, or of another size.
        objects: (N,) how many objects of that class and size are on each image.
    """

    image: NDArray[np.intp]
    found: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    objects: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matches:
    """What came of all detections.

    Attributes:
        images: How many images there are.
        parts: By class and by `AREAS`.
        precision: (T, 101, K, A) of COCOeval: at 101 levels of recall; -1 where a class has no object of that size.
        recall: (T, K, A) of COCOeval; -1 likewise.
        library: What matched, and its version.
    """

    images: int
    parts: tuple[tuple[Matched, ...], ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    library: str


def match(truth: Truth, results: Sequence[Result]) -> Matches:
    """Match detections with objects, the surest first.

    Args:
        truth: What is on the images; regions to ignore are those of `iscrowd`.
        results: Detections on any of these images; others are left aside.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        judge = _judge("pycocotools", truth, results)
        judge.evaluate()
        judge.accumulate()
    images = len(truth.entries)
    places = np.argsort([entry.image.id for entry in truth.entries]).tolist()  # COCOeval goes by rising ids
    table = iter(judge.evalImgs)

    def of_images() -> list[dict[str, Any] | None]:
        found: list[dict[str, Any] | None] = [None] * images
        for place in places:
            found[place] = next(table)
        return found

    parts = tuple(tuple(_join(of_images()) for _ in AREAS) for _ in range(len(truth.categories)))
    precision, recall = judge.eval["precision"][..., 0], judge.eval["recall"][..., 0]
    return Matches(images, parts, precision, recall, f"pycocotools {version('pycocotools')}")


def numbers_only(truth: Truth, results: Sequence[Result]) -> Matches:
    """As `match`, but without the parts, which only intervals need; by faster-coco-eval where it is installed."""
    if find_spec("faster_coco_eval") is None:
        return match(truth, results)
    judge = _judge("faster_coco_eval", truth, results)
    judge.evaluate()
    judge.accumulate()
    precision, recall = (np.asarray(judge.eval[name])[..., 0] for name in ("precision", "recall"))
    return Matches(len(truth.entries), (), precision, recall, f"faster-coco-eval {_version('faster-coco-eval')}")


def _judge(library: str, truth: Truth, results: Sequence[Result]) -> Any:
    """COCOeval of a library, set up as for COCO's own numbers of boxes."""
    if library == "faster_coco_eval":
        faster = import_module("faster_coco_eval")
        coco = _as_coco(faster.COCO, truth, _objects(truth))
        judge = faster.COCOeval_faster(coco, None, "bbox", print_function=_silent)
        judge.cocoDt = _as_coco(faster.COCO, truth, _detections(truth, results))
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        judge = COCOeval(
            _as_coco(COCO, truth, _objects(truth)), _as_coco(COCO, truth, _detections(truth, results)), "bbox"
        )
    judge.params.imgIds = [entry.image.id for entry in truth.entries]
    judge.params.catIds = [category.id for category in truth.categories]
    judge.params.maxDets = [MOST_DETECTIONS]
    return judge


def _silent(*_texts: object) -> None:
    """Print nothing."""


def _as_coco(kind: Any, truth: Truth, annotations: Iterator[dict[str, Any]]) -> Any:
    """A `COCO` of either library."""
    coco = kind()
    coco.dataset = {
        "images": [
            {"id": entry.image.id, "width": entry.image.width, "height": entry.image.height} for entry in truth.entries
        ],
        "categories": [{"id": category.id, "name": category.name} for category in truth.categories],
        "annotations": list(annotations),
    }
    coco.createIndex()
    return coco


def _objects(truth: Truth) -> Iterator[dict[str, Any]]:
    ids = {category.name: category.id for category in truth.categories}
    numbers = count(1)  # COCOeval takes an object of the id 0 for none
    for entry in truth.entries:
        for box in entry.boxes:
            yield {
                "id": next(numbers),
                "image_id": entry.image.id,
                "category_id": ids[box.category],
                "bbox": list(box.bbox),
                "area": box.area,
                "iscrowd": int(box.iscrowd),
            }


def _detections(truth: Truth, results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    judged = {entry.image.id for entry in truth.entries}
    for number, result in enumerate(results, start=1):
        if result.image_id in judged:
            yield result._asdict() | {
                "id": number,
                "bbox": list(result.bbox),
                "area": result.bbox[2] * result.bbox[3],
                "iscrowd": 0,
            }


def _join(found: Sequence[dict[str, Any] | None]) -> Matched:
    """What COCOeval found on each image, as one list by falling score; equal scores stay in the order of the images."""
    objects = np.zeros(len(found), np.int64)
    scores, images, hits, ignored = [np.empty(0)], [np.empty(0, np.intp)], [_NONE], [_NONE]
    for position, one in enumerate(found):
        if one is None:
            continue
        objects[position] = len(one["gtIgnore"]) - np.count_nonzero(one["gtIgnore"])
        scores.append(np.asarray(one["dtScores"], np.float64))
        images.append(np.full(len(one["dtScores"]), position, np.intp))
        hits.append(one["dtMatches"] > 0)
        ignored.append(one["dtIgnore"].astype(bool))
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    counted = ~np.concatenate(ignored, axis=1)[:, order]
    return Matched(np.concatenate(images)[order], np.concatenate(hits, axis=1)[:, order] & counted, counted, objects)


_NONE = np.zeros((len(THRESHOLDS), 0), bool)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


RECALLS = np.linspace(0.0, 1.0, 101)
_BLOCK = 100_000
"""Numbers of an array that is worked on: few enough to stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Precisions:
    """Average precision and recall of many draws.

    R is draws, K classes, A `AREAS`, T `THRESHOLDS`; NaN where a draw has no object of that class and size.

    Attributes:
        average: (R, K, A, T) mean of precision over the levels of recall.
        recall: (R, K, A, T) share of objects that were found.
    """

    average: NDArray[np.float64]
    recall: NDArray[np.float64]

    def numbers(self, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
        """COCO's numbers, each (R,), NaN where a draw has none; those of single classes are called `ap/NAME`.

        Args:
            names: Of the K classes.
        """
        everywhere = self.average[:, :, 0]
        found = {
            "ap": _mean(everywhere),
            "ap50": _mean(everywhere[..., 0]),
            "ap75": _mean(everywhere[..., _AT_75]),
            **{f"ap_{area}": _mean(self.average[:, :, place]) for place, area in enumerate(AREAS) if area != "all"},
            "ar100": _mean(self.recall[:, :, 0]),
        }
        return found | {f"ap/{name}": _mean(everywhere[:, place]) for place, name in enumerate(names)}


_AT_75 = THRESHOLDS.index(0.75)


def official(matches: Matches) -> Precisions:
    """COCOeval's own numbers, as one draw."""
    average = np.where(matches.precision > -1, matches.precision, np.nan).mean(axis=1)
    recall = np.where(matches.recall > -1, matches.recall, np.nan)
    return Precisions(*(np.transpose(values, (1, 2, 0))[np.newaxis] for values in (average, recall)))


def precisions(matches: Matches, drawn: NDArray[np.integer]) -> Precisions:
    """Average precision where images count as often as they were drawn.

    Args:
        matches: What came of all detections.
        drawn: (R, N) how often each image was drawn.
    """
    shape = (len(drawn), len(matches.parts), len(AREAS), len(THRESHOLDS))
    average, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, of_class in enumerate(matches.parts):
        for a, part in enumerate(of_class):
            for t in range(len(THRESHOLDS)):
                steps = _Steps.of(part, t)
                rows = max(16, _BLOCK // max(1, len(steps.image), matches.images))
                for first in range(0, len(drawn), rows):
                    block = slice(first, first + rows)
                    weights = np.ascontiguousarray(drawn[block].T, np.float64)
                    average[block, k, a, t], recall[block, k, a, t] = steps.average(weights, part.objects)
    return Precisions(average, recall)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The found detections of a part at one threshold, P of them by falling score.

    Attributes:
        image: (P,) the image that each is on.
        counted: (P, N) how many detections of each image count from the step before, up to this one.
    """

    image: NDArray[np.intp]
    counted: sparse.csr_array

    @classmethod
    def of(cls, part: Matched, threshold: int) -> _Steps:
        counted = part.counted[threshold]
        image, found = part.image[counted], part.found[threshold][counted]
        step = np.cumsum(found) - found
        steps = int(found.sum())
        before_last = step < steps
        cells = (step[before_last], image[before_last])
        ones = np.ones(int(before_last.sum()))
        return cls(image[found], sparse.csr_array((ones, cells), shape=(steps, len(part.objects))))

    def average(
        self, weights: NDArray[np.float64], objects: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Average precision and recall of R draws, each (R,).

        Args:
            weights: (N, R) how often each image counts.
            objects: (N,) how many objects are on each.
        """
        total = objects @ weights
        there = total > 0
        if not len(self.image):
            nothing = np.where(there, 0.0, np.nan)
            return nothing, nothing
        found = np.cumsum(weights[self.image], axis=0)
        precision = found / (np.cumsum(self.counted @ weights, axis=0) + np.spacing(1))
        best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        average = _sample(found.T, best.T, total).mean(axis=1)
        with np.errstate(invalid="ignore"):
            return np.where(there, average, np.nan), np.where(there, found[-1] / total, np.nan)


def _sample(found: NDArray[np.float64], best: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Precision at the levels of recall, (R, 101): 0 beyond the highest recall.

    Args:
        found: (R, P) objects found up to each step.
        best: (R, P) the best precision from each step on.
        total: (R,) objects.
    """
    rows, steps = found.shape
    wanted = _least(total)
    apart = (np.arange(rows) * (total.max() + 2))[:, np.newaxis]  # makes one rising list of all rows
    place = np.searchsorted((found + apart).ravel(), (wanted + apart).ravel()).reshape(wanted.shape)
    place -= np.arange(rows)[:, np.newaxis] * steps
    reached = place < steps
    return np.where(reached, np.take_along_axis(best, np.where(reached, place, 0), axis=1), 0.0)


def _least(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least number of found objects whose share of `total` is each level of recall or more, (R, 101).

    The share is compared as COCOeval does it, after rounding: 29 of 100 reach the level 0.29, though 0.29 times 100 is
    29 or more only by chance.
    """
    near = np.rint(RECALLS * total[:, np.newaxis])
    share = np.maximum(total, 1)[:, np.newaxis]
    below = np.where((near - 1) / share >= RECALLS, near - 1, near)
    return np.where(below / share >= RECALLS, below, below + 1)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over all but the first axis, of what is there."""
    flat = values.reshape(len(values), -1)
    there = ~np.isnan(flat)
    count = there.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, np.where(there, flat, 0).sum(axis=1) / count, np.nan)


_ROWS = 256


def draw(groups: Sequence[str], config: BootstrapConfig) -> NDArray[np.int32]:
    """Draw images.

    Args:
        groups: For each of N images what is drawn with it: a name of its own, or its recording.
        config: How often, and the seed.

    Returns:
        (R, N) how often each draw has each image; no draws of fewer than two groups, for then nothing varies.

    Example:
        >>> draw(["a", "a", "b"], BootstrapConfig(resamples=3)).tolist()
        [[1, 1, 1], [1, 1, 1], [0, 0, 2]]
    """
    numbers = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(numbers.max()) + 1
    if count < 2:
        return np.empty((0, len(groups)), np.int32)
    random = np.random.default_rng(config.seed)
    drawn = np.empty((config.resamples, len(groups)), np.int32)
    for first in range(0, config.resamples, _ROWS):
        rows = min(_ROWS, config.resamples - first)
        drawn[first : first + rows] = random.multinomial(count, np.full(count, 1 / count), size=rows)[:, numbers]
    return drawn


class Result(NamedTuple):
    """A detection.

    Attributes:
        image_id: Of the image in the split's COCO file.
        category_id: Of the dataset.
        bbox: COCO xywh in pixels of the image as stored.
        score: The higher, the surer.
    """

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    score: float
