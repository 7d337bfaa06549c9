"""YOLO: a folder with `data.yaml` (or `classes.txt`), and a text file of fractions for each image.

The labels of `images/a/b.jpg` are in `labels/a/b.txt`, or beside the image. A line has the class, counted from 0, and
centre and size of a box; of an oriented box four corners, of a segment its points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nirgen import images
from nirgen.config import SPLITS, read_yaml
from nirgen.errors import NirgenError
from nirgen.labels.content import lines_of, numbers_of
from nirgen.labels.frames import Frame, ImageLookup, Label, Reading, image_name, read_labels
from nirgen.labels.masks import polygons_box

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.labels.frames import ReadOptions, Source


SETTINGS = ("data.yaml", "dataset.yaml", "data.yml")
CLASSES = ("classes.txt", "obj.names")
_SPLITS = {**{split: split for split in SPLITS}, "valid": "val", "validation": "val"}
_BOX = 4  # numbers of a box
_LARGEST = 1.5  # a fraction from which on it is no rounding error


def settings_of(source: Source) -> Path | None:
    """Return the file of a folder, or the YAML file that was given, that makes a source YOLO's; None if it isn't."""
    if source.path.is_file():
        return source.path if source.path.suffix.lower() in {".yaml", ".yml"} else None
    for name in SETTINGS:
        path = source.path / name
        if path.is_file() and b"names" in read_labels(path):
            return path
    there = [source.path / name for name in CLASSES if (source.path / name).is_file()]
    return there[0] if there and not source.files(".xml", ".json") else None


@dataclass(frozen=True)
class _Settings:
    names: Mapping[int, str]  # of classes, by number
    splits: Mapping[str, str]  # by the start of an image's path
    points: int  # numbers of a label that are keypoints


def read(settings: Path, options: ReadOptions) -> tuple[Reading, list[Path]]:
    """Read the folder of a file of settings; its images without a text file are unlabelled.

    Returns also the files that were read.
    """
    folder = settings.parent
    known = _settings(settings)
    texts = sorted(path for path in folder.rglob("*.txt") if path.is_file() and _is_labels(path, folder))
    if not texts:
        raise NirgenError(f"{folder}: no text files of labels beside {settings.name}; give the folder that holds them")
    own = ImageLookup(replace(options, images=folder))
    lookups = (own,) if options.images is None else (ImageLookup(options), own)
    bare = {path: _image_of(path.relative_to(folder).as_posix()) for path in texts}
    beside = {PurePosixPath(name).parent for name in bare.values()}
    rest = own.names() - {own.complete(name) for name in bare.values()}
    unlabelled = sorted(name for name in rest if _is_image(PurePosixPath(name), beside))

    def frames() -> Iterator[Frame]:
        for path, name in bare.items():
            yield _frame(path, name, lookups, known, options)
        for name in unlabelled:
            height, width = own.size(name, str(folder))
            yield Frame(name, width, height, None, split=_split(name, known.splits))

    total = len(texts) + len(unlabelled)
    categories = [{"id": number + 1, "name": known.names[number]} for number in sorted(known.names)]
    return Reading(frames(), total, categories), [settings, *texts]


def _is_image(path: PurePosixPath, beside: Collection[PurePosixPath]) -> bool:
    """Return True for images of the data set, not pictures about it: below `images`, or where labelled ones are."""
    return "images" in path.parts[:-1] or path.parent in beside


def _is_labels(path: Path, folder: Path) -> bool:
    relative = path.relative_to(folder)
    if any(part.startswith(".") for part in relative.parts) or path.name in CLASSES:
        return False
    beside = any(path.with_suffix(suffix).is_file() for suffix in images.SUFFIXES)
    return "labels" in relative.parts[:-1] or beside


def _settings(path: Path) -> _Settings:
    if path.name in CLASSES:
        return _Settings(dict(enumerate(lines_of(path))), {}, 0)
    values = read_yaml(path)
    names = values.get("names")
    if isinstance(names, (list, dict)):
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        by_number = {str(number): str(name) for number, name in pairs}
    if not isinstance(names, (list, dict)) or not all(number.isdecimal() for number in by_number):
        raise NirgenError(f"{path}: no YOLO settings; write 'names', the classes by their numbers from 0")
    shape = values.get("kpt_shape")
    points = math.prod(shape) if isinstance(shape, list) and all(isinstance(side, int) for side in shape) else 0
    return _Settings({int(number): name for number, name in by_number.items()}, dict(_starts(path, values)), points)


def _starts(path: Path, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, split in _SPLITS.items():
        given = values.get(key)
        for place in given if isinstance(given, list) else [given]:
            if not isinstance(place, str):
                continue
            start = PurePosixPath(*(part for part in PurePosixPath(place).parts if part not in {"..", ".", "/"}))
            if start.suffix == ".txt" and (path.parent / start).is_file():
                yield from ((PurePosixPath(line).as_posix(), split) for line in lines_of(path.parent / start))
            else:
                yield start.as_posix(), split


def _split(name: str, splits: Mapping[str, str]) -> str | None:
    """Return the split of an image by the settings, else by the first of its folders that is named like one."""
    path = PurePosixPath(name)
    for place in (path, *path.parents):
        if place.as_posix() in splits:
            return splits[place.as_posix()]
    return next((_SPLITS[part] for part in path.parts[:-1] if part in _SPLITS), None)


def _image_of(labels: str) -> str:
    """Return the path of an image, without its suffix, by that of its labels."""
    path = PurePosixPath(labels).with_suffix("")
    parts = list(path.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "labels":
            parts[place] = "images"
            break
    return "/".join(parts)


def _frame(path: Path, bare: str, lookups: Sequence[ImageLookup], known: _Settings, options: ReadOptions) -> Frame:
    found = next(((name, one) for one in lookups if (name := one.find(bare)) is not None), (bare, lookups[0]))
    name, lookup = image_name(found[0], str(path)), found[1]
    height, width = lookup.size(name, str(path))
    labels = []
    for number, line in enumerate(lines_of(path), start=1):
        where = f"{path}: line {number}"
        category, *rest = numbers_of(line.split(), where)
        if category not in known.names:
            raise NirgenError(f"{where}: class {category:g} has no name; add it to the names, or correct the line")
        posed = known.points and len(rest) == _BOX + known.points
        coordinates = rest[:_BOX] if posed else rest
        if any(not 1 - _LARGEST <= value <= _LARGEST for value in coordinates):
            raise NirgenError(f"{where}: has coordinates beyond 1; YOLO's are fractions of the image's size")
        if len(coordinates) != _BOX:
            _check_outline(coordinates, where, options)
        labels.append(_label(known.names[int(category)], coordinates, width, height))
    return Frame(name, width, height, labels, split=_split(name, known.splits))


def _check_outline(numbers: Sequence[float], where: str, options: ReadOptions) -> None:
    if len(numbers) < 6 or len(numbers) % 2:
        raise NirgenError(f"{where}: has {1 + len(numbers)} numbers; a box has 5: class, centre x and y, width, height")
    kind = "an oriented box" if len(numbers) == 2 * _BOX else "a segment"
    if options.outlines == "refuse":
        raise NirgenError(f"{where}: {kind}, not an upright box; take the boxes around outlines by --outlines box")


def _label(category: str, numbers: Sequence[float], width: int, height: int) -> Label:
    if len(numbers) == _BOX:
        x, y, w, h = numbers
        return Label(category, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    polygon = [value * (height if place % 2 else width) for place, value in enumerate(numbers)]
    return Label(category, polygons_box([polygon]), segmentation=[polygon], derived="polygon")
