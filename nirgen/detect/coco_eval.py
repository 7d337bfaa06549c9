"""COCO average precision: matches by pycocotools, and AP over bootstrap draws of images.

COCOeval goes over detections by falling score and counts the found ones. Precision at a recall level is the best one at
that recall or a higher one, and rises at found detections only. So it is enough to know, at each found detection, how
many were found and how many counted up to it: sums over images, weighted by how often an image was drawn.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nirgen.detect.data import Split


AREAS = ("all", "small", "medium", "large")  # of boxes: below 32² square pixels small, from 96² on large
THRESHOLDS = tuple(float(value) for value in np.linspace(0.5, 0.95, 10))  # overlaps (IoU): 0.5, 0.55... 0.95
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_DETECTIONS = 100  # of an image and class that count, those of the highest scores

_AT_75 = THRESHOLDS.index(0.75)
_NONE = np.zeros((len(THRESHOLDS), 0), bool)
_BLOCK = 100_000  # numbers of an array that stays in a processor's cache


class Result(NamedTuple):
    """A detection."""

    image_id: int  # of the split's COCO file
    category_id: int  # of the dataset
    bbox: tuple[float, float, float, float]  # COCO xywh in pixels of the image as stored
    score: float


@dataclass(frozen=True, slots=True)
class Matched:
    """The detections of a class and a range of areas over all N images, by falling score: D of them."""

    image: NDArray[np.intp]  # (D,) position of its image
    score: NDArray[np.float64]  # (D,)
    found: NDArray[np.bool_]  # (T, D) matched with an object, by `THRESHOLDS`
    counted: NDArray[np.bool_]  # (T, D) False in regions to ignore and for other sizes
    objects: NDArray[np.int64]  # (N,) objects of that class and size on each image


@dataclass(frozen=True, slots=True)
class Matches:
    """Matches of detections with objects; COCOeval's numbers are -1 for a class without an object of that size."""

    parts: tuple[tuple[Matched, ...], ...]  # by class and by `AREAS`
    precision: NDArray[np.float64]  # (T, 101, K, A) of COCOeval, at `RECALLS`
    recall: NDArray[np.float64]  # (T, K, A) of COCOeval
    library: str  # name and version


def match(split: Split, results: Sequence[Result]) -> Matches:
    """Match detections with objects by pycocotools, those of the highest scores first, on the images of the split."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        judge: Any = COCOeval(_as_coco(split, _objects(split)), _as_coco(split, _detections(split, results)), "bbox")
        judge.params.imgIds = list(split.ids)
        judge.params.catIds = [category.id for category in split.categories]
        judge.params.maxDets = [MOST_DETECTIONS]
        judge.evaluate()
        judge.accumulate()
    found = np.array(judge.evalImgs, object).reshape(len(split.categories), len(AREAS), len(split.images))
    found = found[..., np.argsort(np.argsort(split.ids))]  # COCOeval sorts images by id
    parts = tuple(tuple(map(_join, of_class)) for of_class in found)
    precision, recall = judge.eval["precision"][..., 0], judge.eval["recall"][..., 0]
    return Matches(parts, precision, recall, f"pycocotools {version('pycocotools')}")


def _as_coco(split: Split, annotations: Iterator[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    coco: Any = COCO()
    coco.dataset = {
        "images": [{"id": image.id, "width": image.width, "height": image.height} for image in split.images],
        "categories": [{"id": category.id, "name": category.name} for category in split.categories],
        "annotations": list(annotations),
    }
    coco.createIndex()
    return coco


def _objects(split: Split) -> Iterator[dict[str, Any]]:
    ids = {category.name: category.id for category in split.categories}
    numbers = count(1)  # COCOeval takes the id 0 for no object
    for image in split.images:
        for box in image.boxes:
            about = {"id": next(numbers), "image_id": image.id, "category_id": ids[box.category]}
            yield about | {"bbox": list(box.bbox), "area": box.area, "iscrowd": int(box.ignored)}


def _detections(split: Split, results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    judged = set(split.ids)
    for number, result in enumerate(results, start=1):
        if result.image_id in judged:
            area = result.bbox[2] * result.bbox[3]
            yield result._asdict() | {"id": number, "bbox": list(result.bbox), "area": area, "iscrowd": 0}


def _join(found: Sequence[dict[str, Any] | None]) -> Matched:
    """Join COCOeval's results of all images by falling score; equal scores stay in the order of the images."""
    there = [(position, one) for position, one in enumerate(found) if one is not None]
    objects = np.zeros(len(found), np.int64)
    for position, one in there:
        objects[position] = len(one["gtIgnore"]) - np.count_nonzero(one["gtIgnore"])
    images = [np.full(len(one["dtScores"]), position, np.intp) for position, one in there]
    image = np.concatenate([np.empty(0, np.intp), *images])
    scores = np.concatenate([np.empty(0), *(one["dtScores"] for _, one in there)])
    hits = np.concatenate([_NONE, *(one["dtMatches"] > 0 for _, one in there)], axis=1)
    ignored = np.concatenate([_NONE, *(one["dtIgnore"].astype(bool) for _, one in there)], axis=1)
    order = np.argsort(-scores, kind="mergesort")
    counted = ~ignored[:, order]
    return Matched(image[order], scores[order], hits[:, order] & counted, counted, objects)


@dataclass(frozen=True, slots=True)
class Precisions:
    """Average precision and recall of R draws; NaN for a class without an object of that size in the draw."""

    average: NDArray[np.float64]  # (R, K, A, T) mean of precision over `RECALLS`
    recall: NDArray[np.float64]  # (R, K, A, T) share of objects that were found

    def numbers(self, names: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
        """Return COCO's numbers by name, (R,) each; AP of single classes, whose `names` are given, is `ap/NAME`."""
        everywhere = self.average[:, :, 0]
        found = {
            "ap": _mean(everywhere),
            "ap50": _mean(everywhere[..., 0]),
            "ap75": _mean(everywhere[..., _AT_75]),
            **{f"ap_{area}": _mean(self.average[:, :, place]) for place, area in enumerate(AREAS) if area != "all"},
            "ar100": _mean(self.recall[:, :, 0]),
        }
        return found | {f"ap/{name}": _mean(everywhere[:, place]) for place, name in enumerate(names)}


def official(matches: Matches) -> Precisions:
    """Return COCOeval's own numbers, as one draw."""
    average = np.where(matches.precision > -1, matches.precision, np.nan).mean(axis=1)
    recall = np.where(matches.recall > -1, matches.recall, np.nan)
    return Precisions(*(np.transpose(values, (1, 2, 0))[np.newaxis] for values in (average, recall)))


def precisions(matches: Matches, drawn: NDArray[np.integer]) -> Precisions:
    """Return average precision over bootstrap draws of the images, (R, N): how often each image was drawn."""
    shape = (len(drawn), len(matches.parts), len(AREAS), len(THRESHOLDS))
    average, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    for k, a, t in np.ndindex(shape[1:]):
        part = matches.parts[k][a]
        image, counted = _steps(part, t)
        rows = max(16, _BLOCK // max(1, len(image), drawn.shape[1]))
        for first in range(0, len(drawn), rows):
            block = slice(first, first + rows)
            weights = np.ascontiguousarray(drawn[block].T, np.float64)
            average[block, k, a, t], recall[block, k, a, t] = _average(image, counted, weights, part.objects)
    return Precisions(average, recall)


def _steps(part: Matched, threshold: int) -> tuple[NDArray[np.intp], sparse.csr_array]:
    """Return the P found detections of a part, by falling score: positions of their images (P,), and counts (P, N).

    Counted are each image's detections that count, after the step before up to this one.
    """
    counted = part.counted[threshold]
    image, found = part.image[counted], part.found[threshold][counted]
    step = np.cumsum(found) - found
    steps = int(found.sum())
    before_last = step < steps
    cells = (step[before_last], image[before_last])
    ones = np.ones(int(before_last.sum()))
    return image[found], sparse.csr_array((ones, cells), shape=(steps, len(part.objects)))


def _average(
    image: NDArray[np.intp], counted: sparse.csr_array, weights: NDArray[np.float64], objects: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return average precision and recall of R draws, (R,) each, from `_steps`.

    `weights` are (N, R), how often each image was drawn; `objects` (N,), those on each image.
    """
    total = objects @ weights
    there = total > 0
    if not len(image):
        nothing = np.where(there, 0.0, np.nan)
        return nothing, nothing
    found = np.cumsum(weights[image], axis=0)
    precision = found / (np.cumsum(counted @ weights, axis=0) + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    average = _sample(found.T, best.T, total).mean(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(there, average, np.nan), np.where(there, found[-1] / total, np.nan)


def _sample(found: NDArray[np.float64], best: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return precision at `RECALLS`, (R, 101): 0 beyond the highest recall.

    `found` are (R, P) objects found up to each step, `best` the best precision from it on, `total` (R,) all objects.
    """
    rows, steps = found.shape
    wanted = _least(total)
    apart = (np.arange(rows) * (total.max() + 2))[:, np.newaxis]  # offsets make one rising list of all rows
    place = np.searchsorted((found + apart).ravel(), (wanted + apart).ravel()).reshape(wanted.shape)
    place -= np.arange(rows)[:, np.newaxis] * steps
    reached = place < steps
    return np.where(reached, np.take_along_axis(best, np.where(reached, place, 0), axis=1), 0.0)


def _least(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least number of found objects whose share of `total` reaches each of `RECALLS`, (R, 101).

    The rounded share is compared, as in COCOeval: 29 of 100 reach 0.29, whichever way 0.29 * 100 is rounded.
    """
    near = np.rint(RECALLS * total[:, np.newaxis])
    share = np.maximum(total, 1)[:, np.newaxis]
    below = np.where((near - 1) / share >= RECALLS, near - 1, near)
    return np.where(below / share >= RECALLS, below, below + 1)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over all but the first axis without NaN; NaN if nothing is left."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    with warnings.catch_warnings(action="ignore"):  # of rows of NaN alone
        mean: NDArray[np.float64] = np.nanmean(flat, axis=1)
    return mean
