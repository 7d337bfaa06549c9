"""CVAT's XML, for images and for video: a file with the shapes of many images.

A video's file lists the shapes of a track frame by frame; a frame without a shape is not in it, and is left out.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from nirgen.errors import NirgenError
from nirgen.labels.content import children, number_of
from nirgen.labels.frames import (
    TURNED,
    Frame,
    ImageLookup,
    Label,
    Reading,
    box_of,
    image_name,
    is_true,
    to_ignore,
    turned_box,
)
from nirgen.labels.masks import polygons_box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from xml.etree import ElementTree as ET

    from nirgen.labels.frames import ReadOptions


ROOT = "annotations"  # of the document
_WITHOUT_BOX = ("polyline", "points", "cuboid", "skeleton")
_SHAPES = ("box", "polygon", "ellipse", "mask", *_WITHOUT_BOX)  # `tag` describes the whole image
_SPLITS = {"Train": "train", "train": "train", "Validation": "val", "val": "val", "Test": "test", "test": "test"}


def read(path: Path, root: ET.Element, options: ReadOptions) -> Reading:
    """Read the document of a file."""
    lookup = ImageLookup(options)
    if root.find("track") is not None:
        found = list(_video(path, root, lookup, options))
    else:
        found = [_image(path, element, lookup) for element in root.iterfind("image")]
    if not found:
        raise NirgenError(f"{path}: CVAT's XML without an <image> or a <track>; export the annotations again")
    names = [children(label).get("name", "") for label in root.iterfind("meta//label") if label.find("parent") is None]
    distinct = [name for name in dict.fromkeys(names) if name]
    return Reading(iter(found), len(found), [{"id": n, "name": name} for n, name in enumerate(distinct, start=1)])


def _image(path: Path, element: ET.Element, lookup: ImageLookup) -> Frame:
    where = f"{path}: image {element.get('id')}"
    name = lookup.complete(image_name(element.get("name") or "", where))
    height, width = (number_of(element.get(key), key, path) for key in ("height", "width"))
    if not height or not width:
        height, width = lookup.size(name, where)
    labels = [_label(shape, shape.get("label", ""), path) for shape in element if shape.tag in _SHAPES]
    return Frame(
        name, int(width), int(height), labels, source_id=element.get("id"), split=_SPLITS.get(element.get("subset", ""))
    )


def _video(path: Path, root: ET.Element, lookup: ImageLookup, options: ReadOptions) -> Iterator[Frame]:
    sizes = next(
        (children(root.find(place)) for place in ("meta//original_size", "meta//size") if root.find(place)), {}
    )
    height, width = (number_of(sizes.get(key), key, path) for key in ("height", "width"))
    labels = defaultdict[int, list[Label]](list)
    for track in root.iterfind("track"):
        for shape in track:
            frame = number_of(shape.get("frame"), "frame", path)
            if shape.tag in _SHAPES and frame is not None and not is_true(shape.get("outside")):
                label = _label(shape, track.get("label", ""), path)
                label.key = track.get("id")
                labels[int(frame)].append(label)
    options.note("CVAT's video files don't list frames without a shape; these are left out")
    for frame, found in sorted(labels.items()):
        name = lookup.complete(f"frame_{frame:06d}")
        size = (int(height), int(width)) if height and width else lookup.size(name, f"{path}: frame {frame}")
        yield Frame(name, size[1], size[0], found, source_id=frame, sequence=path.stem)


def _label(shape: ET.Element, category: str, path: Path) -> Label:
    attributes: dict[str, Any] = {
        attribute.get("name", ""): (attribute.text or "").strip() for attribute in shape.iterfind("attribute")
    }
    if shape.get("occluded") is not None:
        attributes["occluded"] = is_true(shape.get("occluded"))
    label = Label(category, None, attributes=attributes, crowd=to_ignore(attributes))
    degrees = number_of(shape.get("rotation"), "rotation", path) or 0
    if shape.tag == "box":
        label.bbox, label.swapped = box_of(*_numbers(shape, ("xtl", "ytl", "xbr", "ybr"), path))
    elif shape.tag == "ellipse":
        x, y, across, down = _numbers(shape, ("cx", "cy", "rx", "ry"), path)
        label.bbox, label.derived = (x - across, y - down, 2 * across, 2 * down), "ellipse"
    elif shape.tag == "mask":
        x, y, width, height = _numbers(shape, ("left", "top", "width", "height"), path)
        label.bbox, label.derived = (x, y, width, height), "mask"
    elif shape.tag == "polygon":
        polygon = _points(shape, path)
        if len(polygon) >= 6:
            label.bbox, label.segmentation, label.derived = polygons_box([polygon]), [polygon], "polygon"
        else:
            label.lost = "an outline of under 3 points"
    else:
        label.lost = f"a {shape.tag.rstrip('s')}, which has no box"
    if degrees and label.bbox:
        label.bbox, label.derived = turned_box(label.bbox, degrees), TURNED
        label.attributes = {**attributes, "rotation": degrees}
    return label


def _numbers(shape: ET.Element, keys: Iterable[str], path: Path) -> list[float]:
    found = [number_of(shape.get(key), key, path) for key in keys]
    if None in found:
        raise NirgenError(f"{path}: a {shape.tag} lacks one of {', '.join(keys)}; correct it, or remove it")
    return [number or 0 for number in found]


def _points(shape: ET.Element, path: Path) -> list[float]:
    texts = [point.split(",") for point in shape.get("points", "").split(";") if point.strip()]
    flat = [number_of(text, "points", path) for point in texts for text in point]
    if any(len(point) != 2 for point in texts) or None in flat:
        raise NirgenError(f"{path}: a {shape.tag} has points without two coordinates; correct it, or remove it")
    return [number or 0 for number in flat]
