"""Annotations of a dataset: COCO entries with ids, scaled to the image and edited by decisions."""

from __future__ import annotations

import heapq
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pycocotools import mask as rle_tools

from nirgen.dataset.decisions import Editing
from nirgen.labels.file import annotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nirgen.dataset.plan import Plan, PlannedImage


@dataclass(frozen=True, slots=True)
class Box:
    """An annotation of the dataset.

    Attributes:
        coco: Its COCO keys.
        source_key: What its label file calls it.
        steps: What was done since the source, in words.
        added: Whether a curator added it; its label file doesn't have it then.
    """

    coco: dict[str, Any]
    source_key: str
    steps: tuple[str, ...]
    added: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """An image of the dataset with what is on it.

    Attributes:
        id: From 1, in the order of the keys, over all splits; rejected images keep theirs.
        image: The image.
        boxes: In the order of their keys; their ids are from 1 over all splits as well. Deleted ones keep theirs, and
            added ones come after all others.
        dropped: The keys of those that had no width or height left after scaling.
    """

    id: int
    image: PlannedImage
    boxes: list[Box] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def label_images(plan: Plan) -> Iterator[Labelled]:
    """Number the images of a plan and their annotations, one image at a time.

    Args:
        plan: The plan.

    Yields:
        The images, in the order of their keys, without the rejected ones.
    """
    names = {category.id: category.name for category in plan.categories}
    ids = {name: number for number, name in names.items()}
    number, last = 0, _count_all(plan)
    for identifier, image, rejected in _numbered(plan):
        if rejected:
            number += _count(image)
            continue
        labelled = Labelled(identifier, image)
        scaling = Scaling.of(image)
        editing = Editing(image, ids) if image.decisions else None
        for key, values in _by_key(image):
            scaled = values if scaling.identity else scaling.annotation(values)
            if scaled is None:
                labelled.dropped.append(f"{image.key}#{key}")
                continue
            number += 1
            edited, decided = editing.apply(key, scaled) if editing else (scaled, ())
            if edited is None:
                continue
            coco = _coco(edited, number, identifier, f"{image.key}#{key}")
            labelled.boxes.append(Box(coco, key, (*_steps(values, names[values["category_id"]], scaling), *decided)))
        for key, values, decided in editing.added() if editing else ():
            last += 1
            labelled.boxes.append(Box(_coco(values, last, identifier, f"{image.key}#{key}"), key, decided, added=True))
        labelled.boxes.sort(key=lambda box: box.source_key)
        yield labelled


def image_entries(plan: Plan, split: str, licences: Mapping[tuple[int, Any], int]) -> Iterator[dict[str, Any]]:
    """The COCO `images` of a split; keys of the source that nirgen doesn't own stay.

    Args:
        plan: The plan.
        split: Which split of it.
        licences: The new ids of licences that have one, by the position of their label file and their id there.
    """
    for identifier, image, rejected in _numbered(plan):
        if image.split == split and not rejected:
            yield _image_entry(identifier, image, licences)


def _numbered(plan: Plan) -> Iterator[tuple[int, PlannedImage, bool]]:
    """The images with their ids, and whether they are rejected, sorted by key."""
    kept, rejected = ((image, False) for image in plan.images), ((image, True) for image in plan.rejected)
    merged = heapq.merge(kept, rejected, key=lambda pair: pair[0].key)
    for identifier, (image, is_rejected) in enumerate(merged, start=1):
        yield identifier, image, is_rejected


def _count_all(plan: Plan) -> int:
    """How many annotations there would be without decisions; 0 if none is added, for then nobody needs to know."""
    if not any(decision.action == "add" for image in plan.images for decision in image.decisions):
        return 0
    return sum(_count(image) for image in (*plan.images, *plan.rejected))


def _count(image: PlannedImage) -> int:
    """How many annotations of an image there would be without decisions."""
    scaling = Scaling.of(image)
    if image.labels is None or scaling.identity:
        return 0 if image.labels is None else len(image.labels.annotations)
    return sum(scaling.annotation(values) is not None for _, values in _by_key(image))


def _image_entry(identifier: int, image: PlannedImage, licences: Mapping[tuple[int, Any], int]) -> dict[str, Any]:
    labels = image.labels
    own: dict[str, Any] = {
        "id": identifier,
        "file_name": image.target,
        "width": image.width,
        "height": image.height,
        "key": image.key,
        "origin": image.origin,
        "kind": image.kind,
    }
    if image.sequence is not None:
        own["sequence"] = image.sequence
    if labels is None:
        return own | {"unlabelled": True} if image.unlabelled else own
    if labels.attributes:
        own["attributes"] = labels.attributes
    others = {name: value for name, value in labels.extra.items() if name not in own}
    if "license" in others:
        others["license"] = licences.get((image.label_file, others["license"]), others["license"])
    return own | others


def _by_key(image: PlannedImage) -> Sequence[tuple[str, dict[str, Any]]]:
    """The annotations of an image's label entry with their keys, sorted by these."""
    if image.labels is None:
        return []
    values = [annotation(raw) for raw in image.labels.annotations]
    return sorted(((each["source_key"], each) for each in values), key=lambda pair: pair[0])


def _coco(values: dict[str, Any], identifier: int, image_id: int, key: str) -> dict[str, Any]:
    """The keys of an annotation in the dataset: COCO's first, the source's own last."""
    own = {
        "id": identifier,
        "image_id": image_id,
        "category_id": values["category_id"],
        "bbox": values["bbox"],
        "area": values["area"],
        "iscrowd": values["iscrowd"],
        "key": key,
    }
    return own | {name: value for name, value in values.items() if name not in own and name != "source_key"}


def _steps(values: dict[str, Any], category: str, scaling: Scaling) -> tuple[str, ...]:
    """What was done to an annotation, in words."""
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


DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Scaling:
    """From the frame that was labelled to the image.

    Attributes:
        x: Width of the image divided by that of the frame.
        y: The same of the heights.
        width: Of the image, in pixels.
        height: The same.
    """

    x: float
    y: float
    width: int
    height: int

    @classmethod
    def of(cls, image: PlannedImage) -> Self:
        """That of an image with its label entry; an image without one has its own frame."""
        if image.labels is None:
            return cls(1, 1, image.width, image.height)
        labels = image.labels
        return cls(image.width / labels.width, image.height / labels.height, image.width, image.height)

    @property
    def identity(self) -> bool:
        """Whether labels stay as they are."""
        return self.x == self.y == 1

    def __str__(self) -> str:
        return f"scaled {self.x:.6g}x{self.y:.6g}"

    def annotation(self, values: dict[str, Any]) -> dict[str, Any] | None:
        """Scale box, outline, keypoints and area of an annotation.

        The area of a box is that of the box as written, that of a mask the mask's as written, that of polygons grows
        with them. A mask that has no pixel left leaves its box behind.

        Args:
            values: COCO keys.

        Returns:
            The keys with what was scaled; None if the box has no width or no height left.

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
        """A box, inside the image; None if nothing is left of it that decimals can say."""
        x, y, width, height = bbox
        left, top = round(x * self.x, DECIMALS), round(y * self.y, DECIMALS)
        right = min(round((x + width) * self.x, DECIMALS), self.width)
        bottom = min(round((y + height) * self.y, DECIMALS), self.height)
        size = [round(right - left, DECIMALS), round(bottom - top, DECIMALS)]
        return [left, top, *size] if min(size) > 0 and round(size[0] * size[1], DECIMALS) > 0 else None

    def _points(self, flat: list[float], step: int) -> list[float]:
        """Scale x and y by turns, each two followed by what isn't scaled if `step` is over 2."""
        factors = (self.x, self.y)
        return [
            round(value * factors[position % step], DECIMALS) if position % step < 2 else value
            for position, value in enumerate(flat)
        ]

    def _mask(self, rle: dict[str, Any]) -> dict[str, Any]:
        """A mask in COCO's RLE, sampled at the nearest pixels, with its area."""
        height, width = rle["size"]
        if isinstance(rle["counts"], list):
            rle = rle_tools.frPyObjects(rle, height, width)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools' own, of numpy 2
            pixels = rle_tools.decode(rle)
        rows = ((np.arange(self.height) + 0.5) * height / self.height).astype(int)
        columns = ((np.arange(self.width) + 0.5) * width / self.width).astype(int)
        sampled = rle_tools.encode(np.asfortranarray(pixels[rows][:, columns]))
        segmentation = {"size": [self.height, self.width], "counts": sampled["counts"].decode()}
        return {"segmentation": segmentation, "area": int(rle_tools.area(sampled))}
