"""What a dataset holds, counted while it is written."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nirgen.dataset.plan import SPLITS

if TYPE_CHECKING:
    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.placing import Placed
    from nirgen.dataset.plan import Plan

EXAMPLES = 5


def splits_in(plan: Plan) -> list[str]:
    """The splits that have images, in their usual order."""
    used = {image.split for image in plan.images}
    return [split for split in SPLITS if split in used]


def class_numbers(plan: Plan) -> dict[int, int]:
    """What readers that count classes from 0 call each category id: its position in the list of categories."""
    return {category.id: number for number, category in enumerate(plan.categories)}


@dataclass
class SplitContents:
    """What a split holds.

    Attributes:
        images: By kind, `generated` or `real`.
        empty: Images with nothing on them, by their label entry.
        unlabelled: Images that are taken for empty although nobody has labelled them.
        only_ignored: The keys of images that have regions to ignore and no boxes.
        boxes: By category id and kind.
        ignored: Regions to ignore, the same.
    """

    images: Counter[str] = field(default_factory=Counter)
    empty: int = 0
    unlabelled: int = 0
    only_ignored: list[str] = field(default_factory=list)
    boxes: Counter[tuple[int, str]] = field(default_factory=Counter)
    ignored: Counter[tuple[int, str]] = field(default_factory=Counter)

    def of(self, category: int) -> int:
        """How many boxes of a category there are."""
        return sum(count for (each, _), count in self.boxes.items() if each == category)


class Contents:
    """What a dataset holds.

    Attributes:
        splits: By name.
        origins: Images by input, kind and split.
        merged: Annotations by input, name of the class in the source, category id, and whether they only tell what to
            ignore.
        dropped: The keys of annotations that were too small after scaling.
        encoded: Images that were encoded anew, by how.
        size_bytes: Of all images.
    """

    def __init__(self) -> None:
        self.splits: dict[str, SplitContents] = defaultdict(SplitContents)
        self.origins: Counter[tuple[str, str, str]] = Counter()
        self.merged: Counter[tuple[str, str, int, bool]] = Counter()
        self.dropped: list[str] = []
        self.encoded: Counter[str] = Counter()
        self.size_bytes = 0

    def add(self, labelled: Labelled, placed: Placed) -> None:
        """Count an image and what is on it."""
        image, split = labelled.image, self.splits[labelled.image.split]
        split.images[image.kind] += 1
        self.origins[image.origin, image.kind, image.split] += 1
        self.dropped += labelled.dropped
        self.size_bytes += placed.size_bytes
        if placed.encoded is not None:
            self.encoded[placed.encoded] += 1
        for box in labelled.boxes:
            category, ignored = box.coco["category_id"], bool(box.coco["iscrowd"])
            (split.ignored if ignored else split.boxes)[category, image.kind] += 1
            self.merged[image.origin, box.coco["source_category"], category, ignored] += 1
        split.unlabelled += image.unlabelled
        split.empty += image.labels is not None and not labelled.boxes
        if labelled.boxes and all(box.coco["iscrowd"] for box in labelled.boxes):
            split.only_ignored.append(image.key)

    def described(self, plan: Plan) -> dict[str, Any]:
        """The counts as plain values, as `dataset.json` has them."""
        names = {category.id: category.name for category in plan.categories}
        return {
            "splits": {split: _described(self.splits[split], names) for split in splits_in(plan)},
            "classes": [
                {"origin": origin, "source": source, "category": names[category], "ignored": ignored, "boxes": count}
                for (origin, source, category, ignored), count in sorted(self.merged.items())
            ],
            "dropped_after_scaling": {"boxes": len(self.dropped), "examples": self.dropped[:EXAMPLES]},
            "encoded": dict(sorted(self.encoded.items())),
            "size_bytes": self.size_bytes,
        }


def _described(split: SplitContents, names: dict[int, str]) -> dict[str, Any]:
    return {
        "images": split.images.total(),
        "generated": split.images["generated"],
        "real": split.images["real"],
        "empty": split.empty,
        "unlabelled": split.unlabelled,
        "only_ignored": len(split.only_ignored),
        "boxes": {name: split.of(category) for category, name in names.items()},
        "ignored": split.ignored.total(),
    }
