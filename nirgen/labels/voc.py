"""Pascal VOC: an XML file for each image.

A box is `xmax - xmin` wide and starts at `xmin`: files count pixels from 0 or from 1, and don't state which.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.parsers import expat

from nirgen import images
from nirgen.errors import NirgenError
from nirgen.files import read_lines
from nirgen.labels.frames import Frame, Label, image_name, read_labels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nirgen.labels.frames import Box, ImageLookup


FLAGS = ("occluded", "truncated", "difficult")
_FLIR_LISTS = {"train": "align_train.txt", "val": "align_validation.txt"}


def flir_splits(folder: Path) -> dict[str, str]:
    """Return the split of each stem in FLIR's lists, if the folder has them."""
    return {
        stem: split
        for split, name in _FLIR_LISTS.items()
        if (folder / name).is_file()
        for stem in read_lines(folder / name)
    }


def frame(path: Path, relative: str, lookup: ImageLookup, *, splits: Mapping[str, str]) -> Frame:
    """Read a file, whose path relative to the source is `relative`; `splits` are by stem.

    The stem names the image. The suffix is that of `filename` if it has the same stem, else that of the image in the
    folder of images, else it is left out.
    """
    root = _parse(path)
    inner = PurePosixPath(relative).with_suffix("")
    name = PurePosixPath(*inner.parts[1:]) if inner.parts[0] == "Annotations" and len(inner.parts) > 1 else inner
    stated = PurePosixPath((root.findtext("filename") or "").strip())
    if stated.stem == name.name and stated.suffix.lower() in images.SUFFIXES:
        name = name.with_name(stated.name)
    file_name = lookup.complete(image_name(name.as_posix(), str(path)))
    labels = [_label(element, path) for element in root.iter("object")]
    height, width = (_number(root.find("size"), key, path) for key in ("height", "width"))
    if not (height and width):
        height, width = lookup.size(file_name, str(path))
    return Frame(file_name, int(width), int(height), labels, split=splits.get(inner.name))


def _parse(path: Path) -> ET.Element:
    data = read_labels(path)
    guard = expat.ParserCreate()

    def refuse(*_declaration: object) -> None:
        raise NirgenError(f"{path}: declares a document type, which labels don't need; remove the declaration")

    guard.StartDoctypeDeclHandler = refuse
    try:
        guard.Parse(data, True)
        root = ET.fromstring(data)  # noqa: S314 - without a document type there are no entities to expand
    except (expat.ExpatError, ET.ParseError, ValueError, LookupError) as error:
        raise NirgenError(f"{path}: damaged, or no XML ({error}); copy it again") from None
    if root.tag != "annotation":
        raise NirgenError(f"{path}: starts with <{root.tag}> instead of Pascal VOC's <annotation>; remove the file")
    return root


def _label(element: ET.Element, path: Path) -> Label:
    category = (element.findtext("name") or "").strip()
    if not category:
        raise NirgenError(f"{path}: an object has no name; add it, or remove the object")
    texts = {key: (element.findtext(key) or "").strip() for key in (*FLAGS, "pose")}
    attributes = {
        key: text if key == "pose" else text not in {"0", "false", "False"} for key, text in texts.items() if text
    }
    return Label(category, _box(element.find("bndbox"), path), attributes=attributes)


def _box(element: ET.Element | None, path: Path) -> Box:
    corners = [_number(element, key, path) for key in ("xmin", "ymin", "xmax", "ymax")]
    x1, y1, x2, y2 = (math.nan if corner is None else corner for corner in corners)
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise NirgenError(f"{path}: an object has no bndbox of four numbers; correct it, or remove the object")
    return x1, y1, x2 - x1, y2 - y1


def _number(element: ET.Element | None, key: str, path: Path) -> float | None:
    text = element.findtext(key) if element is not None else None
    try:
        return float(text) if text is not None else None
    except ValueError:
        raise NirgenError(f"{path}: {key} is {text!r}; write a number") from None
