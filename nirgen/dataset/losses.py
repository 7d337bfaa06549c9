"""Losses of a dataset by a plan that would take its place, other than by a curator's decisions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from nirgen.curation import read_decisions
from nirgen.dataset.annotations import label_images
from nirgen.dataset.folder import CURATION, is_dataset, read_dataset
from nirgen.dataset.provenance import open_provenance
from nirgen.errors import NirgenError, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.folder import DatasetInfo
    from nirgen.dataset.plan import Plan, PlannedImage


@dataclass(frozen=True)
class Losses:
    """Parts of a dataset that its replacement lacks; true if there are any."""

    images: Mapping[str, int] = field(default_factory=dict)  # by kind, `real` or `generated`
    splits: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    boxes: int = 0  # on images that stay
    decisions: int = 0  # about images or boxes that no decision is about any more
    licence: str | None = None
    unreadable: bool = False  # its record of images can't be read, so that more may be lost

    def __bool__(self) -> bool:
        """Return True if anything would be lost."""
        return bool(str(self))

    @property
    def grave(self) -> bool:
        """Return True unless only classes, boxes or the licence are lost, which edited labels and options may want."""
        return bool(self.images or self.splits or self.formats or self.decisions or self.unreadable)

    def __str__(self) -> str:
        """Return the losses in words; empty without any.

        Example:
            >>> str(Losses(images={"real": 80}, splits=("val", "test"), formats=("yolo",), boxes=1))
            '80 real images, the splits val and test, the format yolo, 1 box'
        """
        parts = [counted(count, f"{kind} image") for kind, count in self.images.items()]
        parts += [_named("split", self.splits), _named("format", self.formats), _named("class", self.classes, "es")]
        parts.append(counted(self.boxes, "box", "boxes") if self.boxes else "")
        parts.append(counted(self.decisions, "decision") if self.decisions else "")
        parts.append(f"the licence '{self.licence}'" if self.licence else "")
        parts.append("more that can't be told, as its record can't be read" if self.unreadable else "")
        return ", ".join(filter(None, parts))

    def described(self) -> dict[str, Any]:
        """Return plain values of what would be lost, for `--json`."""
        return {name: value for name in self.__dataclass_fields__ if (value := getattr(self, name))}


def _named(what: str, names: Sequence[str], plural: str = "s") -> str:
    if not names:
        return ""
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"the {what}{'' if len(names) == 1 else plural} {listed}"


def find_losses(info: DatasetInfo, plan: Plan) -> Losses:
    """Compare a dataset with a plan that would replace it.

    An image stays if the plan has one of its key or with its content. What a decision of the plan rejects or deletes
    isn't lost.
    """
    config = info.values["config"]
    formats = sorted({*config.get("formats", ())} - {*plan.config.formats})
    classes = {category.name for category in info.categories} - {category.name for category in plan.categories}
    licence = config.get("licence") if plan.config.licence is None else None
    try:
        own = read_decisions(info.folder / CURATION).all if (info.folder / CURATION).exists() else ()
        before = _Content.of(info)
    except NirgenError:
        return Losses(formats=tuple(formats), classes=tuple(sorted(classes)), licence=licence, unreadable=True)
    kept, rejected = _Images(plan.images), _Images(plan.rejected)
    gone = [row for row in before.images if row not in kept and row not in rejected]
    there = {image.split for image in plan.images}
    splits = [
        split
        for split in info.splits
        if split not in there and any(row["split"] == split and row not in rejected for row in before.images)
    ]
    deleted = {decision.key for decision in own if decision.action == "delete"}
    after = {each.image.key: _boxes(each, deleted) for each in label_images(plan)}
    pairs = ((row, kept.find(row)) for row in before.images)
    boxes = (before.boxes[row["image_key"]] - after[image.key] for row, image in pairs if image is not None)
    decided = set() if plan.curation is None else set(plan.curation.keys)
    return Losses(
        images=dict(sorted(Counter("generated" if row["generated"] else "real" for row in gone).items())),
        splits=tuple(splits),
        formats=tuple(formats),
        classes=tuple(sorted(classes)),
        boxes=sum(max(lost, 0) for lost in boxes),
        decisions=sum(decision.key not in decided for decision in own),
        licence=licence,
    )


def losses_of(out: Path, plan: Plan) -> Losses | None:
    """Return what a dataset in a folder would lose; None if the folder has none that can be read."""
    try:
        return find_losses(read_dataset(out), plan) if is_dataset(out) else None
    except NirgenError:
        return None


@dataclass(frozen=True)
class _Content:
    """Images and numbers of boxes of a dataset, by its provenance."""

    images: Sequence[Mapping[str, Any]]
    boxes: Counter[str]  # by image key, regions to ignore included

    @classmethod
    def of(cls, info: DatasetInfo) -> _Content:
        columns = ["kind", "image_key", "input_sha256", "split", "generated"]
        with open_provenance(info.folder) as file:
            table = file.read(columns=columns)
        images = table.filter(pc.equal(table["kind"], "image")).to_pylist()
        counted = pc.value_counts(table.filter(pc.equal(table["kind"], "annotation"))["image_key"]).to_pylist()
        return cls(images, Counter({each["values"]: each["counts"] for each in counted}))


class _Images:
    """Images of a plan, found by the key or the content of a dataset's image."""

    def __init__(self, images: Iterable[PlannedImage]) -> None:
        self._by_key, self._by_content = {}, {}
        for image in images:
            self._by_key[image.key] = self._by_content[image.sha256] = image

    def find(self, row: Mapping[str, Any]) -> PlannedImage | None:
        return self._by_key.get(row["image_key"]) or self._by_content.get(row["input_sha256"])

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return self.find(row) is not None


def _boxes(labelled: Labelled, deleted_before: set[str]) -> int:
    """Return the number of boxes, with those that decisions delete for the first time."""
    image = labelled.image
    changes = image.outcome.changes if image.outcome else {}
    newly = sum(
        each[0].before is not None and each[-1].after is None and f"{image.key}#{key}" not in deleted_before
        for key, each in changes.items()
    )
    return len(labelled.boxes) + newly
