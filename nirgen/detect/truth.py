"""What is on the images of a split: what detections are judged by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nirgen.collection.coco import Entry, read_split
from nirgen.dataset.folder import DATASET_JSON, annotations_name, read_dataset
from nirgen.detect.examples import unlabelled_keys
from nirgen.errors import NirgenError
from nirgen.labels.names import safe_path

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.labels.file import Category

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
