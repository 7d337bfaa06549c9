"""Conversion of labels of any known format into a labels file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from nirgen.errors import NirgenError, nearest
from nirgen.files import sha256_of, unwritable
from nirgen.labels import coco, cvat, labelme, labelstudio, lines, masks, openimages, scalabel, voc, yolo
from nirgen.labels.annotations import AnnotationWriter, Tally
from nirgen.labels.content import explained, read_content, read_json, read_xml
from nirgen.labels.file import Document, LabelFile, Licences, is_label_file
from nirgen.labels.frames import ImageLookup, Reading, ReadOptions, Source, missing
from nirgen.labels.policy import Policy, source_categories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from nirgen.labels.content import Json
    from nirgen.labels.file import Entry
    from nirgen.labels.frames import Frame
    from nirgen.progress import Progress


def convert(
    sources: Sequence[Source],
    policy: Policy,
    *,
    unknown: Literal["stop", "drop"] = "stop",
    drop_duplicates: bool = False,
    bdd_inclusive: bool = False,
    images: Path | None = None,
    size: tuple[int, int] | None = None,
    boxes: Literal["xywh", "xyxy"] = "xywh",
    outlines: Literal["refuse", "box"] = "refuse",
    progress: Progress | None = None,
) -> Document:
    """Convert labels, joining several sources, to a labels file that is not yet written.

    Args:
        sources: Files and folders of labels.
        policy: Maps class names.
        unknown: Action at names that the policy doesn't know: stop, or drop their labels.
        drop_duplicates: Leave out the later of two boxes of a class that overlap by more than `annotations.LIMIT`.
        bdd_inclusive: Make BDD100K boxes `x2 - x1 + 1` wide, as the official converter does.
        images: Folder to look up sizes and suffixes that labels omit.
        size: (height, width) of images whose size is unknown.
        boxes: Meaning of the four numbers of a COCO box: x, y, width, height, or x1, y1, x2, y2.
        outlines: Action at YOLO's oriented boxes and segments: refuse, or take the upright boxes around them.
        progress: Progress callback, in images.
    """
    tally = Tally()
    options = ReadOptions(bdd_inclusive, images, size, boxes, outlines, tally.note)
    readings = []
    for source in sources:
        with explained(source.path):
            readings.append((source, *read_source(source, options)))
    writer = AnnotationWriter(policy, tally, drop_duplicates=drop_duplicates)
    licences = Licences()
    entries: dict[str, Entry] = {}
    frames = _frames([(source, reading) for source, reading, _ in readings], licences, tally)
    total = sum(reading.total for _, reading, _ in readings)
    for done, (source, frame) in enumerate(frames, start=1):
        with explained(source.path):
            entries[frame.file_name] = writer.entry(frame)
        if progress is not None and (done % 100 == 0 or done == total):
            progress("read", done, total)
    if not entries:
        raise NirgenError(f"{', '.join(str(source.path) for source in sources)}: no images; give labels of images")
    if unknown == "stop":
        _refuse_unknown(policy, tally)
    if policy.keep:
        categories = source_categories([reading.categories for _, reading, _ in readings], set(tally.written))
    else:
        classes = enumerate(policy.classes, start=1)
        categories = [{"id": number, "name": one.name, "supercategory": one.supercategory} for number, one in classes]
    alone = len(readings) == 1
    inputs = [
        {"file": source.path.name, "sha256": source.digest(files)}
        | ({} if alone or not reading.extra else {"extra": reading.extra})
        for source, reading, files in readings
    ]
    return Document(
        policy=policy.name,
        inputs=inputs,
        counts=tally.values([category["name"] for category in categories]),
        categories=categories,
        licenses=licences.all,
        entries=[entries[name] for name in sorted(entries)],
        extra=readings[0][1].extra if alone else {},
    )


def _frames(
    readings: Sequence[tuple[Source, Reading]], licences: Licences, tally: Tally
) -> Iterator[tuple[Source, Frame]]:
    """Yield the frames of all sources, with the user's splits and with licences numbered alike.

    Those whose names are `unwritable` are left out.
    """
    places: dict[str, tuple[Path, str]] = {}
    misnamed: list[str] = []
    for source, reading in readings:
        renumbered = licences.add(reading.licenses)
        for number, frame in enumerate(_explained_frames(source, reading), start=1):
            if unwritable(frame.file_name):
                misnamed.append(frame.file_name)
                continue
            entry = f"entry {number}" if frame.source_id is None else f"image {frame.source_id!r}"
            if (place := places.get(frame.file_name)) is not None:
                if place[0] != source.path:
                    where = f"in {place[0]} and in {source.path}; remove it from one"
                else:
                    where = f"twice in {source.path}, as {place[1]} and as {entry}; remove one, or join them"
                raise NirgenError(f"'{frame.file_name}' is {where}")
            places[frame.file_name] = source.path, entry
            frame.split = source.split or frame.split
            if renumbered and frame.extra.get("license") in renumbered:
                frame.extra = {**frame.extra, "license": renumbered[frame.extra["license"]]}
            yield source, frame
    if misnamed:
        tally.note(
            f"{len(misnamed)} image(s), such as {min(misnamed)!r}, are left out: their names have control characters, "
            "line separators or bytes that are no UTF-8"
        )


def _explained_frames(source: Source, reading: Reading) -> Iterator[Frame]:
    frames = iter(reading.frames)
    while True:
        with explained(source.path):
            frame = next(frames, None)
        if frame is None:
            return
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
            f"policy '{policy.name}' doesn't know {len(names)} name(s): {listed}; write a policy that knows them (see "
            "docs/formats.md), or drop their labels with --unknown drop"
        )


def read_source(source: Source, options: ReadOptions) -> tuple[Reading, list[Path]]:
    """Read a file or folder of any known format; return its frames, and the files that they are read from."""
    settings = yolo.settings_of(source)
    if settings is not None:
        return yolo.read(settings, options)
    files, folder = _files(source), source.path.is_dir()
    suffix = files[0].suffix.lower() if files else ""
    if suffix == ".csv" and not folder:
        return openimages.read(source.path, options)
    if suffix == ".xml" and len(files) == 1 and (root := read_xml(files[0])).tag == cvat.ROOT:
        return cvat.read(files[0], root, options), files
    plain = suffix in {".xml", ".txt", ".csv", *masks.MASK_SUFFIXES} or not files
    document = [] if plain else read_json(files[0])  # it stands for all of a folder
    read = _frame_reader(source, files, document)
    if read is not None:
        lookup = ImageLookup(options)
        return Reading((read(path, source.name_of(path), lookup) for path in files), len(files)), files
    return _read_document(source, options, files, document), files


def _frame_reader(
    source: Source, files: Sequence[Path], document: Json
) -> Callable[[Path, str, ImageLookup], Frame] | None:
    """Return the reader of a format that has a file for each image; None for other formats."""
    suffix = files[0].suffix.lower() if files else ""
    if suffix == ".xml":
        return partial(voc.frame, splits=voc.flir_splits(source.path))
    if suffix == ".txt":
        return lines.frame
    if suffix in masks.MASK_SUFFIXES and files[0].stem.endswith(masks.MASK_MARK):
        return masks.mask_frame
    if masks.are_polygons(document):
        return masks.polygon_frame
    return labelme.frame if labelme.fits(document) else None


def _read_document(source: Source, options: ReadOptions, files: list[Path], document: Json) -> Reading:
    folder = source.path.is_dir()
    if isinstance(document, list) and labelstudio.fits(document) and len(files) == 1:
        return labelstudio.read(files[0], options, document)
    if isinstance(document, dict) and coco.fits(document) and not folder:
        return coco.read(source.path, options, document)
    if scalabel.fits(document):
        return scalabel.read(files, options, document)
    if coco.fits(document):
        raise NirgenError(f"{source.path}: a folder of COCO files; give the files, each with its split: train=FILE")
    raise NirgenError(
        f"{source.path}: unknown format of labels; known are BDD100K's JSON (frames, also with config, or a folder), "
        "COCO JSON, Pascal VOC's XML, Cityscapes-like polygons (imgHeight, objects), RANUS masks (*_gt.png), YOLO "
        "(data.yaml), CVAT's XML, JSON of labelme and Label Studio, text files of KITTI and KAIST, Open Images' CSV"
    )


def _files(source: Source) -> list[Path]:
    """Return the file, or those of a folder that are labels, which must be of one kind; text files come last."""
    if source.path.is_file():
        return [source.path]
    kinds = {
        "XML": source.files(".xml"),
        "JSON": source.files(".json", ".json.gz"),
        "masks": [path for path in source.files(*masks.MASK_SUFFIXES) if path.stem.endswith(masks.MASK_MARK)],
    }
    there = [kind for kind, found in kinds.items() if found]
    if len(there) > 1:
        examples = " and ".join(
            f"{kind} ({len(kinds[kind])}, such as '{source.name_of(kinds[kind][0])}')" for kind in there
        )
        raise NirgenError(f"{source.path}: mixes {examples}; give a folder of one kind, or the files one by one")
    return kinds[there[0]] if there else source.files(".txt")


def open_labels(path: Path, policy: str | Path = "default", *, images: Path | None = None) -> LabelFile:
    """Open a labels file as it is, or convert labels of any other known format in memory by the policy."""
    if not path.exists():
        raise missing(path)
    if path.is_file() and is_label_file(data := read_content(path)):
        return LabelFile.parse(data, path, sha256_of(path))
    document = convert([Source(path)], Policy.load(policy), images=images)
    return LabelFile.parse(b"".join(document.chunks()), path, sha256=document.inputs[0]["sha256"])
