"""Folders of real NIR images as inputs: their files with their labels, and what a list of pairs knows of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.dataset.entries import find_entries, misfit, name_targets
from nirgen.dataset.folder import Looked, read_all, read_bytes
from nirgen.dataset.plan import Matched, PlannedImage
from nirgen.errors import ImageError, NirgenError
from nirgen.files import safe_path
from nirgen.labels.frames import SPLITS
from nirgen.pairs.listing import file_of, read_rows
from nirgen.pairs.matching import list_images
from nirgen.translate.journal import FOLDER
from nirgen.translate.manifest import NAME, is_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.dataset.config import DatasetConfig, RealInput
    from nirgen.dataset.plan import Tally
    from nirgen.labels.file import LabelFile, LabelledImage
    from nirgen.pairs.listing import Pair
    from nirgen.progress import Progress


_SPLIT_NAMES = {**{split: split for split in SPLITS}, "training": "train", "valid": "val", "validation": "val"}


@dataclass(frozen=True, slots=True)
class RealImage:
    """An image that has no split yet.

    Attributes:
        origin: The input.
        name: POSIX path in its folder.
        path: The file.
        file: What it is.
        target: Where it goes in the dataset.
        labels: Its label entry, or None.
        label_file: The index in the plan of the file of labels.
        pair: The pair whose NIR image it is, or None.
        rgb: The file of its RGB partner; None if there is none, or it is gone.
    """

    origin: str
    name: str
    path: Path
    file: Looked
    target: str
    labels: LabelledImage | None
    label_file: int
    pair: Pair | None
    rgb: Path | None

    @property
    def key(self) -> str:
        """The stable key."""
        return f"{self.origin}/{self.name}"

    @property
    def sequences(self) -> tuple[str, ...]:
        """The names that its recording has, its labels' before its pair's."""
        known = (self.labels.sequence if self.labels else None, self.pair.sequence if self.pair else None)
        return tuple(dict.fromkeys(name for name in known if name))

    @property
    def split(self) -> str | None:
        """The split that its labels name, or else its pair."""
        return _SPLIT_NAMES.get(_own_split(self.labels, self.pair))

    def planned(self, split: str) -> PlannedImage:
        """The image as a part of the dataset."""
        height, width = self.file.size or (0, 0)
        return PlannedImage(
            key=self.key,
            origin=self.origin,
            kind="real",
            split=split,
            path=self.path.absolute(),
            sha256=self.file.sha256,
            size_bytes=self.file.size_bytes,
            width=width,
            height=height,
            target=self.target,
            labels=self.labels,
            label_file=self.label_file,
            source=self.pair.rgb if self.pair else None,
            source_sha256=self.pair.rgb_sha256 if self.pair else None,
            sequence=next(iter(self.sequences), None),
        )


class Partners:
    """What a list of pairs knows of the images of a folder.

    Args:
        given: The input.

    Raises:
        NirgenError: The list can't be read, or its images lie side by side in one file.
    """

    def __init__(self, given: RealInput) -> None:
        rows = read_rows(given.pairs) if given.pairs is not None else ()
        if any(file_of(pair.nir) != pair.nir for pair in rows):
            raise NirgenError(
                f"{given.pairs}: its NIR images are halves of files; list them cut into files of their own"
            )
        self._roots = (given.pairs.parent, given.folder) if given.pairs is not None else ()
        self._by_path = {(root / pair.nir).resolve(): pair for pair in rows for root in self._roots}
        self._by_hash = {pair.nir_sha256: pair for pair in reversed(rows)}

    def of(self, path: Path, sha256: str) -> Pair | None:
        """The pair of a NIR image: by its path as the list has it, or by its bytes."""
        return self._by_path.get(path.resolve()) or self._by_hash.get(sha256)

    def rgb(self, pair: Pair) -> Path | None:
        """The file of a pair's RGB image, if it is there."""
        places = (root / pair.rgb for root in self._roots)
        return next((place for place in places if place.is_file()), None)


def find_real(
    given: RealInput,
    labels: LabelFile,
    number: int,
    *,
    config: DatasetConfig,
    tally: Tally,
    report: Progress | None = None,
) -> tuple[list[RealImage], Matched]:
    """The images of a folder that can go into a dataset.

    Args:
        given: The input.
        labels: Of its images.
        number: The index of its labels in the plan.
        config: What was asked for.
        tally: Where what stays out is counted.
        report: Told as files are read.

    Returns:
        The images, sorted by name, and how they found their labels.

    Raises:
        NirgenError: The folder has no images or is a translation folder; labels and images don't fit each other, or
            not in one way only.
    """
    files = _list(given)
    entries = find_entries(given.origin, list(files), labels, tally)
    partners = Partners(given)
    names = [name for name in files if name in entries.of or config.include_unlabelled]
    tally.add(given.origin, "unlabelled", files.keys() - names)
    looked = read_all(look_at, [files[name] for name in names], what=f"hash {given.origin}", report=report)
    targets = name_targets(given.origin, names, config.codec)
    found = []
    for name, file, target in zip(names, looked, targets, strict=True):
        entry = entries.of.get(name)
        if isinstance(file, ImageError):
            tally.add(given.origin, "damaged", [name])
            continue
        pair = partners.of(files[name], file.sha256)
        problem = _problem(entry, pair, file)
        if problem is not None:
            tally.add(given.origin, problem[0], [f"{name} {problem[1]}"])
        else:
            rgb = partners.rgb(pair) if pair else None
            found.append(RealImage(given.origin, name, files[name], file, target, entry, number, pair, rgb))
    return found, entries.matched


def _list(given: RealInput) -> dict[str, Path]:
    """The images of the folder, by their names."""
    if (given.folder / FOLDER).is_dir() or is_manifest(given.folder / NAME):
        raise NirgenError(f"{given.folder}: a translation folder, whose images are not real; give it with --generated")
    files = {path.relative_to(given.folder).as_posix(): path for path in list_images(given.folder)}
    if not files:
        raise NirgenError(f"{given.folder}: no folder with images; name that of the real NIR images")
    for name in files:
        safe_path(name, str(given.folder))
    return files


def _problem(entry: LabelledImage | None, pair: Pair | None, file: Looked) -> tuple[str, str] | None:
    """Why an image stays out: a key of `REASONS`, and what to say of it."""
    own = _own_split(entry, pair)
    if own and own not in _SPLIT_NAMES:
        return "other-split", f"is of '{own}'"
    height, width = file.size or (0, 0)
    remark = misfit(entry, width, height) if entry else None
    return None if remark is None else ("size", remark)


def _own_split(entry: LabelledImage | None, pair: Pair | None) -> str:
    """The split that labels name, or else a list of pairs; empty if none does."""
    return (entry.split if entry else None) or (pair.split if pair else "")


def look_at(path: Path) -> Looked:
    """Hash an image, and take its size from its header.

    Raises:
        ImageError: It can't be read, or is no image.
    """
    data = read_bytes(path)
    return Looked(hashlib.sha256(data).hexdigest(), len(data), images.size_of(data, str(path)))
