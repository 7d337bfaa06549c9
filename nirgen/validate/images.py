"""Checks of image files and other files of a dataset, and of images shared by splits."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from nirgen import images
from nirgen.dataset.folder import IMAGES, altered, foreign, read_image
from nirgen.dataset.splits import SMALL_SIDE
from nirgen.errors import ImageError, NirgenError
from nirgen.files import safe_path
from nirgen.pairs.duplicates import find_near_copies, fingerprint
from nirgen.pairs.listing import is_in_colour
from nirgen.progress import in_threads, or_error

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.folder import DatasetInfo
    from nirgen.pairs.duplicates import Fingerprint
    from nirgen.progress import Progress
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings


_EDITABLE = ("README.md", "card/", "configs/")
_JUDGES = frozenset({"val", "test"})  # splits that may share sequences and near copies, as neither of them trains


class ImageEntry(NamedTuple):
    """An image entry whose file name stays in the images' folder."""

    file: CocoFile
    position: int
    path: Path

    @property
    def key(self) -> str | None:
        """Its stable key in a nirgen dataset, else None."""
        key: str | None = self.file.images.keys[self.position]
        return key

    def __str__(self) -> str:
        return self.file.image(self.position)


@dataclass(frozen=True, slots=True)
class Inspected:
    """Content of an image file."""

    sha256: str
    header: images.Header | None = None  # None if it can't be decoded
    fingerprint: Fingerprint | None = None  # None if it can't be decoded, or was not asked for
    in_colour: bool = False  # False if it wasn't decoded
    error: str | None = None  # why it can't be decoded


def list_images(files: Sequence[CocoFile], findings: Findings) -> list[list[ImageEntry]]:
    """Return the images of each file that have a name; names that lead out of the images' folder are faults."""
    listed: list[list[ImageEntry]] = [[] for _ in files]
    for file, entries in zip(files, listed, strict=True):
        for position, name in enumerate(file.images.names):
            try:
                if name:
                    entries.append(ImageEntry(file, position, file.root / safe_path(name, file.path.name)))
            except NirgenError:
                findings.add("unsafe-name", file.image(position))
    return listed


def inspect(
    listed: Sequence[Sequence[ImageEntry]],
    *,
    decode: bool,
    fingerprints: bool,
    report: Progress | None,
    damaged: Literal["fail", "keep"] = "fail",
) -> dict[Path, Inspected]:
    """Read all image files, each once, in threads; missing and unreadable ones are left out.

    With `decode`, the pixels are decoded, not only the headers, and fingerprints taken if asked for.
    """
    reading = images.Reading(damaged=damaged)

    def work(path: Path) -> Inspected:
        return _inspect(read_image(path), path.name, decode=decode, fingerprints=fingerprints, reading=reading)

    paths = list(dict.fromkeys(image.path for each in listed for image in each))
    results = in_threads(or_error(work, ImageError), paths, "images", report)
    return {path: found for path, found in zip(paths, results, strict=True) if not isinstance(found, ImageError)}


def _inspect(data: bytes, name: str, *, decode: bool, fingerprints: bool, reading: images.Reading) -> Inspected:
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        header = images.header_of(data, name)
        if not decode:
            return Inspected(sha256, header)
        pixels = images.decode(data, name, reading)
        in_colour = is_in_colour(pixels)
        if not fingerprints:
            return Inspected(sha256, header, in_colour=in_colour)
        # as `nirgen build-dataset` takes them; only JPEG can be decoded at a lower size
        small = images.decode_small(data, name, SMALL_SIDE, reading) if header.codec == "JPEG" else pixels
        return Inspected(sha256, header, fingerprint(small), in_colour)
    except ImageError as error:
        return Inspected(sha256, error=str(error))


def check_images(
    listed: Sequence[Sequence[ImageEntry]], inspected: Mapping[Path, Inspected], findings: Findings
) -> None:
    """Compare image files with their entries."""
    for image in (image for each in listed for image in each):
        found = inspected.get(image.path)
        if found is not None and found.in_colour and image.file.images.kinds[image.position] == "real":
            findings.add("coloured-image", str(image))
        if found is None:
            findings.add("missing-file", str(image))
        elif found.header is None:
            findings.add("damaged-image", f"{image}: {found.error}")
        else:
            header, table = found.header, image.file.images
            width, height = int(table.widths[image.position]), int(table.heights[image.position])
            if width and height and (height, width) != header.size:
                findings.add("size-differs", f"{image}: {width}x{height}, the file {header.size[1]}x{header.size[0]}")
            if not header.upright:
                findings.add("turned-image", str(image))
            if header.bits > 8:
                findings.add("deep-image", str(image))


def check_recorded(
    info: DatasetInfo, inspected: Mapping[Path, Inspected], findings: Findings, report: Progress | None
) -> None:
    """Compare the files of a nirgen dataset with the hashes in `dataset.json`; inspected ones are not read again."""
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
    listed: Sequence[Sequence[ImageEntry]], inspected: Mapping[Path, Inspected], findings: Findings
) -> None:
    """Find splits of a nirgen dataset whose real and generated images differ in codec or number of channels."""
    for entries in listed:
        codecs: dict[str, Counter[str]] = defaultdict(Counter)
        channels: dict[str, Counter[str]] = defaultdict(Counter)
        for file, position, path in entries:
            if path in inspected and (header := inspected[path].header) is not None:
                kind = str(file.images.kinds[position])
                codecs[kind][header.codec] += 1
                channels[kind]["1 channel" if header.channels == 1 else f"{header.channels} channels"] += 1
        for check, counted in (("mixed-codecs", codecs), ("mixed-channels", channels)):
            if counted["real"] and counted["generated"] and counted["real"].keys() != counted["generated"].keys():
                shown = (
                    f"{kind} images: " + ", ".join(f"{what} ({count})" for what, count in each.most_common())
                    for kind, each in sorted(counted.items())
                )
                findings.add(check, f"{entries[0].file.split}: {'; '.join(shown)}")


def check_splits(
    listed: Sequence[Sequence[ImageEntry]],
    inspected: Mapping[Path, Inspected],
    agreed: Collection[str],
    findings: Findings,
) -> None:
    """Find image files, copies and near copies of one split in a later one; near ones need fingerprints.

    `agreed` are the keys of images that were accepted as leaks.
    """
    seen: dict[Path, CocoFile] = {}
    for image in (image for each in listed for image in each):
        first = seen.setdefault(image.path, image.file)
        if first is not image.file:
            findings.add("split-file", f"{image}, also in {first.path.name}")
    found = [[image for image in each if image.path in inspected] for each in listed]
    holders: dict[str, ImageEntry] = {}
    copied = set()
    for image in (image for each in found for image in each):
        holder = holders.setdefault(inspected[image.path].sha256, image)
        if holder.file is not image.file and holder.path != image.path and image.key not in agreed:
            copied.add(image.path)
            findings.add("split-copy", f"{image} is {holder}")
    judged = [[image for image in each if image.path not in copied and image.key not in agreed] for each in found]
    _check_near_copies(found, judged, inspected, findings)


def _check_near_copies(
    listed: Sequence[Sequence[ImageEntry]],
    judged: Sequence[Sequence[ImageEntry]],
    inspected: Mapping[Path, Inspected],
    findings: Findings,
) -> None:
    """Find images of `judged` that look like one of an earlier split."""
    earlier: list[ImageEntry] = []
    for entries, sought in zip(listed, judged, strict=True):
        split = {image.file.split for image in entries}
        others = [image for image in earlier if not {image.file.split, *split} <= _JUDGES]
        near = find_near_copies(
            [inspected[image.path].fingerprint for image in sought],
            [inspected[image.path].fingerprint for image in others],
        )
        for each, (other, distance) in near.items():
            if sought[each].path != others[other].path:
                likeness = f"{distance} of 64 bits of their hashes differ"
                findings.add("split-near-copy", f"{sought[each]} is like {others[other]} ({likeness})")
        earlier += entries


def check_sequences(files: Sequence[CocoFile], agreed: Collection[str], findings: Findings) -> None:
    """Find sequences of one origin with frames in training and in another split."""
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
    """Find generated images in validation and test."""
    for file in files:
        if file.split in _JUDGES:
            generated = [position for position, kind in enumerate(file.images.kinds) if kind == "generated"]
            findings.add_all("generated-judge", generated, file.image)
