"""Detections matched with what is on the images, by pycocotools: once, whatever is computed from it afterwards."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nirgen.detect.results import Result
    from nirgen.detect.truth import Truth

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
