"""Contents of a plan or a dataset, counted; the licences of its parts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nirgen.dataset.decisions import count_boxes
from nirgen.dataset.plan import EXAMPLES
from nirgen.errors import ConfigError
from nirgen.labels.frames import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import LabelInput, Plan, PlannedImage
    from nirgen.dataset.store import Placed


KEYS_SHOWN = 5


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
            "dropped_after_scaling": {"boxes": len(self.dropped), "examples": self.dropped[:KEYS_SHOWN]},
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


def summarise(plan: Plan) -> dict[str, Any]:
    """Count what a plan holds.

    Args:
        plan: The plan.

    Returns:
        Plain values: `digest`; `splits` by name, with images, boxes by class, regions to ignore, and bytes; `classes`,
        what became of each name in the labels; `matched`, `collisions`, `scaled`, `left_out`, `leaks`, `notes`,
        `curation` (docs/formats.md).
    """
    ids = {category.name: category.id for category in plan.categories}
    by_split = {split: [image for image in plan.images if image.split == split] for split in SPLITS}
    return {
        "digest": plan.digest,
        "images": len(plan.images),
        "splits": {split: _split(images, ids) for split, images in by_split.items() if images},
        "classes": [_class_map(each) for each in plan.label_files],
        "matched": [asdict(each) for each in plan.matched],
        "collisions": _collisions(plan.images),
        "scaled": sum(_is_scaled(image) for image in plan.images),
        "left_out": [{**asdict(each), "examples": list(each.examples)} for each in plan.left_out],
        "leaks": [asdict(leak) for leak in plan.leaks],
        "notes": list(plan.notes),
        "curation": plan.curation and plan.curation.described(),
    }


def _split(images: Sequence[PlannedImage], ids: dict[str, int]) -> dict[str, Any]:
    """What a split holds; boxes and regions to ignore are told apart by `iscrowd`."""
    boxes = Counter[int]()
    ignored = empty = 0
    for image in images:
        on_it, to_ignore = count_boxes(image, ids)
        boxes.update(on_it)
        ignored += to_ignore
        empty += image.labels is not None and not on_it and not to_ignore
    kinds = Counter(image.kind for image in images)
    return {
        "generated": kinds["generated"],
        "real": kinds["real"],
        "empty": empty,
        "unlabelled": sum(image.unlabelled for image in images),
        "recordings": len({(image.origin, image.sequence) for image in images if image.sequence}),
        "boxes": {name: boxes[number] for name, number in ids.items()},
        "ignored": ignored,
        "bytes": sum(image.size_bytes for image in images),
    }


def _class_map(labels: LabelInput) -> dict[str, Any]:
    """What became of the labels of one input, by their names in the source."""
    return {
        "origin": labels.origin,
        "file": labels.name,
        "policy": labels.policy,
        "names": labels.counts.get("names", []),
        "lost": labels.counts.get("lost", {}),
        "duplicates": labels.counts.get("duplicates", 0),
    }


def _collisions(images: Iterable[PlannedImage]) -> dict[str, Any]:
    """Paths that images of several inputs share; each keeps its own place, in the folder of its input."""
    origins: dict[str, set[str]] = defaultdict(set)
    for image in images:
        origins[image.target.split("/", 2)[2]].add(image.origin)
    shared = sorted(path for path, bearers in origins.items() if len(bearers) > 1)
    return {"count": len(shared), "examples": shared[:EXAMPLES]}


def _is_scaled(image: PlannedImage) -> bool:
    labels = image.labels
    return labels is not None and (labels.width, labels.height) != (image.width, image.height)


UNKNOWN = "unknown"

_RESTRICTING = re.compile(
    r"non-?\s?commercial|not[ -]for[ -]profit|\bnc\b|research|academic|educat|\bnd\b|no-?\s?deriv", re.IGNORECASE
)


@dataclass(frozen=True)
class Part:
    """A part of a dataset that has a licence of its own.

    Attributes:
        what: The part, in words.
        licence: As the part states it; `unknown` where it doesn't.
    """

    what: str
    licence: str

    @property
    def restricted(self) -> bool:
        """Whether the licence names a use that it doesn't allow, such as a commercial one."""
        return is_restricted(self.licence)


def is_restricted(licence: str) -> bool:
    """Whether a licence, going by its words, doesn't allow every use.

    Example:
        >>> is_restricted("CC BY-NC 4.0"), is_restricted("research only"), is_restricted("CC BY 4.0")
        (True, True, False)
    """
    return _RESTRICTING.search(licence) is not None


def parts_of(plan: Plan) -> list[Part]:
    """The parts of a dataset with their licences: models first, then labels and the images that they describe."""
    parts = [Part(f"model {each.model_id[:8]}, which made '{each.origin}'", each.licence) for each in plan.generators]
    for labels in plan.label_files:
        stated = [" ".join(filter(None, (entry.get("name"), entry.get("url")))) for entry in labels.licenses]
        what = f"images and labels of '{labels.origin}' ({labels.name})"
        parts += [Part(what, licence) for licence in dict.fromkeys(filter(None, stated))] or [Part(what, UNKNOWN)]
    return list(dict.fromkeys(parts))


def check_licence(plan: Plan) -> None:
    """Refuse a licence for the dataset that allows what one of its parts doesn't.

    The rule is simple: if the licence of any part names a restriction (non-commercial, research, education, no
    derivatives), so must the dataset's.

    Raises:
        ConfigError: It doesn't.
    """
    asked = plan.config.licence
    if asked is None or is_restricted(asked):
        return
    for part in parts_of(plan):
        if part.restricted:
            raise ConfigError(
                f"licence {asked!r}: the {part.what} says '{part.licence}', which is stricter; name a licence that "
                "keeps that restriction, or leave --licence out"
            )
