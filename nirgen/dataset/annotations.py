"""Annotations of a dataset: COCO entries with ids, scaled to the image and edited by decisions."""

from __future__ import annotations

import heapq
import warnings
from collections import Counter
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pycocotools import mask as rle_tools

from nirgen.curation import DECIMALS
from nirgen.dataset.decisions import Subject, SubjectBox
from nirgen.errors import NirgenError, one_line
from nirgen.labels.file import annotation, box_counts
from nirgen.labels.rle import check_rle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nirgen.dataset.decisions import Change
    from nirgen.dataset.plan import Plan, PlannedImage


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation of the dataset."""

    coco: dict[str, Any]
    source_key: str  # its name in the source labels
    steps: tuple[str, ...]  # since the source
    added: bool = False  # by a curator


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image of the dataset with its annotations."""

    id: int  # from 1 in the order of the keys, over all splits; a rejected image keeps its id
    image: PlannedImage
    boxes: list[Annotation] = field(default_factory=list)  # sorted by key; ids from 1 over all splits
    dropped: list[str] = field(default_factory=list)  # keys of boxes without width or height after scaling


def label_images(plan: Plan) -> Iterator[Labelled]:
    """Yield the images of a plan in the order of their keys, numbered, with their annotations.

    Deleted annotations and those of rejected images leave gaps; added ones are numbered after all others.
    """
    names = {category.id: category.name for category in plan.categories}
    ids = {name: number for number, name in names.items()}
    adds = any(True for image in plan.images if image.outcome for _ in image.outcome.added)
    number, last = 0, sum(map(_count, (*plan.images, *plan.rejected))) if adds else 0
    for identifier, image, rejected in _numbered(plan):
        if rejected:
            number += _count(image)
            continue
        labelled, scaling = Labelled(identifier, image), Scaling.of(image)
        changes = image.outcome.changes if image.outcome else {}
        for key, values, scaled in _scaled(image, scaling):
            if scaled is None:
                labelled.dropped.append(f"{image.key}#{key}")
                continue
            number += 1
            edited, decided = _edit(scaled, changes.get(key, ()), ids)
            if edited is not None:
                coco = _coco(edited, number, identifier, f"{image.key}#{key}")
                steps = (*_steps(values, names[values["category_id"]], scaling), *decided)
                labelled.boxes.append(Annotation(coco, key, steps))
        for key, added in image.outcome.added if image.outcome else ():
            edited, decided = _edit({}, added, ids)
            if edited is not None:
                last += 1
                coco = _coco(edited, last, identifier, f"{image.key}#{key}")
                labelled.boxes.append(Annotation(coco, key, decided, added=True))
        labelled.boxes.sort(key=lambda box: box.source_key)
        yield labelled


def image_entries(plan: Plan, split: str, licences: Mapping[tuple[int, Any], int]) -> Iterator[dict[str, Any]]:
    """Yield the COCO `images` of a split; foreign keys of the source pass through.

    `licences` has the new ids of renumbered licences, by position of their label file and old id.
    """
    for identifier, image, rejected in _numbered(plan):
        if image.split != split or rejected:
            continue
        entry: dict[str, Any] = {"id": identifier, "file_name": image.target}
        entry |= {name: getattr(image, name) for name in ("width", "height", "key", "origin", "kind")}
        if image.sequence is not None:
            entry["sequence"] = image.sequence
        labels = image.labels
        if labels is None:
            yield entry | {"unlabelled": True} if image.unlabelled else entry
            continue
        if labels.attributes:
            entry["attributes"] = labels.attributes
        others = {name: value for name, value in labels.extra.items() if name not in entry}
        if "license" in others:
            others["license"] = licences.get((image.label_file, others["license"]), others["license"])
        yield entry | others


def subject_of(image: PlannedImage, names: Mapping[int, str]) -> Subject:
    """Return an image, without decisions, as decisions are about it; `names` are those of categories by id."""
    boxes, dropped = dict[str, SubjectBox](), set[str]()
    for key, values, scaled in _scaled(image, Scaling.of(image)):
        if scaled is None:
            dropped.add(key)
        else:
            x, y, width, height = scaled["bbox"]
            boxes[key] = SubjectBox(names[values["category_id"]], (x, y, width, height))
    return Subject(image.sha256, (image.width, image.height), boxes, frozenset(dropped))


def count_boxes(image: PlannedImage, ids: Mapping[str, int]) -> tuple[Counter[int], int]:
    """Count the boxes of an image by category id, and its regions to ignore; decisions are applied, no scaling is."""
    raws = image.labels.annotations if image.labels else ()
    if image.outcome is None:
        boxes = box_counts(image.labels) if image.labels else Counter[int]()
        return boxes, len(raws) - boxes.total()
    boxes, ignored = Counter[int](), 0
    edits = [(values, image.outcome.changes.get(values["source_key"], ())) for values in map(annotation, raws)]
    for values, changes in (*edits, *(({}, changes) for _, changes in image.outcome.added)):
        edited, _ = _edit(values, changes, ids)
        if edited is not None and edited["iscrowd"]:
            ignored += 1
        elif edited is not None:
            boxes[edited["category_id"]] += 1
    return boxes, ignored


def _edit(
    values: dict[str, Any], changes: Sequence[Change], ids: Mapping[str, int]
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """Return COCO values after changes, None for a deleted annotation, and the steps."""
    for change in changes:
        action, box = change.decision.action, change.after
        if box is None:
            return None, ()
        if action == "add":
            source_key = change.decision.key.rpartition("#")[2]
            values = {"iscrowd": 0, "source_key": source_key, "source_category": box.category}
        if action in {"add", "relabel"}:
            values = values | {"category_id": ids[box.category]}
        if action in {"add", "move"}:
            values = {name: value for name, value in values.items() if name != "segmentation"}
            values |= {"bbox": list(box.bbox), "area": round(box.bbox[2] * box.bbox[3], DECIMALS)}
    return values, tuple(map(str, changes))


def _numbered(plan: Plan) -> Iterator[tuple[int, PlannedImage, bool]]:
    """Yield (id, image, rejected), sorted by key."""
    kept, rejected = ((image, False) for image in plan.images), ((image, True) for image in plan.rejected)
    merged = heapq.merge(kept, rejected, key=lambda pair: pair[0].key)
    for identifier, (image, is_rejected) in enumerate(merged, start=1):
        yield identifier, image, is_rejected


def _count(image: PlannedImage) -> int:
    """Count the annotations of an image without decisions."""
    scaling = Scaling.of(image)
    if image.labels is not None and scaling.identity:
        return len(image.labels.annotations)
    return sum(scaled is not None for *_, scaled in _scaled(image, scaling))


def _scaled(image: PlannedImage, scaling: Scaling) -> Iterator[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """Yield (source key, COCO values, the same scaled) of the label entry, sorted by key; None if nothing remains."""
    labelled = [annotation(raw) for raw in image.labels.annotations] if image.labels else []
    for values in sorted(labelled, key=itemgetter("source_key")):
        try:
            scaled = values if scaling.identity else scaling.annotation(values)
        except (ValueError, TypeError, OverflowError) as error:
            raise NirgenError(
                f"{image.key}#{values['source_key']}: can't be scaled ({one_line(error, 99)}); correct its label"
            ) from None
        yield values["source_key"], values, scaled


def _coco(values: dict[str, Any], identifier: int, image_id: int, key: str) -> dict[str, Any]:
    """Return an annotation of the dataset: COCO's keys first, the source's last."""
    own = {"id": identifier, "image_id": image_id}
    own |= {name: values[name] for name in ("category_id", "bbox", "area", "iscrowd")} | {"key": key}
    return own | {name: value for name, value in values.items() if name not in own and name != "source_key"}


def _steps(values: dict[str, Any], category: str, scaling: Scaling) -> tuple[str, ...]:
    steps = []
    if values.get("derived"):
        steps.append(f"box from {values['derived']}")
    if values.get("clipped"):
        steps.append("cut at the border of the image")
    if values["source_category"] != category:
        steps.append(f"class {values['source_category']} -> {category}")
    if values["iscrowd"]:
        steps.append("region to ignore")
    if not scaling.identity:
        steps.append(str(scaling))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Scaling:
    """From the frame that was labelled to the image."""

    x: float  # width of the image divided by that of the frame
    y: float  # height likewise
    width: int  # of the image, in pixels
    height: int

    @classmethod
    def of(cls, image: PlannedImage) -> Self:
        """Return the scaling of an image with its label entry; the identity without one."""
        labels, size = image.labels, (image.width, image.height)
        return cls(1, 1, *size) if labels is None else cls(size[0] / labels.width, size[1] / labels.height, *size)

    @property
    def identity(self) -> bool:
        """Return True if labels stay as they are."""
        return self.x == self.y == 1

    def __str__(self) -> str:
        return f"scaled {self.x:.6g}x{self.y:.6g}"

    def annotation(self, values: dict[str, Any]) -> dict[str, Any] | None:
        """Scale box, outline, keypoints and area of a COCO annotation; None if its box has no width or no height left.

        The area of a box is that of the scaled box, the area of a mask that of the scaled mask; the area of polygons is
        multiplied. A mask without pixels is dropped, and its box stays.

        Example:
            >>> half = Scaling(0.5, 0.5, 640, 360)
            >>> half.annotation({"bbox": [10, 20, 31, 41], "area": 1271})
            {'bbox': [5.0, 10.0, 15.5, 20.5], 'area': 317.75}
        """
        bbox = self._box(values["bbox"])
        if bbox is None:
            return None
        scaled = values | {"bbox": bbox, "area": round(bbox[2] * bbox[3], DECIMALS)}
        outline = values.get("segmentation")
        if isinstance(outline, dict):
            scaled |= self._mask(outline)
            if not scaled["area"]:
                del scaled["segmentation"]
                scaled["area"] = round(bbox[2] * bbox[3], DECIMALS)
        elif outline:
            scaled["segmentation"] = [self._points(polygon, 2) for polygon in outline]
            scaled["area"] = round(values["area"] * self.x * self.y, DECIMALS) or scaled["area"]
        if values.get("keypoints"):
            scaled["keypoints"] = self._points(values["keypoints"], 3)
        return scaled

    def _box(self, bbox: list[float]) -> list[float] | None:
        """Scale a box and cut it at the image; None if nothing remains after rounding."""
        x, y, width, height = bbox
        left, top = round(x * self.x, DECIMALS), round(y * self.y, DECIMALS)
        right = min(round((x + width) * self.x, DECIMALS), self.width)
        bottom = min(round((y + height) * self.y, DECIMALS), self.height)
        size = [round(right - left, DECIMALS), round(bottom - top, DECIMALS)]
        return [left, top, *size] if min(size) > 0 and round(size[0] * size[1], DECIMALS) > 0 else None

    def _points(self, flat: list[float], step: int) -> list[float]:
        """Scale groups of `step` numbers that begin with x and y."""
        factors = (self.x, self.y)
        return [
            round(value * factors[place % step], DECIMALS) if place % step < 2 else value
            for place, value in enumerate(flat)
        ]

    def _mask(self, rle: dict[str, Any]) -> dict[str, Any]:
        """Sample a COCO RLE at the nearest pixels; return it with its area. ValueError as `check_rle`."""
        rle = check_rle(rle)
        height, width = rle["size"]
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools' own, of numpy 2
            pixels = rle_tools.decode(rle)
        rows = ((np.arange(self.height) + 0.5) * height / self.height).astype(int)
        columns = ((np.arange(self.width) + 0.5) * width / self.width).astype(int)
        sampled = rle_tools.encode(np.asfortranarray(pixels[rows][:, columns]))
        segmentation = {"size": [self.height, self.width], "counts": sampled["counts"].decode()}
        return {"segmentation": segmentation, "area": int(rle_tools.area(sampled))}
