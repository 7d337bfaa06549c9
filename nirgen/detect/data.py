"""Images and boxes of a dataset split, for training (`Examples`) and for judging (`Truth`)."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from nirgen import images
from nirgen.dataset.folder import DATASET_JSON, annotations_name, read_dataset
from nirgen.dataset.provenance import open_provenance
from nirgen.dataset.read import Entry, read_split
from nirgen.errors import ImageError, NirgenError
from nirgen.files import safe_path

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.labels.file import Category


@dataclass(frozen=True, slots=True)
class Example:
    """An image to learn from.

    Attributes:
        key: Its stable key.
        origin: The input of the dataset.
        generated: Whether it was translated from RGB.
        path: Its file.
        size: (height, width) in pixels.
        boxes: (n, 4) float64, COCO xywh in pixels, with a width and a height.
        categories: (n,) int64, positions in the names of the dataset's categories.
        ignored: (m, 4) float64, regions that are neither learnt nor punished, as `boxes`.
    """

    key: str
    origin: str
    generated: bool
    path: Path
    size: tuple[int, int]
    boxes: NDArray[np.float64]
    categories: NDArray[np.int64]
    ignored: NDArray[np.float64]

    def read(self) -> NDArray[np.uint8]:
        """Decode the image: (H, W, 3) uint8, three equal channels where it is grey.

        Raises:
            ImageError: It can't be read, or has another size than its annotations.
        """
        pixels = images.read(self.path)
        if pixels.shape[:2] != self.size:
            raise ImageError(
                f"{self.path}: {pixels.shape[1]}x{pixels.shape[0]}, but its annotations are of "
                f"{self.size[1]}x{self.size[0]}; build the dataset again"
            )
        return pixels


@dataclass(frozen=True)
class Examples:
    """The images of a split, sorted by key.

    Attributes:
        folder: The dataset.
        split: Its name.
        names: The dataset's categories, in the order of their ids.
        examples: The images, those without boxes too.
        dataset_digest: Of the plan that the dataset was made by.
        dataset_sha256: Of its dataset.json, which has the sha256 of all its files.
    """

    folder: Path
    split: str
    names: tuple[str, ...]
    examples: tuple[Example, ...]
    dataset_digest: str
    dataset_sha256: str

    @property
    def keys_sha256(self) -> str:
        """One hash of which images of the dataset these are."""
        return hashlib.sha256("".join(f"{example.key}\n" for example in self.examples).encode()).hexdigest()

    def counts(self) -> dict[str, Any]:
        """How many images of which kind and origin there are, and boxes of which category, as plain values."""
        generated = sum(example.generated for example in self.examples)
        boxes = Counter(self.names[number] for example in self.examples for number in example.categories.tolist())
        return {
            "images": len(self.examples),
            "generated": generated,
            "real": len(self.examples) - generated,
            "empty": sum(not len(example.boxes) for example in self.examples),
            "origins": dict(sorted(Counter(example.origin for example in self.examples).items())),
            "boxes": {name: boxes[name] for name in self.names},
            "ignored": sum(len(example.ignored) for example in self.examples),
        }

    def describe(self) -> str:
        """The counts in one line."""
        counts = self.counts()
        boxes = ", ".join(f"{count} {name}" for name, count in counts["boxes"].items())
        kinds = f"{counts['real']} real, {counts['generated']} generated, {counts['empty']} without boxes"
        return f"{counts['images']} images of '{self.split}' ({kinds}); boxes: {boxes}; {counts['ignored']} to ignore"


def read_examples(dataset: Path, split: str = "train", images: Collection[str] | None = None) -> Examples:
    """Read what a split of a dataset holds; images that nobody has labelled are left out.

    Args:
        dataset: The folder that `nirgen build-dataset` wrote.
        split: `train`, `val` or `test`.
        images: Keys of the images to take; all by default.

    Returns:
        At least one image, and at least one box.

    Raises:
        NirgenError: It is no dataset, lacks the split, or a key; or there is nothing to learn from.
    """
    info = read_dataset(dataset)
    names = tuple(category.name for category in info.categories)
    if not info.splits.get(split, {}).get("images"):
        held = ", ".join(f"{name} ({given['images']})" for name, given in info.splits.items() if given.get("images"))
        raise NirgenError(
            f"{dataset}: the split '{split}' has no images (it has {held or 'none at all'}); build it with "
            "'nirgen build-dataset --split train=0.8,val=0.2'"
        )
    left_out = unlabelled_keys(info, split)
    wanted = None if images is None else set(images)
    found = [
        _example(dataset, entry, names)
        for entry in read_split(dataset, split, {category.id: category.name for category in info.categories})
        if entry.image.key not in left_out and (wanted is None or entry.image.key in wanted)
    ]
    if wanted is not None and len(found) < len(wanted):
        lost = min(wanted - {example.key for example in found})
        raise NirgenError(f"{dataset}: the split '{split}' has no labelled image {lost!r}; take the keys of its own")
    if not any(len(example.boxes) for example in found):
        raise NirgenError(
            f"{dataset / annotations_name(split)}: no boxes on {len(found)} images, so there is nothing to learn; "
            "give labels of these images to 'nirgen build-dataset'"
        )
    sha256 = hashlib.sha256((dataset / DATASET_JSON).read_bytes()).hexdigest()
    return Examples(dataset, split, names, tuple(found), info.digest, sha256)


def _example(dataset: Path, entry: Entry, names: tuple[str, ...]) -> Example:
    image = entry.image
    boxes = [box for box in entry.boxes if box.bbox[2] > 0 and box.bbox[3] > 0]
    positives = [box for box in boxes if not box.iscrowd]
    return Example(
        key=image.key,
        origin=image.origin,
        generated=image.kind == "generated",
        path=dataset / safe_path(image.file_name, entry.split),
        size=(image.height, image.width),
        boxes=_array([box.bbox for box in positives]),
        categories=np.array([names.index(box.category) for box in positives], np.int64),
        ignored=_array([box.bbox for box in boxes if box.iscrowd]),
    )


def _array(boxes: list[tuple[float, float, float, float]]) -> NDArray[np.float64]:
    return np.array(boxes, np.float64).reshape(-1, 4)


def unlabelled_keys(info: DatasetInfo, split: str) -> frozenset[str]:
    """The keys of the images that nobody has labelled: nothing says that they are empty.

    Args:
        info: Of the dataset.
        split: If it has none of them, provenance isn't read; else those of other splits are among the keys.
    """
    if not info.splits.get(split, {}).get("unlabelled"):
        return frozenset()
    with open_provenance(info.folder) as file:
        rows = file.read(columns=["kind", "key", "label_file"])
    chosen = rows.filter(pc.and_(pc.equal(rows["kind"], "image"), pc.is_null(rows["label_file"])))
    return frozenset(chosen["key"].to_pylist())


SPLITS = ("test", "val")
"""What detectors may be judged on."""


@dataclass(frozen=True)
class Truth:
    """The images of a split, with their boxes.

    Attributes:
        folder: The dataset.
        dataset_sha256: Of its `dataset.json`, which has the hashes of all its files.
        split: Its name.
        categories: Of the dataset, in the order of their ids.
        entries: The images with what is on them, sorted by key; images with nothing on them too, but none that nobody
            has labelled.
        unlabelled: How many images of the split nobody has labelled.
        left_out: The ids of the split's images that aren't among the entries.
    """

    folder: Path
    dataset_sha256: str
    split: str
    categories: tuple[Category, ...]
    entries: tuple[Entry, ...]
    unlabelled: int = 0
    left_out: frozenset[int] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the categories, in the order of their ids."""
        return tuple(category.name for category in self.categories)

    @property
    def generated(self) -> int:
        """How many images were translated from RGB."""
        return sum(entry.image.kind == "generated" for entry in self.entries)

    def paths(self) -> list[Path]:
        """The files of the images, in the order of `entries`."""
        return [self.folder / safe_path(entry.image.file_name, entry.split) for entry in self.entries]

    def groups(self, by: str) -> list[str]:
        """What the bootstrap draws each image with.

        Args:
            by: `images`, or `sequences`: the recordings of an origin; an image of none is one of its own.
        """
        if by == "images":
            return [entry.image.key for entry in self.entries]
        return [
            entry.image.key if entry.image.sequence is None else f"{entry.image.origin}/{entry.image.sequence}/"
            for entry in self.entries
        ]

    def real(self) -> Truth:
        """The same without generated images.

        Raises:
            NirgenError: There is no real image.
        """
        entries = tuple(entry for entry in self.entries if entry.image.kind == "real")
        if not entries:
            raise NirgenError(
                f"{self.folder}: the split '{self.split}' has no real images to judge detectors on; give --real images "
                "of that split to 'nirgen build-dataset'"
            )
        others = {entry.image.id for entry in self.entries if entry.image.kind != "real"}
        return replace(self, entries=entries, left_out=self.left_out | others)


def read_truth(folder: Path, split: str) -> Truth:
    """Read what is on the images of a split; those that nobody has labelled are left out, as in training.

    Args:
        folder: A dataset of `nirgen build-dataset`.
        split: `test` or `val`.

    Raises:
        NirgenError: It is no dataset, or has no labelled images in that split, or can't be read.
    """
    info = read_dataset(folder)
    if not (folder / annotations_name(split)).is_file():
        others = [each for each in SPLITS if each != split and info.splits.get(each, {}).get("images")]
        remedy = f"judge on --split {others[0]}, or build" if others else "build"
        raise NirgenError(
            f"{folder}: has no split '{split}' to judge a detector on; {remedy} the dataset with real images in "
            f"it ('nirgen build-dataset --split train=0.8,val=0.1,test=0.1')"
        )
    entries = tuple(read_split(folder, split, {category.id: category.name for category in info.categories}))
    if not entries:
        raise NirgenError(f"{folder}: the split '{split}' has no images; build the dataset with real images in it")
    unlabelled = unlabelled_keys(info, split)
    labelled = tuple(entry for entry in entries if entry.image.key not in unlabelled)
    if not labelled:
        raise NirgenError(
            f"{folder}: nobody has labelled an image of the split '{split}', so nothing can be judged on them; give "
            "labels of these images to 'nirgen build-dataset'"
        )
    left_out = frozenset(entry.image.id for entry in entries if entry.image.key in unlabelled)
    return Truth(folder, dataset_sha256(folder), split, info.categories, labelled, len(left_out), left_out)


def dataset_sha256(folder: Path) -> str:
    """The sha256 of a dataset's `dataset.json`, by which two datasets are told apart."""
    return hashlib.sha256((folder / DATASET_JSON).read_bytes()).hexdigest()
