"""What several splits share, though they must not."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from nirgen.pairs.duplicates import find_near_copies

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from nirgen.validate.coco import CocoFile
    from nirgen.validate.files import Inspected
    from nirgen.validate.findings import Findings

_JUDGES = frozenset({"val", "test"})
"""Splits that may hold neighbouring frames: none of them trains."""


def check_files(files: Sequence[CocoFile], paths: Sequence[Sequence[Path | None]], findings: Findings) -> None:
    """Look for image files in two splits."""
    seen: dict[Path, CocoFile] = {}
    for file, position, path in chain(*_places(files, paths)):
        first = seen.setdefault(path, file)
        if first is not file:
            findings.add("split-file", f"{file.image(position)}, also in {first.path.name}")


def check_copies(
    files: Sequence[CocoFile],
    paths: Sequence[Sequence[Path | None]],
    inspected: Mapping[Path, Inspected],
    agreed: Collection[str],
    findings: Findings,
) -> None:
    """Look for copies and near copies of one split's images in a later one; near ones where there are fingerprints.

    Args:
        files: The splits.
        paths: Of the images of each.
        inspected: What these are.
        agreed: Keys of images that were accepted as leaks.
        findings: Takes what is wrong.
    """
    placed = [[place for place in places if place[2] in inspected] for places in _places(files, paths)]
    copied = _check_equal_copies(placed, inspected, agreed, findings)
    judged = [
        [place for place in places if place[2] not in copied and place[0].images.keys[place[1]] not in agreed]
        for places in placed
    ]
    _check_near_copies(placed, judged, inspected, findings)


def check_sequences(files: Sequence[CocoFile], agreed: Collection[str], findings: Findings) -> None:
    """Look for sequences with frames in several splits; those of one origin only are compared."""
    holders: dict[tuple[str, str], dict[str, tuple[CocoFile, list[int]]]] = {}
    for file in files:
        for position, sequence in enumerate(file.images.sequences):
            if sequence is not None and file.images.keys[position] not in agreed:
                name = (str(file.images.origins[position]), str(sequence))
                holders.setdefault(name, {}).setdefault(file.split, (file, []))[1].append(position)
    for (_, sequence), splits in sorted(holders.items()):
        if len(splits) > 1 and not splits.keys() <= _JUDGES:
            shown = "; ".join(f"{len(at)} such as {file.image(at[0])}" for file, at in splits.values())
            findings.add("split-sequence", f"{sequence!r}: {shown}")


def check_kinds(files: Sequence[CocoFile], findings: Findings) -> None:
    """Look for generated images in the splits that judge."""
    for file in files:
        if file.split in _JUDGES:
            generated = [position for position, kind in enumerate(file.images.kinds) if kind == "generated"]
            findings.add_all("generated-judge", generated, file.image)


_Place = tuple["CocoFile", int, "Path"]
"""An image: its annotation file, its position there, and where it lies."""


def _places(files: Sequence[CocoFile], paths: Sequence[Sequence[Path | None]]) -> list[list[_Place]]:
    """The images of each file whose names can be trusted."""
    return [
        [(file, position, path) for position, path in enumerate(each) if path is not None]
        for file, each in zip(files, paths, strict=True)
    ]


def _check_equal_copies(
    placed: Sequence[Sequence[_Place]],
    inspected: Mapping[Path, Inspected],
    agreed: Collection[str],
    findings: Findings,
) -> set[Path]:
    """Find copies of an earlier split's images, and return them."""
    holders: dict[str, _Place] = {}
    copied = set()
    for file, position, path in chain(*placed):
        first, at, place = holders.setdefault(inspected[path].sha256, (file, position, path))
        if first is not file and place != path and file.images.keys[position] not in agreed:
            copied.add(path)
            findings.add("split-copy", f"{file.image(position)} is {first.image(at)}")
    return copied


def _check_near_copies(
    placed: Sequence[Sequence[_Place]],
    judged: Sequence[Sequence[_Place]],
    inspected: Mapping[Path, Inspected],
    findings: Findings,
) -> None:
    """Find near copies of any earlier split's images among those that are judged."""
    earlier: list[_Place] = []
    for places, sought in zip(placed, judged, strict=True):
        split = {place[0].split for place in places}
        others = [place for place in earlier if not {place[0].split, *split} <= _JUDGES]
        near = find_near_copies(
            [inspected[path].fingerprint for _, _, path in sought],
            [inspected[path].fingerprint for _, _, path in others],
        )
        for each, (other, distance) in near.items():
            file, position, path = sought[each]
            first, at, place = others[other]
            if path != place:
                likeness = f"{distance} of 64 bits of their hashes differ"
                findings.add("split-near-copy", f"{file.image(position)} is like {first.image(at)} ({likeness})")
        earlier += places
