"""Which format a source of labels has, by its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.labels import coco, masks, polygons, scalabel, voc
from nirgen.labels.sources import read_json

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.labels.frames import Reading, ReadOptions
    from nirgen.labels.sources import Source

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
    if source.path.stem.endswith(masks.STEM_END) and source.path.suffix.lower() in masks.ENDINGS:
        return masks.read(source, files, options), files
    document = read_json(source.path)
    if polygons.fits(document):
        return polygons.read(source, files, options), files
    if isinstance(document, dict) and coco.fits(document):
        return coco.read(source.path, options, document), files
    if scalabel.fits(document):
        return scalabel.read(files, options, document), files
    raise NirgenError(f"{source.path}: no labels that are known; known are {KNOWN}")


def _read_folder(source: Source, options: ReadOptions) -> tuple[Reading, list[Path]]:
    """The files of the first kind that is there; of JSON files the first says what all are."""
    gt = [path for path in source.files(*masks.ENDINGS) if path.stem.endswith(masks.STEM_END)]
    kinds = {"XML": source.files(".xml"), "JSON": source.files(".json"), "masks": gt}
    there = [kind for kind, files in kinds.items() if files]
    if len(there) > 1:
        raise NirgenError(f"{source.path}: holds {' and '.join(there)}; name the folder of one of them")
    if kinds["XML"]:
        return voc.read(source, kinds["XML"], options), kinds["XML"]
    if gt:
        return masks.read(source, gt, options), gt
    files = kinds["JSON"]
    document = read_json(files[0]) if files else []
    if polygons.fits(document):
        return polygons.read(source, files, options), files
    if scalabel.fits(document):
        return scalabel.read(files, options), files
    if coco.fits(document):
        raise NirgenError(f"{source.path}: a folder of COCO files; name the files, each with its split: train=FILE")
    raise NirgenError(f"{source.path}: no labels that are known; known are {KNOWN}")
