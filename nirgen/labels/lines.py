"""KITTI and KAIST: a text file for each image, with a line for each object."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.labels.content import lines_of, numbers_of
from nirgen.labels.frames import TURNED, Frame, Label, box_of, image_name, turned_box

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.labels.frames import ImageLookup


_KITTI = (14, 15)  # numbers after the class: truncation, occlusion, angle, corners, size and place in 3-D; a score
_KAIST = 11  # numbers after the class: box, occlusion, visible box, ignore, angle
_KAIST_HEAD = "% bbGt"
_KAIST_CAMERAS = ("visible", "lwir")  # folders of its images, which the labels' paths lack
_YOLO = 4


def frame(path: Path, relative: str, lookup: ImageLookup) -> Frame:
    """Read a file, whose path relative to the source is `relative`; the stem names the image.

    An image of KAIST may lie in a folder `visible` or `lwir`, which labels don't have; the first one counts.
    """
    lines = lines_of(path)
    kaist = bool(lines) and lines[0].startswith(_KAIST_HEAD)
    bare = image_name(PurePosixPath(relative).with_suffix("").as_posix(), str(path))
    name = _kaist_name(bare, lookup) if kaist else lookup.complete(bare)
    labels = [
        _kaist(line, f"{path}: line {number}") if kaist else _kitti(line, f"{path}: line {number}")
        for number, line in enumerate(lines[kaist:], start=1 + kaist)
    ]
    height, width = lookup.size(name, str(path))
    return Frame(name, width, height, labels, sequence=PurePosixPath(bare).parent.as_posix() if kaist else None)


def _kaist_name(bare: str, lookup: ImageLookup) -> str:
    path = PurePosixPath(bare)
    inner = [f"{path.parent / camera / path.name}{end}" for camera in _KAIST_CAMERAS for end in (".jpg", ".png")]
    return next((name for name in inner if lookup.exact(name) is not None), None) or lookup.complete(bare)


def _kitti(line: str, where: str) -> Label:
    category, *texts = line.split()
    if category.replace(".", "").isdecimal() and len(texts) == _YOLO:
        raise NirgenError(f"{where}: a line of YOLO's; give the folder that holds data.yaml or classes.txt")
    numbers = numbers_of(texts, where)
    if len(numbers) not in _KITTI:
        raise NirgenError(
            f"{where}: has {1 + len(texts)} columns; KITTI's labels have 15, KAIST's begin with {_KAIST_HEAD!r}"
        )
    box, swapped = box_of(*numbers[3:7])
    attributes = {"truncated": numbers[0], "occluded": int(numbers[1])}
    return Label(category, box, attributes=attributes if numbers[0] >= 0 else {}, swapped=swapped)


def _kaist(line: str, where: str) -> Label:
    category, *texts = line.split()
    numbers = numbers_of(texts, where)
    if len(numbers) != _KAIST:
        raise NirgenError(f"{where}: has {1 + len(texts)} columns; KAIST's labels have 12, with the box in 2 to 5")
    x, y, width, height, occlusion, *_, ignore, degrees = numbers
    box, swapped = box_of(x, y, x + width, y + height)
    return Label(
        category,
        turned_box(box, degrees) if degrees else box,
        crowd=bool(ignore),
        attributes={"occlusion": int(occlusion)},
        derived=TURNED if degrees else None,
        swapped=swapped,
    )
