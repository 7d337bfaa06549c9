"""Polygons in the manner of Cityscapes, as IDD and IDD-AW have them: a JSON file for each image, boxes derived.

A name with `group` behind that of a class marks several of them that nobody told apart: the class, as a crowd.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.errors import NirgenError
from nirgen.labels.frames import Frame, Label, Reading
from nirgen.labels.names import safe_path
from nirgen.labels.shapes import polygons_box
from nirgen.labels.sizes import Sizes
from nirgen.labels.sources import SPLITS, read_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.labels.frames import ReadOptions
    from nirgen.labels.sources import Json, Source

ENDINGS = {"_gtFine_polygons": "_leftImg8bit", "_gtCoarse_polygons": "_leftImg8bit", "_polygons": "", "_mask": ""}
"""What the stem of a label file ends in, and that of its image in its stead."""

FOLDERS = ("gtFine", "gtCoarse", "gtSeg")
"""What the folder is called that all labels are in; the last one is IDD-AW's."""


class _Object(msgspec.Struct):
    label: str
    polygon: list[tuple[float, float]]
    deleted: bool | int = False


class _File(msgspec.Struct):
    height: int = msgspec.field(name="imgHeight")
    width: int = msgspec.field(name="imgWidth")
    objects: list[msgspec.Raw]


_FILE = msgspec.json.Decoder(_File)
_OBJECT = msgspec.json.Decoder(_Object)
_KEYS = frozenset({"label", "polygon", "deleted", "id"})


def fits(document: Json) -> bool:
    """Whether a JSON document is one of these."""
    return isinstance(document, dict) and {"imgHeight", "imgWidth", "objects"} <= document.keys()


def read(source: Source, files: Sequence[Path], options: ReadOptions) -> Reading:
    """Read one or several files.

    Args:
        source: The file, or the folder of them.
        files: All of them.
        options: What the user says.

    Raises:
        NirgenError: A file isn't one of these.
    """
    sizes = Sizes(options)
    return Reading((_frame(path, source.name_of(path), sizes) for path in files), len(files))


def image_name(relative: str) -> str:
    """The name of the image, without ending, that a label file is of.

    Example:
        >>> image_name("train/bonn/bonn_000000_000019_gtFine_polygons.json")
        'train/bonn/bonn_000000_000019_leftImg8bit'
        >>> image_name("12/frame0001.json")
        '12/frame0001'
    """
    path = PurePosixPath(relative).with_suffix("")
    for ending, other in ENDINGS.items():
        if path.name.endswith(ending):
            return path.with_name(path.name.removesuffix(ending) + other).as_posix()
    return path.as_posix()


def nir_name(name: str) -> str:
    """The name of IDD-AW's NIR image, where its labels lie in `gtSeg`; any other name stays.

    Example:
        >>> nir_name("train/FOG/gtSeg/12/a")
        'train/FOG/nir/12/a_nir.png'
    """
    parts = name.split("/")
    if FOLDERS[-1] not in parts[:-1]:
        return name
    parts[parts.index(FOLDERS[-1])] = "nir"
    return "/".join(parts) + "_nir.png"


def folder_facts(relative: str) -> tuple[str | None, str | None]:
    """The sequence and the split that the folders of a file tell.

    Returns:
        The folders but for that of all labels, None if there are none; and the one named as a split is, or None.

    Example:
        >>> folder_facts("val/FOG/gtSeg/12/a.json")
        ('val/FOG/12', 'val')
        >>> folder_facts("a.json")
        (None, None)
    """
    folders = [part for part in PurePosixPath(relative).parent.parts if part not in FOLDERS]
    return "/".join(folders) or None, next((part for part in folders if part in SPLITS), None)


def _frame(path: Path, relative: str, sizes: Sizes) -> Frame:
    try:
        file = _FILE.decode(read_bytes(path))
        labels = [_label(raw) for raw in file.objects]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NirgenError(
            f"{path}: no polygons in the manner of Cityscapes ({error}); correct it, or take it out"
        ) from None
    sequence, split = folder_facts(relative)
    bare = safe_path(image_name(relative), str(path))
    found = sizes.name(bare)
    return Frame(
        file_name=found if found != bare else nir_name(bare),
        width=file.width,
        height=file.height,
        labels=[label for label in labels if label is not None],
        sequence=sequence,
        split=split,
    )


def _label(raw: msgspec.Raw) -> Label | None:
    entry = _OBJECT.decode(raw)
    if entry.deleted:
        return None
    keys: dict[str, Any] = msgspec.json.decode(raw)
    flat = [coordinate for point in entry.polygon for coordinate in point]
    usable = len(entry.polygon) > 2
    crowd = entry.label.endswith("group") and entry.label != "group"
    return Label(
        category=entry.label.removesuffix("group").strip() if crowd else entry.label,
        bbox=polygons_box([flat]) if usable else None,
        key=keys.get("id"),
        segmentation=[flat] if usable else None,
        crowd=crowd,
        derived="polygon",
        lost=None if usable else "an outline of under 3 points",
        extra={key: value for key, value in keys.items() if key not in _KEYS and value is not None},
    )
