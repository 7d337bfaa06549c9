"""Convert labels of any known format into a labels file, and open labels of any format for later stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from nirgen.errors import NirgenError, nearest
from nirgen.labels import coco, masks, scalabel, voc
from nirgen.labels import masks as polygons
from nirgen.labels.annotations import AnnotationWriter, Tally
from nirgen.labels.file import Document, LabelFile, Licences, is_label_file
from nirgen.labels.frames import ReadOptions, Source, read_bytes, read_json
from nirgen.labels.policy import Policy, policy_categories, source_categories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nirgen.labels.file import Entry
    from nirgen.labels.frames import Frame, Reading


_STEP = 100
"""After how many images progress is told."""


def convert(
    sources: Sequence[Source],
    policy: Policy,
    *,
    unknown: Literal["stop", "drop"] = "stop",
    drop_duplicates: bool = False,
    bdd_inclusive: bool = False,
    images: Path | None = None,
    size: tuple[int, int] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Document:
    """Convert labels; several sources are joined.

    Args:
        sources: Files and folders of labels.
        policy: What becomes of each name.
        unknown: What to do about names that the policy doesn't know: `stop`, or `drop` their labels.
        drop_duplicates: Whether to leave out the later of two boxes of a class that lie on each other.
        bdd_inclusive: Whether a BDD100K box is `x2 - x1 + 1` wide, as the official converter has it.
        images: The folder of the images, for sizes that labels don't state and endings that names lack.
        size: (height, width) of images whose size nothing states.
        progress: Is told how many images are done, of how many.

    Returns:
        The labels file, not written yet.

    Raises:
        NirgenError: A source can't be read; an image is in two of them; there is none; or the policy doesn't know a
            name.
    """
    tally = Tally()
    options = ReadOptions(bdd_inclusive, images, size, tally.note)
    readings = [(source, *read_source(source, options)) for source in sources]
    writer = AnnotationWriter(policy, tally, drop_duplicates=drop_duplicates)
    licences = Licences()
    entries: dict[str, Entry] = {}
    frames = _frames([(source, reading) for source, reading, _ in readings], licences)
    total = sum(reading.total for _, reading, _ in readings)
    for done, frame in enumerate(frames, start=1):
        entries[frame.file_name] = writer.entry(frame)
        if done % _STEP == 0 or done == total:
            progress(done, total)
    if not entries:
        raise NirgenError(f"{', '.join(str(source.path) for source in sources)}: no images; name labels of some")
    if unknown == "stop":
        _refuse_unknown(policy, tally)
    if policy.keep:
        categories = source_categories([reading.categories for _, reading, _ in readings], set(tally.written))
    else:
        categories = policy_categories(policy)
    alone = len(readings) == 1
    return Document(
        policy=policy.name,
        inputs=[_input(*one, with_extra=not alone) for one in readings],
        counts=tally.values([category["name"] for category in categories]),
        categories=categories,
        licenses=licences.all,
        entries=[entries[name] for name in sorted(entries)],
        extra=readings[0][1].extra if alone else {},
    )


def _input(source: Source, reading: Reading, files: list[Path], *, with_extra: bool) -> dict[str, Any]:
    """What a labels file says of a source."""
    extra = {"extra": reading.extra} if with_extra and reading.extra else {}
    return {"file": source.path.name, "sha256": source.digest(files), **extra}


def _frames(readings: Sequence[tuple[Source, Reading]], licences: Licences) -> Iterator[Frame]:
    """The frames of all sources, each image once, with the split that the user says and licences of one numbering."""
    places: dict[str, Path] = {}
    for source, reading in readings:
        renumbered = licences.add(reading.licenses)
        for frame in reading.frames:
            place = places.get(frame.file_name)
            if place is not None:
                where = f"twice in {place}" if place == source.path else f"in {place} and in {source.path}"
                raise NirgenError(f"'{frame.file_name}' is {where}; take it out of one")
            places[frame.file_name] = source.path
            frame.split = source.split or frame.split
            if renumbered and frame.extra.get("license") in renumbered:
                frame.extra = {**frame.extra, "license": renumbered[frame.extra["license"]]}
            yield frame


def _refuse_unknown(policy: Policy, tally: Tally) -> None:
    names = [name for name, fate in tally.fates.items() if fate.kind == "unknown"]
    if names:
        known = policy.fates()
        listed = ", ".join(
            f"'{name}' ({tally.labels[name]} label(s){nearest(name.casefold(), known)})"
            for name in sorted(names, key=lambda name: (-tally.labels[name], name))
        )
        raise NirgenError(
            f"policy '{policy.name}' doesn't know {len(names)} name(s): {listed}; write a policy that does (see "
            "docs/formats.md), or leave their labels out with --unknown drop"
        )


KNOWN = (
    "BDD100K's JSON (a list of frames, frames and config, or a folder of files), COCO JSON, Pascal VOC's XML, "
    "Cityscapes-like polygons (*.json with imgHeight and objects), RANUS masks (*_gt.png)"
)


def read_source(source: Source, options: ReadOptions) -> tuple[Reading, list[Path]]:
    """Read a file or folder, whatever format it has.

    Args:
        source: What the user named.
        options: What else the user says.

    Returns:
        Its frames, and the files that they are read from.

    Raises:
        NirgenError: It has none of the known formats, or isn't as its format says.
    """
    if source.path.is_dir():
        return _read_folder(source, options)
    files = [source.path]
    if source.path.suffix.lower() == ".xml":
        return voc.read(source, files, options), files
    if source.path.stem.endswith(masks.STEM_END) and source.path.suffix.lower() in masks.MASK_ENDINGS:
        return masks.read_masks(source, files, options), files
    document = read_json(source.path)
    if polygons.are_polygons(document):
        return polygons.read_polygons(source, files, options), files
    if isinstance(document, dict) and coco.fits(document):
        return coco.read(source.path, options, document), files
    if scalabel.fits(document):
        return scalabel.read(files, options, document), files
    raise NirgenError(f"{source.path}: no labels that are known; known are {KNOWN}")


def _read_folder(source: Source, options: ReadOptions) -> tuple[Reading, list[Path]]:
    """The files of the first kind that is there; of JSON files the first says what all are."""
    gt = [path for path in source.files(*masks.MASK_ENDINGS) if path.stem.endswith(masks.STEM_END)]
    kinds = {"XML": source.files(".xml"), "JSON": source.files(".json"), "masks": gt}
    there = [kind for kind, files in kinds.items() if files]
    if len(there) > 1:
        raise NirgenError(f"{source.path}: holds {' and '.join(there)}; name the folder of one of them")
    if kinds["XML"]:
        return voc.read(source, kinds["XML"], options), kinds["XML"]
    if gt:
        return masks.read_masks(source, gt, options), gt
    files = kinds["JSON"]
    document = read_json(files[0]) if files else []
    if polygons.are_polygons(document):
        return polygons.read_polygons(source, files, options), files
    if scalabel.fits(document):
        return scalabel.read(files, options), files
    if coco.fits(document):
        raise NirgenError(f"{source.path}: a folder of COCO files; name the files, each with its split: train=FILE")
    raise NirgenError(f"{source.path}: no labels that are known; known are {KNOWN}")


def open_labels(path: Path, policy: str | Path = "default", *, images: Path | None = None) -> LabelFile:
    """Read a labels file, or labels of any other known format.

    Args:
        path: What `nirgen labels` wrote, which stays as it is; or a file or folder of another format.
        policy: What chooses the classes of the latter.
        images: The folder of the images, for sizes that labels don't state and endings that names lack.

    Returns:
        The labels.

    Raises:
        NirgenError: There is nothing, nothing known, or a name that the policy doesn't know.
    """
    if not path.exists():
        raise NirgenError(f"{path}: not there; name a file or folder of labels")
    if path.is_file():
        data = read_bytes(path)
        if is_label_file(data):
            return LabelFile.parse(data, path)
    document = convert([Source(path)], Policy.load(policy), images=images)
    return LabelFile.parse(b"".join(document.chunks()), path, sha256=document.inputs[0]["sha256"])
