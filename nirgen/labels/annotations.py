"""Annotations of a labels file: policy applied, boxes clipped, duplicates found, everything counted."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import combinations
from math import floor, isfinite
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from nirgen.errors import NirgenError
from nirgen.labels.file import Entry
from nirgen.labels.frames import LARGEST_SIDE
from nirgen.labels.masks import TOO_SMALL, segmentation_of
from nirgen.labels.policy import Fate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.labels.frames import Box, Frame, Label
    from nirgen.labels.policy import Policy

    _Found = tuple[str, str, dict[str, Any]]  # class name of the source, class name of the policy, annotation


SCALE = 1000  # boxes and areas are rounded to 1 / SCALE
AREA_TOLERANCE = 0.01  # share of a box by which an area may be larger than it
LIMIT = 0.9  # intersection over union above which two boxes of a class are duplicates
EXAMPLES = 5  # largest number of examples of each kind
_EFFORT = 1_000_000  # comparisons of boxes in an image, about a second
BECAME = {"take": "{}", "ignore": "{}, ignored", "drop": "dropped", "unknown": "unknown, dropped"}

# What was put right or left out, by its count in `Tally`.
REPAIRS = {
    "swapped": "boxes with exchanged corners, put right",
    "areas": "areas larger than their box, computed anew",
    "segmentations": "segmentations left out, wholly or in part",
    "keypoints": "keypoints left out, which are no triples of numbers",
    "unusable": "images taken as unlabelled, since none of their labels can be used",
}

_ENCODER = msgspec.json.Encoder()


class AnnotationWriter:
    """Converter of frames to entries, which counts every label in `tally`."""

    def __init__(self, policy: Policy, tally: Tally, *, drop_duplicates: bool) -> None:
        self._policy, self._tally, self._drop_duplicates = policy, tally, drop_duplicates

    def entry(self, frame: Frame) -> Entry:
        """Convert a frame."""
        if not (1 <= frame.width <= LARGEST_SIDE and 1 <= frame.height <= LARGEST_SIDE):
            raise NirgenError(f"'{frame.file_name}' is {frame.width}x{frame.height} pixels in its labels; correct them")
        keys = ("file_name", "width", "height", "source_id", "sequence", "split", "attributes")
        own = {key: getattr(frame, key) for key in keys} | {"attributes": frame.attributes or None}
        image = _ENCODER.encode({key: value for key, value in own.items() if value is not None} | dict(frame.extra))
        if frame.labels is None:
            self._tally.unlabelled += 1
            return Entry(frame.file_name, image, None)
        faults = self._tally.faults
        found = self._annotations(frame, frame.labels)
        if not found and self._tally.faults > faults:  # what is on the image is unknown, so it is no negative
            self._tally.unlabelled += 1
            self._tally.unusable += 1
            self._tally.example("unusable", frame.file_name)
            return Entry(frame.file_name, image, None)
        self._tally.images += 1
        self._tally.empty += not found
        annotations = (_ENCODER.encode(annotation) for _, _, annotation in found)
        return Entry(frame.file_name, image, tuple(annotations), tuple(category for _, category, _ in found))

    def _annotations(self, frame: Frame, labels: Sequence[Label]) -> list[_Found]:
        tally = self._tally
        tally.labels.update([label.category for label in labels])
        found: list[_Found] = []
        for label, key in zip(labels, self._keys(labels), strict=True):
            if label.category not in tally.fates:
                tally.fates[label.category] = self._policy.fate(label.category) if label.category else Fate("drop")
            if not label.category:
                tally.lose("no class name", f"{frame.file_name}#{key}")
            fate = tally.fates[label.category]
            if fate.category is not None:
                annotation = self._annotation(label, key, fate, frame)
                if annotation is not None:
                    found.append((label.category, fate.category, annotation))
        removed = self._duplicates(frame, found)
        found = [one for position, one in enumerate(found) if position not in removed]
        tally.written.update([name for name, _, _ in found])
        tally.boxes.update([category for _, category, annotation in found if not annotation["iscrowd"]])
        tally.ignored.update([category for _, category, annotation in found if annotation["iscrowd"]])
        return found

    def _keys(self, labels: Sequence[Label]) -> list[str]:
        """Return the source's key of each label, or `@POSITION` where it is missing or repeated."""
        keys = ["" if label.key is None else str(label.key) for label in labels]
        counts = Counter(keys)
        self._tally.repeated += sum(count for key, count in counts.items() if key and count > 1)
        return [key if key and counts[key] == 1 else f"@{position}" for position, key in enumerate(keys)]

    def _annotation(self, label: Label, key: str, fate: Fate, frame: Frame) -> dict[str, Any] | None:
        """Return the annotation of a label; None if it has no box in the image."""
        name = f"{frame.file_name}#{key} ({label.category})"
        if label.bbox is None:
            self._tally.lose(label.lost or "no box", name)
            return None
        if not all(map(isfinite, label.bbox)):
            self._tally.lose("a box that isn't finite", name)
            return None
        if label.bbox[2] <= 0 or label.bbox[3] <= 0:
            self._tally.lose("no width or height", name)
            return None
        bbox, clipped = clip(label.bbox, frame.width, frame.height)
        area = _rounded(bbox[2] * bbox[3])
        if bbox[2] <= 0 or bbox[3] <= 0 or area <= 0:
            self._tally.lose("no width or height" if min(bbox[2:]) > 0 else "outside the image", name)
            return None
        if clipped:
            self._tally.clipped += 1
            self._tally.example("clipped", name)
        if label.swapped:
            self._tally.swapped += 1
            self._tally.example("swapped", name)
        segmentation, extra = self._outline(label, frame, name), self._others(label, name)
        if label.derived:
            self._tally.derived[label.derived] += 1
        self._tally.crowds += label.crowd
        has_area = label.area is not None and label.area > 0 and (self._policy.keep or bool(segmentation))
        if has_area and label.area is not None and label.area > area + max(1, AREA_TOLERANCE * area) and not clipped:
            has_area = False
            self._tally.areas += 1
            self._tally.example("areas", name)
        annotation = {
            "bbox": bbox,
            "area": label.area if has_area and not clipped else area,
            "iscrowd": int(label.crowd or fate.kind == "ignore"),
            "segmentation": segmentation,
            "source_key": key,
            "source_category": label.source_category or label.category,
            "attributes": label.attributes or None,
            "derived": label.derived or None,
            "clipped": clipped or label.clipped or None,
        }
        return {name: value for name, value in annotation.items() if value is not None} | extra

    def _outline(self, label: Label, frame: Frame, name: str) -> Any:
        """Return the segmentation of a label without what can't be used."""
        segmentation, fault = segmentation_of(label.segmentation, frame.height, frame.width)
        if fault is not None:
            self._tally.segmentations += 1
            self._tally.example("segmentations", f"{name}: {fault}")
        return segmentation

    def _others(self, label: Label, name: str) -> dict[str, Any]:
        """Return the other keys of a label, without keypoints that can't be used."""
        extra = dict(label.extra)
        points = extra.get("keypoints")
        if points and not (isinstance(points, list) and len(points) % 3 == 0 and all(map(_is_number, points))):
            del extra["keypoints"]
            self._tally.keypoints += 1
            self._tally.example("keypoints", name)
        return extra

    def _duplicates(self, frame: Frame, found: Sequence[_Found]) -> set[int]:
        """Count duplicates, regions to ignore aside, and return the positions of those to leave out."""
        single = [position for position, (_, _, annotation) in enumerate(found) if not annotation["iscrowd"]]
        boxes, classes = [found[one][2]["bbox"] for one in single], [found[one][1] for one in single]
        overlaps = overlapping(boxes, classes)
        for first, second in overlaps.pairs:
            one, other = (found[single[position]][2]["source_key"] for position in (first, second))
            self._tally.example("duplicates", f"{frame.file_name}#{one} and #{other} ({classes[first]})")
        later, complete = later_copies(boxes, classes) if self._drop_duplicates else (set[int](), True)
        if not (overlaps.all and complete):
            self._tally.note(
                f"'{frame.file_name}' has so many boxes of a class near each other that not all were compared: there "
                "may be more duplicates"
            )
        removed = {single[one] for one in later}
        self._tally.duplicates += overlaps.total
        self._tally.removed += len(removed)
        return removed


def clip(box: Box, width: int, height: int) -> tuple[list[float], bool]:
    """Clip a box of positive width and height to its image and round it; the result is True if something was cut off.

    A box outside of the image gets a width or height of 0 or less.

    Example:
        >>> clip((-1, 2, 5, 30.0004), 100, 20)
        ([0.0, 2.0, 4.0, 18.0], True)
    """
    x, y, w, h = box
    right, bottom, half = x + w, y + h, 0.5 / SCALE
    clipped = x < -half or y < -half or right >= width + half or bottom >= height + half
    if clipped:
        # farther outside is as good as that, and infinity could not be rounded
        x, y = min(max(x, 0), 2 * width), min(max(y, 0), 2 * height)
        right, bottom = max(min(right, width), -width), max(min(bottom, height), -height)
    left, top = _rounded(x), _rounded(y)
    return [left, top, _rounded(_rounded(right) - left), _rounded(_rounded(bottom) - top)], clipped


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _rounded(value: float) -> float:
    return floor(value * SCALE + 0.5) / SCALE  # several times as fast as `round`


class Overlaps(NamedTuple):
    """Pairs of boxes of one class whose intersection over union exceeds `LIMIT`."""

    total: int
    all: bool  # False if there may be more
    pairs: list[tuple[int, int]]  # the first `EXAMPLES` of them, sorted


def overlapping(boxes: Sequence[Sequence[float]], classes: Sequence[str]) -> Overlaps:
    """Find boxes (COCO xywh) of one class that are almost the same; equal ones are counted without comparing them.

    Distinct boxes are swept from left to right: a box that starts farther right of another than `1 - LIMIT` of its
    width can't overlap it enough.

    Example:
        >>> overlapping([(0, 0, 10, 10), (0, 0, 10, 9.5), (0, 0, 10, 10)], ["car", "car", "person"]).pairs
        [(0, 1)]
    """
    equal = defaultdict[tuple[str, tuple[float, ...]], list[int]](list)
    for position, (name, box) in enumerate(zip(classes, boxes, strict=True)):
        equal[name, tuple(box)].append(position)
    sets = sorted(equal.items(), key=lambda one: one[0][1])
    count, effort = sum(len(ones) * (len(ones) - 1) // 2 for _, ones in sets), 0
    found = [pair for _, ones in sets if len(ones) > 1 for pair in combinations(ones[: EXAMPLES + 1], 2)]
    for rank, ((name, box), ones) in enumerate(sets):
        reach = box[0] + (1 - LIMIT) * box[2]
        for number in range(rank + 1, len(sets)):
            (other_name, other), others = sets[number]
            if other[0] > reach:
                break
            effort += 1
            if name == other_name and _overlap(box, other) > LIMIT:
                count += len(ones) * len(others)
                found += [(min(a, b), max(a, b)) for a in ones[:EXAMPLES] for b in others[:EXAMPLES]]
        if len(found) > _EFFORT // 10:
            found = nsmallest(EXAMPLES, found)
        if effort > _EFFORT:
            break
    return Overlaps(count, effort <= _EFFORT, nsmallest(EXAMPLES, found))


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def later_copies(boxes: Sequence[Sequence[float]], classes: Sequence[str]) -> tuple[set[int], bool]:
    """Return the boxes to remove so that no two of a class overlap: the later one, if the earlier one stays.

    Each is compared with those that stay and whose left sides are near enough; the result is False if that were so many
    that the search has ended before the last box.
    """
    kept: defaultdict[str, list[Sequence[float]]] = defaultdict(list)  # by class, sorted by the left side
    removed, effort = set[int](), 0
    for position, (name, box) in enumerate(zip(classes, boxes, strict=True)):
        rivals, reach = kept[name], 1.001 * box[2] * (1 - LIMIT) / LIMIT
        first = bisect_left(rivals, box[0] - reach, key=itemgetter(0))
        near = rivals[first : bisect_right(rivals, box[0] + reach, first, key=itemgetter(0))]
        effort += len(near)
        if effort > _EFFORT:
            return removed, False
        if any(_overlap(box, other) > LIMIT for other in near):
            removed.add(position)
        else:
            insort(rivals, box, key=itemgetter(0))
    return removed, True


@dataclass
class Tally:
    """Counts of a conversion."""

    images: int = 0  # labelled ones, empty ones included
    empty: int = 0  # labelled images without an annotation
    unlabelled: int = 0
    unusable: int = 0  # unlabelled because none of their labels could be used
    faults: int = 0  # labels of classes that are kept, without a box because of a fault
    labels: Counter[str] = field(default_factory=Counter)  # by class name of the source
    written: Counter[str] = field(default_factory=Counter)  # labels that became annotations, likewise
    fates: dict[str, Fate] = field(default_factory=dict)  # of each class name of the source
    boxes: Counter[str] = field(default_factory=Counter)  # by class, without regions to ignore
    ignored: Counter[str] = field(default_factory=Counter)  # regions to ignore, by class
    crowds: int = 0  # regions that the source marks as crowds
    derived: Counter[str] = field(default_factory=Counter)  # computed boxes, by their origin
    clipped: int = 0
    swapped: int = 0  # boxes whose corners were exchanged
    areas: int = 0  # larger than their box, so computed anew
    segmentations: int = 0  # left out, wholly or in part
    keypoints: int = 0  # left out
    repeated: int = 0  # labels whose key is repeated in their image
    duplicates: int = 0  # pairs of boxes
    removed: int = 0  # boxes left out as duplicates
    lost: Counter[str] = field(default_factory=Counter)  # labels without a box, by reason
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)  # assumptions

    def lose(self, reason: str, name: str) -> None:
        """Count a label without a box."""
        self.lost[reason] += 1
        self.faults += reason != TOO_SMALL
        self.example(reason, name)

    def example(self, kind: str, text: str) -> None:
        """Keep one of the first examples of a kind."""
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(text)

    def note(self, text: str) -> None:
        """Keep an assumption once."""
        if text not in self.notes:
            self.notes.append(text)

    def values(self, classes: list[str]) -> dict[str, Any]:
        """Return the counts for the labels file and `--json`; `classes` are in the order of their ids."""
        return {
            "images": self.images,
            "empty": self.empty,
            "unlabelled": self.unlabelled,
            "unusable": self.unusable,
            "annotations": self.boxes.total() + self.ignored.total(),
            "classes": {name: {"boxes": self.boxes[name], "ignored": self.ignored[name]} for name in classes},
            "names": [
                {
                    "name": name,
                    "labels": count,
                    "became": BECAME[self.fates[name].kind].format(self.fates[name].category),
                    "written": self.written[name],
                }
                for name, count in sorted(self.labels.items(), key=lambda item: (-item[1], item[0]))
            ],
            "crowds": self.crowds,
            "derived": dict(sorted(self.derived.items())),
            "clipped": self.clipped,
            "swapped": self.swapped,
            "areas": self.areas,
            "segmentations": self.segmentations,
            "keypoints": self.keypoints,
            "repeated_keys": self.repeated,
            "duplicates": self.duplicates,
            "duplicates_removed": self.removed,
            "lost": dict(sorted(self.lost.items())),
            "examples": dict(sorted(self.examples.items())),
            "notes": self.notes,
        }
