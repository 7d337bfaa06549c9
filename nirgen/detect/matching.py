"""Detections of one score and up, matched with the objects of each image: found, missed, confused and false ones.

Unlike COCO's AP, which goes over all scores and overlaps, pictures and the confusion matrix need one of each: the
overlap (IoU) 0.5, and the score at which F1 over all classes is highest. Detections are matched by falling score, first
with objects of their class, then with what is left of other classes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen.detect.data import learnable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nirgen.dataset.read import Box, Image
    from nirgen.detect.coco_eval import Matches, Result
    from nirgen.detect.data import Split


OVERLAP = 0.5  # least IoU of a detection with the object that it is matched with


@dataclass(frozen=True, slots=True)
class Detection:
    """A detection of a class on an image."""

    category: str
    bbox: tuple[float, float, float, float]  # COCO xywh in pixels of the image
    score: float


@dataclass(frozen=True, slots=True)
class Pair:
    """An object with the detection that was matched with it."""

    object: Box
    detection: Detection
    overlap: float  # IoU

    @property
    def right(self) -> bool:
        """True if the classes agree."""
        return self.object.category == self.detection.category


@dataclass(frozen=True, slots=True)
class OnImage:
    """Detections on an image, matched with its objects."""

    image: Image
    pairs: tuple[Pair, ...]
    missed: tuple[Box, ...]  # objects without a detection
    false: tuple[Detection, ...]  # detections without an object

    @property
    def hits(self) -> tuple[Pair, ...]:
        """The objects found with their class."""
        return tuple(pair for pair in self.pairs if pair.right)

    @property
    def confused(self) -> tuple[Pair, ...]:
        """The objects found as another class."""
        return tuple(pair for pair in self.pairs if not pair.right)

    @property
    def errors(self) -> int:
        """Number of objects missed or confused, and of false detections."""
        return len(self.missed) + len(self.false) + len(self.confused)

    @property
    def quality(self) -> float | None:
        """Panoptic quality of the boxes, in [0, 1]: the hits' mean overlap times F1; None if there is nothing to find.

        Kirillov et al., CVPR 2019. A confused object counts as missed, and its detection as false.
        """
        halves = len(self.hits) + (len(self.missed) + len(self.false)) / 2 + len(self.confused)
        return sum(pair.overlap for pair in self.hits) / halves if halves else None

    def describe(self) -> str:
        """Return the counts in a few words."""
        objects = len(self.pairs) + len(self.missed)
        parts = [f"{len(self.hits)} of {objects} found"]
        parts += [f"{len(self.confused)} confused"] if self.confused else []
        parts += [f"{len(self.false)} false"] if self.false else []
        return ", ".join(parts)


def operating_score(matches: Matches) -> float:
    """Return the score at which F1 over all classes is highest, at the overlap 0.5; 0.5 if nothing was found.

    Of several, the highest.
    """
    parts = [of_class[0] for of_class in matches.parts]
    scores = np.concatenate([np.empty(0), *(part.score[part.counted[0]] for part in parts)])
    found = np.concatenate([np.empty(0, bool), *(part.found[0][part.counted[0]] for part in parts)])
    objects = sum(int(part.objects.sum()) for part in parts)
    if not found.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(found[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + objects)
    last = np.append(scores[1:] != scores[:-1], True)  # equal scores pass together
    return float(scores[last][np.argmax(f1[last])])


def match_images(split: Split, results: Sequence[Result], score: float) -> list[OnImage]:
    """Match the detections of a score and up with the objects of each image, in the order of the images."""
    names = {category.id: category.name for category in split.categories}
    found: dict[int, list[Detection]] = defaultdict(list)
    for result in results:
        if result.score >= score:
            found[result.image_id].append(Detection(names[result.category_id], result.bbox, result.score))
    return [match_image(image, found[image_id]) for image, image_id in zip(split.images, split.ids, strict=True)]


def match_image(image: Image, detections: Sequence[Detection]) -> OnImage:
    """Match detections with the objects of an image; those that lie in a region to ignore by half are left out."""
    boxes = learnable(image)
    objects = [box for box in boxes if not box.ignored]
    ranked = sorted(detections, key=lambda each: -each.score)
    overlaps = iou([each.bbox for each in ranked], [box.bbox for box in objects])
    pairs: dict[int, int] = {}  # positions of detections and of their objects
    for same in (True, False):
        for position, each in enumerate(ranked):
            free = [
                place
                for place, box in enumerate(objects)
                if place not in pairs.values() and overlaps[position, place] >= OVERLAP
                and (not same or box.category == each.category)
            ]  # fmt: skip
            if position not in pairs and free:
                pairs[position] = max(free, key=lambda place: overlaps[position, place])
    ignored = [box.bbox for box in boxes if box.ignored]
    inside = np.any(covered([each.bbox for each in ranked], ignored) >= OVERLAP, axis=1).tolist()
    return OnImage(
        image,
        tuple(Pair(objects[place], ranked[at], float(overlaps[at, place])) for at, place in pairs.items()),
        tuple(box for place, box in enumerate(objects) if place not in pairs.values()),
        tuple(each for at, each in enumerate(ranked) if at not in pairs and not inside[at]),
    )


def confusion(on_images: Sequence[OnImage], names: Sequence[str]) -> NDArray[np.int64]:
    """Count objects by their class and the class found, (K + 1, K + 1); the last row is false, the last column missed.

    Example:
        >>> confusion([], ["car"]).tolist()
        [[0, 0], [0, 0]]
    """
    places = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names) + 1, len(names) + 1), np.int64)
    for each in on_images:
        for pair in each.pairs:
            counts[places[pair.object.category], places[pair.detection.category]] += 1
        for box in each.missed:
            counts[places[box.category], -1] += 1
        for detection in each.false:
            counts[-1, places[detection.category]] += 1
    return counts


def iou(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the overlaps (IoU) of N with M boxes, COCO xywh: (N, M)."""
    shared, areas, others = _intersections(one, other)
    union = areas[:, np.newaxis] + others[np.newaxis] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def covered(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the shares of N boxes, COCO xywh, that each of M others covers: (N, M)."""
    shared, areas, _ = _intersections(one, other)
    whole = np.broadcast_to(areas[:, np.newaxis], shared.shape)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _intersections(
    one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the areas of intersections, (N, M), and of the boxes, (N,) and (M,)."""
    a, b = (np.array(boxes, np.float64).reshape(-1, 4) for boxes in (one, other))
    start = np.maximum(a[:, np.newaxis, :2], b[np.newaxis, :, :2])
    end = np.minimum((a[:, :2] + a[:, 2:])[:, np.newaxis], (b[:, :2] + b[:, 2:])[np.newaxis])
    return np.clip(end - start, 0, None).prod(axis=2), a[:, 2:].prod(axis=1), b[:, 2:].prod(axis=1)
