"""Contents of a plan or a dataset, counted; the licences of its parts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nirgen.config import SPLITS
from nirgen.dataset.annotations import Scaling, count_boxes, label_images
from nirgen.dataset.plan import EXAMPLES
from nirgen.dataset.splits import recording_of
from nirgen.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import Plan, PlannedImage
    from nirgen.dataset.store import Placed


def splits_in(plan: Plan) -> list[str]:
    """Return the splits that have images, train first."""
    used = {image.split for image in plan.images}
    return [split for split in SPLITS if split in used]


def class_numbers(plan: Plan) -> dict[int, int]:
    """Return the class number from 0 by category id: its position in the list of categories."""
    return {category.id: number for number, category in enumerate(plan.categories)}


@dataclass
class SplitContents:
    """Contents of a split."""

    images: Counter[str] = field(default_factory=Counter)  # by kind, `generated` or `real`
    empty: int = 0  # images whose label entry has no annotation
    unlabelled: int = 0  # images without a label entry, taken as empty
    only_ignored: list[str] = field(default_factory=list)  # keys of images with regions to ignore and no boxes
    boxes: Counter[tuple[int, str]] = field(default_factory=Counter)  # by category id and kind
    ignored: Counter[tuple[int, str]] = field(default_factory=Counter)  # regions to ignore, likewise

    def described(self, names: Mapping[int, str]) -> dict[str, Any]:
        """Return plain values; `names` are those of categories by id."""
        return {
            "images": self.images.total(),
            "generated": self.images["generated"],
            "real": self.images["real"],
            "empty": self.empty,
            "unlabelled": self.unlabelled,
            "only_ignored": len(self.only_ignored),
            "boxes": {
                name: sum(self.boxes[category, kind] for kind in self.images) for category, name in names.items()
            },
            "ignored": self.ignored.total(),
        }


class Contents:
    """Counts of a dataset."""

    def __init__(self) -> None:
        self.splits: dict[str, SplitContents] = defaultdict(SplitContents)
        self.origins: Counter[tuple[str, str, str]] = Counter()  # images by input, kind and split
        self.merged: Counter[tuple[str, str, int, bool]] = Counter()  # by input, source class, category id, ignored
        self.dropped: list[str] = []  # keys of annotations that were too small after scaling
        self.encoded: Counter[str] = Counter()  # re-encoded images by description
        self.size_bytes = 0  # of all images

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Count what a plan would write, without its files."""
        contents = cls()
        for labelled in label_images(plan):
            contents.add(labelled)
        return contents

    def add(self, labelled: Labelled, placed: Placed | None = None) -> None:
        """Count an image, its annotations and its file."""
        image, split = labelled.image, self.splits[labelled.image.split]
        split.images[image.kind] += 1
        self.origins[image.origin, image.kind, image.split] += 1
        self.dropped += labelled.dropped
        self.size_bytes += placed.size_bytes if placed else 0
        if placed and placed.encoded is not None:
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
        """Return plain values, as in `dataset.json`."""
        names = {category.id: category.name for category in plan.categories}
        return {
            "splits": {split: self.splits[split].described(names) for split in splits_in(plan)},
            "classes": [
                {"origin": origin, "source": source, "category": names[category], "ignored": ignored, "boxes": count}
                for (origin, source, category, ignored), count in sorted(self.merged.items())
            ],
            "dropped_after_scaling": {"boxes": len(self.dropped), "examples": self.dropped[:EXAMPLES]},
            "encoded": dict(sorted(self.encoded.items())),
            "size_bytes": self.size_bytes,
        }


FEW = 20  # boxes of a class; its average precision jumps by 0.05 with each of fewer


def find_cautions(plan: Plan, splits: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what makes results unsure, and the remedy, one line each; `splits` are those of `summarise`."""
    if lacking := [name for name, count in splits.get("train", {}).get("boxes", {}).items() if not count]:
        yield f"train: no {', '.join(lacking)}, which can't be learnt; add images that show them"
    for split in (split for split in splits if split != "train"):
        few = {name: count for name, count in splits[split]["boxes"].items() if count < FEW}
        if few:
            listed = ", ".join(f"{name} {count}" for name, count in few.items())
            remedy = "add real images that show them, or give it a larger share by --split"
            yield f"{split}: too few boxes to judge a class by: {listed} (under {FEW}); {remedy}"
    reals = [image for image in plan.images if image.kind == "real"]
    stray = [image for image in reals if recording_of(image) is None]
    if stray and len({image.split for image in reals}) > 1:
        yield (
            f"{len(stray)} of {len(reals)} real images are of no known recording, so splits may share one: give each "
            "recording a folder or a 'sequence' in the labels, or name the list of pairs with --real-pairs"
        )


def summarise(plan: Plan) -> dict[str, Any]:
    """Return a plan in numbers as plain values (docs/formats.md)."""
    ids = {category.name: category.id for category in plan.categories}
    by_split = {split: [image for image in plan.images if image.split == split] for split in SPLITS}
    splits = {split: _split(images, ids) for split, images in by_split.items() if images}
    return {
        "digest": plan.digest,
        "images": len(plan.images),
        "splits": splits,
        "classes": [
            {
                "origin": labels.origin,
                "file": labels.name,
                "policy": labels.policy,
                "names": labels.counts.get("names", []),
                "lost": labels.counts.get("lost", {}),
                "duplicates": labels.counts.get("duplicates", 0),
            }
            for labels in plan.label_files
        ],
        "matched": [asdict(each) for each in plan.matched],
        "collisions": _collisions(plan.images),
        "scaled": sum(not Scaling.of(image).identity for image in plan.images),
        "left_out": [{**asdict(each), "examples": list(each.examples)} for each in plan.left_out],
        "leaks": [asdict(leak) for leak in plan.leaks],
        "coloured": describe_colour(plan),
        "notes": list(plan.notes),
        "cautions": list(find_cautions(plan, splits)),
        "curation": plan.curation and plan.curation.described(),
    }


def describe_colour(plan: Plan) -> dict[str, Any]:
    """Return how many of the real images are in colour, as plain values."""
    real = sum(image.kind == "real" for image in plan.images)
    return {"count": len(plan.coloured), "real": real, "examples": list(plan.coloured[:EXAMPLES])}


def _split(images: Sequence[PlannedImage], ids: dict[str, int]) -> dict[str, Any]:
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


def _collisions(images: Iterable[PlannedImage]) -> dict[str, Any]:
    """Return the paths that several inputs share; each has its own folder."""
    origins: dict[str, set[str]] = defaultdict(set)
    for image in images:
        origins[image.target.split("/", 2)[2]].add(image.origin)
    shared = sorted(path for path, bearers in origins.items() if len(bearers) > 1)
    return {"count": len(shared), "examples": shared[:EXAMPLES]}


UNKNOWN = "unknown"

_RESTRICTING = re.compile(
    r"non-?\s?commercial|not[ -]for[ -]profit|\bnc\b|research|academic|educat|\bnd\b|no-?\s?deriv", re.IGNORECASE
)


@dataclass(frozen=True)
class Part:
    """A part of a dataset with its own licence."""

    what: str
    licence: str  # as the part states it; `unknown` if it doesn't

    @property
    def restricted(self) -> bool:
        """Return True if the licence restricts the use."""
        return is_restricted(self.licence)


def is_restricted(licence: str) -> bool:
    """Return True if the words of a licence restrict the use.

    Example:
        >>> is_restricted("CC BY-NC 4.0"), is_restricted("research only"), is_restricted("CC BY 4.0")
        (True, True, False)
    """
    return _RESTRICTING.search(licence) is not None


def parts_of(plan: Plan) -> list[Part]:
    """Return the parts of a dataset with their licences: models, then labels with their images."""
    parts = [Part(f"model {each.model_id[:8]}, which made '{each.origin}'", each.licence) for each in plan.generators]
    for labels in plan.label_files:
        stated = [" ".join(filter(None, (entry.get("name"), entry.get("url")))) for entry in labels.licenses]
        what = f"images and labels of '{labels.origin}' ({labels.name})"
        parts += [Part(what, licence) for licence in dict.fromkeys(filter(None, stated))] or [Part(what, UNKNOWN)]
    return list(dict.fromkeys(parts))


def check_licence(plan: Plan) -> None:
    """Refuse a licence for the dataset that names no restriction (`is_restricted`) if that of a part does."""
    asked = plan.config.licence
    if asked is None or is_restricted(asked):
        return
    for part in parts_of(plan):
        if part.restricted:
            raise ConfigError(
                f"licence {asked!r}: the {part.what} says '{part.licence}', which is stricter; name a licence that "
                "keeps that restriction, or leave --licence out"
            )
