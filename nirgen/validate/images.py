"""Checks of image files and other files of a dataset, and of what splits share."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.dataset.folder import IMAGES, altered, foreign, read_all, read_bytes
from nirgen.dataset.leaks import SMALL_SIDE
from nirgen.errors import ImageError, NirgenError
from nirgen.files import safe_path
from nirgen.pairs.duplicates import find_near_copies, fingerprint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.pairs.duplicates import Fingerprint
    from nirgen.progress import Progress
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings


_EDITABLE = ("README.md", "card/", "configs/")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What an image file is.

    Attributes:
        sha256: Of its bytes.
        header: What it says of itself; None if it can't be decoded.
        fingerprint: To know near copies by; None if it can't be decoded, or if that wasn't asked for.
        error: Why it can't be decoded.
    """

    sha256: str
    header: images.Header | None = None
    fingerprint: Fingerprint | None = None
    error: str | None = None


def check_names(files: Sequence[CocoFile], findings: Findings) -> list[list[Path | None]]:
    """Look for names that lead out of the images' folder.

    Returns:
        For each file the paths of its images; None where a name can't be trusted, or isn't there.
    """
    return [[_path_of(file, position, findings) for position in range(len(file.images))] for file in files]


def inspect(
    paths: Sequence[Sequence[Path | None]], *, decode: bool, fingerprints: bool, report: Progress | None
) -> dict[Path, Inspected]:
    """Read all images, each once, in threads.

    Args:
        paths: Of the images of each file.
        decode: Whether to decode them, and not to read their headers only.
        fingerprints: Whether to take fingerprints, which takes decoding.
        report: Told after each image.

    Returns:
        What each file is; those that aren't there, or can't be read, are left out.
    """

    def work(path: Path) -> Inspected:
        return _inspect(read_bytes(path), path.name, decode=decode, fingerprints=fingerprints)

    named = list(dict.fromkeys(path for each in paths for path in each if path is not None))
    results = read_all(work, named, what="images", report=report)
    return {path: found for path, found in zip(named, results, strict=True) if not isinstance(found, ImageError)}


def check_images(
    files: Sequence[CocoFile],
    paths: Sequence[Sequence[Path | None]],
    inspected: Mapping[Path, Inspected],
    findings: Findings,
) -> None:
    """Compare image files with their entries."""
    for file, places in zip(files, paths, strict=True):
        for position, path in enumerate(places):
            if path is None:
                continue
            found = inspected.get(path)
            if found is None:
                findings.add("missing-file", file.image(position))
            else:
                _check_image(file, position, found, findings)


def check_recorded(
    info: DatasetInfo, inspected: Mapping[Path, Inspected], findings: Findings, report: Progress | None
) -> None:
    """Compare the files of a nirgen dataset with what `dataset.json` says of them.

    Args:
        info: What the dataset says of itself.
        inspected: Its images, which need not be read again.
        findings: Takes what is wrong.
        report: Told after each file.
    """
    known = {path.relative_to(info.folder).as_posix(): found.sha256 for path, found in inspected.items()}
    findings.add_all(
        "changed-image", [name for name, sha256 in known.items() if info.files.get(name, sha256) != sha256], str
    )
    others = {name: sha256 for name, sha256 in info.files.items() if name not in known}
    for name in altered(replace(info, files=others), report):
        if name.startswith(f"{IMAGES}/"):
            findings.add("changed-image", name)
        else:
            findings.add("edited-file" if name.startswith(_EDITABLE) else "changed-file", name)
    findings.add_all("stray-file", [name for name in foreign(info) if name.startswith(f"{IMAGES}/")], str)


def check_alike(
    files: Sequence[CocoFile],
    paths: Sequence[Sequence[Path | None]],
    inspected: Mapping[Path, Inspected],
    findings: Findings,
) -> None:
    """Look whether real and generated images of a nirgen dataset can be told apart by how they are stored."""
    for file, places in zip(files, paths, strict=True):
        codecs: dict[str, Counter[str]] = {}
        channels: dict[str, Counter[str]] = {}
        for kind, path in zip(file.images.kinds, places, strict=True):
            header = inspected[path].header if path is not None and path in inspected else None
            if header is not None:
                codecs.setdefault(str(kind), Counter())[header.codec] += 1
                layout = "1 channel" if header.channels == 1 else f"{header.channels} channels"
                channels.setdefault(str(kind), Counter())[layout] += 1
        for check, counted in (("mixed-codecs", codecs), ("mixed-channels", channels)):
            if {"real", "generated"} <= counted.keys() and counted["real"].keys() != counted["generated"].keys():
                shown = "; ".join(_said(kind, counted[kind]) for kind in sorted(counted))
                findings.add(check, f"{file.split}: {shown}")


def _path_of(file: CocoFile, position: int, findings: Findings) -> Path | None:
    name = file.images.names[position]
    if not name:  # found when the file was read
        return None
    try:
        return file.root / safe_path(name, file.path.name)
    except NirgenError:
        findings.add("unsafe-name", file.image(position))
        return None


def _inspect(data: bytes, name: str, *, decode: bool, fingerprints: bool) -> Inspected:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        header = images.header_of(data, name)
        if not decode:
            return Inspected(sha256, header)
        pixels = images.decode(data, name)
        if not fingerprints:
            return Inspected(sha256, header)
        # as `nirgen build-dataset` takes them; what isn't JPEG has no quick way
        small = images.decode_small(data, name, SMALL_SIDE) if header.codec == "JPEG" else pixels
        return Inspected(sha256, header, fingerprint(small))
    except ImageError as error:
        return Inspected(sha256, error=str(error))


def _check_image(file: CocoFile, position: int, found: Inspected, findings: Findings) -> None:
    where, header = file.image(position), found.header
    if header is None:
        findings.add("damaged-image", f"{where}: {found.error}")
        return
    width, height = int(file.images.widths[position]), int(file.images.heights[position])
    if width and height and (height, width) != header.size:
        findings.add("size-differs", f"{where}: {width}x{height}, the file {header.size[1]}x{header.size[0]}")
    if not header.upright:
        findings.add("turned-image", where)
    if header.bits > 8:
        findings.add("deep-image", where)


def _said(kind: str, counts: Counter[str]) -> str:
    return f"{kind} images: " + ", ".join(f"{what} ({count})" for what, count in counts.most_common())


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
