"""Annotations of a labels file, made from frames: policy applied, boxes clipped, duplicates found, all counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import floor
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.errors import NirgenError
from nirgen.labels.file import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.labels.frames import Box, Frame, Label
    from nirgen.labels.policy import Fate, Policy

    _Found = tuple[str, str, dict[str, Any]]
    """An annotation, behind the source's name and the class that it has."""


SCALE = 1000
"""Into how many parts of a pixel boxes and areas are rounded: 3 decimals."""

_HALF = 0.5 / SCALE

_ENCODER = msgspec.json.Encoder()


class AnnotationWriter:
    """Makes entries of frames, and counts what becomes of each label.

    Args:
        policy: What becomes of each name.
        tally: Where to count.
        drop_duplicates: Whether to leave out the later of two boxes of a class that lie on each other.
    """

    def __init__(self, policy: Policy, tally: Tally, *, drop_duplicates: bool) -> None:
        self._policy = policy
        self._tally = tally
        self._drop_duplicates = drop_duplicates

    def entry(self, frame: Frame) -> Entry:
        """The entry of an image.

        Raises:
            NirgenError: The image has no width or no height.
        """
        if frame.width < 1 or frame.height < 1:
            raise NirgenError(f"'{frame.file_name}' is {frame.width}x{frame.height} pixels in its labels; correct that")
        image = _ENCODER.encode(_image(frame))
        if frame.labels is None:
            self._tally.unlabelled += 1
            return Entry(frame.file_name, image, None)
        found = self._annotations(frame, frame.labels)
        self._tally.images += 1
        self._tally.empty += not found
        annotations = tuple(_ENCODER.encode(annotation) for _, _, annotation in found)
        return Entry(frame.file_name, image, annotations, tuple(category for _, category, _ in found))

    def _annotations(self, frame: Frame, labels: Sequence[Label]) -> list[_Found]:
        """A frame's labels, as far as they become annotations."""
        tally = self._tally
        tally.labels.update([label.category for label in labels])
        found: list[_Found] = []
        for label, key in zip(labels, self._keys(labels), strict=True):
            fate = tally.fates.get(label.category) or self._fate(label.category)
            if fate.category is not None:
                annotation = self._annotation(label, key, fate, frame)
                if annotation is not None:
                    found.append((label.category, fate.category, annotation))
        removed = self._copies(frame, found)
        if removed:
            found = [one for position, one in enumerate(found) if position not in removed]
        tally.written.update([name for name, _, _ in found])
        tally.boxes.update([category for _, category, annotation in found if not annotation["iscrowd"]])
        tally.ignored.update([category for _, category, annotation in found if annotation["iscrowd"]])
        return found

    def _fate(self, name: str) -> Fate:
        self._tally.fates[name] = self._policy.fate(name)
        return self._tally.fates[name]

    def _keys(self, labels: Sequence[Label]) -> list[str]:
        """What the source calls each label; its position, from 0, where that is nothing or not one thing alone."""
        keys = ["" if label.key is None else str(label.key) for label in labels]
        counts = Counter(keys)
        self._tally.repeated += sum(count for key, count in counts.items() if key and count > 1)
        return [key if key and counts[key] == 1 else f"@{position}" for position, key in enumerate(keys)]

    def _annotation(self, label: Label, key: str, fate: Fate, frame: Frame) -> dict[str, Any] | None:
        """The annotation of a label; None if it has no box in the frame."""
        if label.bbox is None:
            self._lose(label.lost or "no box", label, key, frame)
            return None
        bbox, clipped = clip(label.bbox, frame.width, frame.height)
        area = _rounded(bbox[2] * bbox[3])
        if bbox[2] <= 0 or bbox[3] <= 0 or area <= 0:
            flat = label.bbox[2] <= 0 or label.bbox[3] <= 0 or min(bbox[2:]) > 0
            self._lose("no width or height" if flat else "outside the image", label, key, frame)
            return None
        if clipped:
            self._tally.clipped += 1
            self._tally.example("clipped", _name(label, key, frame))
        if label.derived:
            self._tally.derived[label.derived] += 1
        self._tally.crowds += label.crowd
        stated = (
            label.area is not None and not clipped and (self._policy.keep or (label.segmentation and label.area > 0))
        )
        annotation: dict[str, Any] = {
            "bbox": bbox,
            "area": label.area if stated else area,
            "iscrowd": int(label.crowd or fate.kind == "ignore"),
        }
        if label.segmentation is not None:
            annotation["segmentation"] = label.segmentation
        annotation["source_key"] = key
        annotation["source_category"] = label.source_category or label.category
        if label.attributes:
            annotation["attributes"] = label.attributes
        if label.derived:
            annotation["derived"] = label.derived
        if clipped or label.clipped:
            annotation["clipped"] = True
        annotation.update(label.extra)
        return annotation

    def _lose(self, reason: str, label: Label, key: str, frame: Frame) -> None:
        self._tally.lost[reason] += 1
        self._tally.example(reason, _name(label, key, frame))

    def _copies(self, frame: Frame, found: Sequence[_Found]) -> set[int]:
        """The positions of annotations to leave out; regions to ignore are no copies."""
        single = [position for position, (_, _, annotation) in enumerate(found) if not annotation["iscrowd"]]
        boxes, classes = [found[one][2]["bbox"] for one in single], [found[one][1] for one in single]
        pairs = overlapping(boxes, classes)
        for first, second in pairs:
            keys = [found[single[one]][2]["source_key"] for one in (first, second)]
            self._tally.example("duplicates", f"{frame.file_name}#{keys[0]} and #{keys[1]} ({classes[first]})")
        self._tally.duplicates += len(pairs)
        removed = {single[one] for one in later_copies(pairs)} if self._drop_duplicates else set()
        self._tally.removed += len(removed)
        return removed


def clip(box: Box, width: int, height: int) -> tuple[list[float], bool]:
    """Cut a box at the border of its image, and round it.

    Args:
        box: COCO's x, y, width, height in pixels.
        width: Of the image.
        height: The same.

    Returns:
        The box, whose width or height is 0 or less if nothing of it is in the image; whether something was cut off.

    Example:
        >>> clip((-1, 2, 5, 30.0004), 100, 20)
        ([0.0, 2.0, 4.0, 18.0], True)
    """
    x, y, w, h = box
    right, bottom = x + w, y + h
    clipped = x < -_HALF or y < -_HALF or right >= width + _HALF or bottom >= height + _HALF
    if clipped:
        x, y, right, bottom = max(x, 0), max(y, 0), min(right, width), min(bottom, height)
    left, top = _rounded(x), _rounded(y)
    return [left, top, _rounded(_rounded(right) - left), _rounded(_rounded(bottom) - top)], clipped


def _rounded(value: float) -> float:
    """A value with as many decimals as are written; several times as fast as `round`.

    Example:
        >>> _rounded(214.2704), _rounded(0.0009996)
        (214.27, 0.001)
    """
    return floor(value * SCALE + 0.5) / SCALE


def _name(label: Label, key: str, frame: Frame) -> str:
    """A label for people."""
    return f"{frame.file_name}#{key} ({label.category})"


def _image(frame: Frame) -> dict[str, Any]:
    own = {
        "file_name": frame.file_name,
        "width": frame.width,
        "height": frame.height,
        "source_id": frame.source_id,
        "sequence": frame.sequence,
        "split": frame.split,
        "attributes": frame.attributes or None,
    }
    return {key: value for key, value in own.items() if value is not None} | dict(frame.extra)


LIMIT = 0.9
"""The intersection over union above which two boxes count as one."""


def overlapping(boxes: Sequence[Sequence[float]], classes: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of boxes of one class that overlap by more than `LIMIT`.

    Boxes are swept from left to right: one that begins farther right of another than `1 - LIMIT` of that one's width
    can't overlap it enough.

    Args:
        boxes: COCO's x, y, width, height in pixels.
        classes: The class of each.

    Returns:
        Their positions, the smaller one first; sorted.

    Example:
        >>> overlapping([(0, 0, 10, 10), (0, 0, 10, 9.5), (0, 0, 10, 10)], ["car", "car", "person"])
        [(0, 1)]
    """
    order = sorted(range(len(boxes)), key=lambda position: boxes[position][0])
    found = []
    for rank, first in enumerate(order):
        reach = boxes[first][0] + (1 - LIMIT) * boxes[first][2]
        for second in order[rank + 1 :]:
            if boxes[second][0] > reach:
                break
            if classes[first] == classes[second] and _overlap(boxes[first], boxes[second]) > LIMIT:
                found.append((min(first, second), max(first, second)))
    return sorted(found)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """The intersection over union of two boxes."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def later_copies(pairs: Sequence[tuple[int, int]]) -> set[int]:
    """The boxes to remove so that no overlapping pair is left: the later of two, if the earlier one stays.

    Example:
        >>> later_copies([(0, 1), (1, 2)])
        {1}
    """
    removed = set[int]()
    for first, second in pairs:
        if first not in removed:
            removed.add(second)
    return removed


EXAMPLES = 5
"""How many of each kind are named."""

BECAME = {"take": "{}", "ignore": "{}, ignored", "drop": "dropped", "unknown": "unknown, dropped"}
"""What became of a name's labels, in words."""


@dataclass
class Tally:
    """Counts while labels are converted.

    Attributes:
        images: Labelled ones, those with nothing on them included.
        empty: Labelled images without any annotation.
        unlabelled: Images without a label entry.
        labels: By the source's name.
        written: The same, of those that became annotations.
        fates: What the policy says of each name.
        boxes: By class, without regions to ignore.
        ignored: Regions to ignore, by class.
        crowds: Regions that the source itself marks as crowds.
        derived: Boxes that the source doesn't have, by what they were computed from.
        clipped: Boxes cut at the image's border.
        repeated: Labels whose key is another's in the same image; they go by their position.
        duplicates: Pairs of boxes that lie on each other.
        removed: Boxes left out for that.
        lost: Labels that could have no box, by reason.
        examples: The first of each kind.
        notes: What was assumed.
    """

    images: int = 0
    empty: int = 0
    unlabelled: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    fates: dict[str, Fate] = field(default_factory=dict)
    boxes: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    crowds: int = 0
    derived: Counter[str] = field(default_factory=Counter)
    clipped: int = 0
    repeated: int = 0
    duplicates: int = 0
    removed: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)

    def example(self, kind: str, text: str) -> None:
        """Keep one of the first of a kind."""
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(text)

    def note(self, text: str) -> None:
        """Keep what was assumed, once."""
        if text not in self.notes:
            self.notes.append(text)

    def values(self, classes: list[str]) -> dict[str, Any]:
        """The counts as plain values, for the labels file and `--json`.

        Args:
            classes: In the order of their ids; those without a box are counted too.
        """
        return {
            "images": self.images,
            "empty": self.empty,
            "unlabelled": self.unlabelled,
            "annotations": self.boxes.total() + self.ignored.total(),
            "classes": {name: {"boxes": self.boxes[name], "ignored": self.ignored[name]} for name in classes},
            "names": [self._name(name, count) for name, count in sorted(self.labels.items(), key=_most_first)],
            "crowds": self.crowds,
            "derived": dict(sorted(self.derived.items())),
            "clipped": self.clipped,
            "repeated_keys": self.repeated,
            "duplicates": self.duplicates,
            "duplicates_removed": self.removed,
            "lost": dict(sorted(self.lost.items())),
            "examples": dict(sorted(self.examples.items())),
            "notes": self.notes,
        }

    def _name(self, name: str, count: int) -> dict[str, Any]:
        fate = self.fates[name]
        became = BECAME[fate.kind].format(fate.category)
        return {"name": name, "labels": count, "became": became, "written": self.written[name]}


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
