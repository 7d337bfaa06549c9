"""The labelled images of a dataset split, for training and for evaluation."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.dataset.folder import DATASET_JSON, annotations_name, read_dataset
from nirgen.dataset.read import read
from nirgen.errors import NirgenError, counted
from nirgen.files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.dataset.read import Box, Image
    from nirgen.detect.config import DetectConfig
    from nirgen.detect.looks import Look
    from nirgen.labels.file import Category


VALIDATION = "val"


@dataclass(frozen=True)
class Split:
    """The labelled images of a split; images without boxes are among them."""

    folder: Path  # the dataset
    digest: str  # of the plan that the dataset was built from
    sha256: str  # of dataset.json, which holds the sha256 of all files
    name: str  # train, val or test
    categories: tuple[Category, ...]  # in the order of their ids
    images: tuple[Image, ...]  # sorted by key
    left_out: frozenset[int] = frozenset()  # ids of the split's other images
    unlabelled: int = 0  # number of images left out because they have no labels
    looks: Mapping[str, Look] = field(default_factory=dict)  # by key: of RGB images that stand in for generated ones

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the categories, in the order of their ids."""
        return tuple(category.name for category in self.categories)

    @property
    def ids(self) -> tuple[int, ...]:
        """Ids of the images in the COCO file, in their order."""
        return tuple(image.id for image in self.images if image.id is not None)

    @property
    def generated(self) -> int:
        """Number of generated images."""
        return sum(image.generated for image in self.images)

    def groups(self, by: str) -> list[str]:
        """Return the group of each image: the image itself, or by `sequences` its recording, if it has one."""
        return [
            image.key if by == "images" or image.sequence is None else f"{image.origin}/{image.sequence}/"
            for image in self.images
        ]

    def real(self) -> Split:
        """Return the split without its generated images, at least one image."""
        keys = {image.key for image in self.images if not image.generated}
        if not keys:
            raise NirgenError(
                f"{self.folder}: the split '{self.name}' has no real images to judge detectors on; give --real images "
                "of that split to 'nirgen build-dataset'"
            )
        return self.only(keys)

    def only(self, keys: Collection[str]) -> Split:
        """Return the split with the images of given keys alone, which it must have."""
        keys = set(keys)
        if lost := keys - {image.key for image in self.images}:
            raise NirgenError(
                f"{self.folder}: the split '{self.name}' has no labelled image {min(lost)!r}; take the keys of its own"
            )
        others = {image.id for image in self.images if image.id is not None and image.key not in keys}
        images = tuple(image for image in self.images if image.key in keys)
        return replace(self, images=images, left_out=self.left_out | others)

    def standing_in(self, look: Look) -> Split:
        """Return the split with the RGB images of its generated ones in their place; which must be there."""
        images = [
            replace(image, path=image.rgb, generated=False) if image.generated and image.rgb else image
            for image in self.images
        ]
        return replace(self, images=tuple(images), looks={image.key: look for image in self.images if image.generated})

    def counts(self) -> dict[str, Any]:
        """Return the numbers of images by kind and origin, and of boxes by category, as plain values."""
        found = [learnable(image) for image in self.images]
        boxes = Counter(None if box.ignored else box.category for on_image in found for box in on_image)
        copies = sum(image.key in self.looks for image in self.images)
        return {
            "images": len(self.images),
            "generated": self.generated,
            "real": len(self.images) - self.generated - copies,
            **({"rgb": copies} if copies else {}),
            "empty": sum(all(box.ignored for box in on_image) for on_image in found),
            "origins": dict(sorted(Counter(image.origin for image in self.images).items())),
            "boxes": {name: boxes[name] for name in self.names},
            "ignored": boxes[None],
        }

    def about(self) -> dict[str, Any]:
        """Return what identifies the training set, as plain values."""
        looks = {key: f"{look}\n" for key, look in self.looks.items()}
        names = (f"{image.key}\n{looks.get(image.key, '')}" for image in self.images)
        keys = hashlib.sha256("".join(names).encode()).hexdigest()
        hashes = {"digest": self.digest, "sha256": self.sha256, "keys_sha256": keys}
        return {**hashes, "split": self.name, **self.counts()}

    def describe(self) -> str:
        """Return the counts in one line."""
        counts = self.counts()
        boxes = ", ".join(f"{count} {name}" for name, count in counts["boxes"].items())
        kinds = f"{counts['real']} real, {counts['generated']} generated, {counts['empty']} without boxes"
        kinds += f", {counts['rgb']} from RGB" if "rgb" in counts else ""
        images = f"{counted(counts['images'], 'image')} of '{self.name}' ({kinds})"
        return f"{images}; boxes: {boxes}; {counts['ignored']} to ignore"


def describe_boxes(train: Split) -> str:
    """Return the boxes of generated images against those of real ones, in a line.

    They are told by class: how many are on an image, and their median side (the root of the area) as a share of the
    image's.
    """
    told = []
    for name in train.names:
        of_kind = []
        for kind in (True, False):
            of_images = [image for image in train.images if image.generated is kind]
            sides = [
                math.sqrt(box.bbox[2] * box.bbox[3] / (image.width * image.height))
                for image in of_images
                for box in learnable(image)
                if box.category == name and not box.ignored
            ]
            size = f" of {100 * float(np.median(sides)):.2g} %" if sides else ""
            of_kind.append(f"{len(sides) / max(1, len(of_images)):.2g}{size}")
        told.append(f"{name} {of_kind[0]} against {of_kind[1]}")
    return f"boxes on a generated image against those on a real one, with their median side: {', '.join(told)}"


def learnable(image: Image) -> list[Box]:
    """Return the boxes of an image that have an area."""
    return [box for box in image.boxes if box.bbox[2] > 0 and box.bbox[3] > 0]


def read_split(dataset: Path, name: str = "train") -> Split:
    """Read a split of a dataset: at least one image; those without labels are left out."""
    info = read_dataset(dataset)
    if not info.splits.get(name, {}).get("images"):
        held = ", ".join(f"{split} ({given['images']})" for split, given in info.splits.items() if given.get("images"))
        raise NirgenError(
            f"{dataset}: the split '{name}' has no images (it has {held or 'none at all'}); choose another one, or "
            "build it with 'nirgen build-dataset --split train=0.8,val=0.1,test=0.1'"
        )
    split = _read(info, name)
    if not split.images:
        raise NirgenError(
            f"{dataset}: the split '{name}' has no labelled images; give labels of them to 'nirgen build-dataset'"
        )
    return split


def read_validation(trained_on: Split, config: DetectConfig) -> Split | None:
    """Return the images that a training is validated on: labelled ones of `val`, real ones alone if there are any.

    They are at most `config.validation_images`, spread evenly. None if the split has no objects, or is trained on, or
    the settings want no validation.
    """
    if not config.validation_steps or trained_on.name == VALIDATION:
        return None
    info = read_dataset(trained_on.folder)
    if not info.splits.get(VALIDATION, {}).get("images"):
        return None
    split = _read(info, VALIDATION)
    split = split.real() if split.generated < len(split.images) else split
    keys = [image.key for image in split.images]
    places = np.linspace(0, len(keys) - 1, min(config.validation_images, len(keys))).round().astype(int)
    split = split.only([keys[place] for place in places])
    return split if any(not box.ignored for image in split.images for box in image.boxes) else None


def class_factors(split: Split, threshold: float) -> dict[str, float]:
    """Return the repeat factors of the classes: the root of `threshold` over the share of images with the class.

    Gupta et al., "LVIS", CVPR 2019, appendix B. A class on more images, or on none, has 1.
    """
    images = Counter(name for image in split.images for name in _classes(image))
    share = {name: images[name] / len(split.images) for name in split.names}
    return {name: max(1.0, math.sqrt(threshold / found)) if found else 1.0 for name, found in share.items()}


def image_factors(split: Split, threshold: float) -> list[float]:
    """Return the repeat factor of each image, the highest of its classes; 1 without objects."""
    factors = class_factors(split, threshold)
    return [max((factors[name] for name in _classes(image)), default=1.0) for image in split.images]


def _classes(image: Image) -> set[str]:
    return {box.category for box in learnable(image) if not box.ignored}


def _read(info: DatasetInfo, name: str) -> Split:
    """Read the labelled images of a split, perhaps none."""
    images = tuple(read(info, [name]))
    labelled = tuple(image for image in images if image.labelled)
    left_out = frozenset(image.id for image in images if not image.labelled and image.id is not None)
    sha256 = sha256_of(info.folder / DATASET_JSON)
    return Split(info.folder, info.digest, sha256, name, info.categories, labelled, left_out, len(left_out))


def refuse_without_boxes(split: Split) -> None:
    """Raise a NirgenError for a training set without boxes."""
    if not any(not box.ignored for image in split.images for box in learnable(image)):
        raise NirgenError(
            f"{split.folder / annotations_name(split.name)}: no boxes on {len(split.images)} images, so there is "
            "nothing to learn; give labels of these images to 'nirgen build-dataset'"
        )
