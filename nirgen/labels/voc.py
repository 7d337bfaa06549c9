"""Pascal VOC: an XML file for each image.

A box is `xmax - xmin` wide and starts at `xmin`: files count pixels from 0 or from 1, and don't state which.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nirgen import images
from nirgen.errors import NirgenError
from nirgen.files import read_lines
from nirgen.labels.content import children, number_of, read_xml
from nirgen.labels.frames import TURNED, Frame, Label, box_of, image_name, is_true, rotation_of, to_ignore, turned_box

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from xml.etree import ElementTree as ET

    from nirgen.labels.frames import Box, ImageLookup


FLAGS = ("occluded", "truncated", "difficult")
TEXTS = ("pose", "occlusion")  # the latter is KAIST's, from 0 to 2
CORNERS = ("xmin", "ymin", "xmax", "ymax")
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
    root = read_xml(path)
    if root.tag == "annotations":
        raise NirgenError(f"{path}: CVAT's XML, in a folder of several files; give CVAT's files one by one")
    if root.tag != "annotation":
        raise NirgenError(f"{path}: starts with <{root.tag}> instead of Pascal VOC's <annotation>; remove the file")
    inner = PurePosixPath(relative).with_suffix("")
    name = PurePosixPath(*inner.parts[1:]) if inner.parts[0] == "Annotations" and len(inner.parts) > 1 else inner
    stated = PurePosixPath((root.findtext("filename") or "").strip())
    if stated.stem == name.name and stated.suffix.lower() in images.SUFFIXES:
        name = name.with_name(stated.name)
    file_name = lookup.complete(image_name(name.as_posix(), str(path)))
    labels = [_label(element, path) for element in root.iter("object")]
    height, width = (number_of(children(root.find("size")).get(key), key, path) for key in ("height", "width"))
    if not (height and width):
        height, width = lookup.size(file_name, str(path))
    return Frame(file_name, int(width), int(height), labels, split=splits.get(inner.name))


def _label(element: ET.Element, path: Path) -> Label:
    texts = children(element)
    category = texts.get("name")
    if not category:
        raise NirgenError(f"{path}: an object has no name; add it, or remove the object")
    attributes: dict[str, Any] = {key: is_true(texts[key]) for key in FLAGS if texts.get(key)}
    attributes |= {key: texts[key] for key in TEXTS if texts.get(key)}
    for attribute in element.iterfind("attributes/attribute"):  # of CVAT and Datumaro
        keys = children(attribute)
        if keys.get("name"):
            attributes.setdefault(keys["name"], keys.get("value", ""))
    bbox, swapped = _box(children(element.find("bndbox")), path)
    degrees = rotation_of(attributes)
    return Label(
        category,
        turned_box(bbox, degrees) if degrees else bbox,
        crowd=to_ignore(texts) or to_ignore(attributes),
        attributes=attributes,
        derived=TURNED if degrees else None,
        swapped=swapped,
    )


def _box(texts: Mapping[str, str], path: Path) -> tuple[Box, bool]:
    """Return a box by its corners or, as KAIST has it, by x, y, w and h; True if corners were exchanged."""
    by_size = {"x", "y", "w", "h"} <= texts.keys()
    numbers = [number_of(texts.get(key), key, path) for key in (("x", "y", "w", "h") if by_size else CORNERS)]
    if None in numbers:
        raise NirgenError(f"{path}: an object has no bndbox of four numbers; correct it, or remove the object")
    x, y, third, fourth = (number or 0 for number in numbers)
    return box_of(x, y, x + third, y + fourth) if by_size else box_of(x, y, third, fourth)
