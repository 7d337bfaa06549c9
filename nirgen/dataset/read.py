"""Reader of a dataset on disk: its images and boxes, where they come from, and where their RGB images are now.

COCO files are read one image at a time: a million annotations stay undecoded until then.
"""

from __future__ import annotations

import heapq
import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow.compute as pc

from nirgen.dataset.folder import DATASET_JSON, PROVENANCE, RUN_JSON, annotations_name, read_dataset
from nirgen.dataset.provenance import open_provenance
from nirgen.errors import NirgenError
from nirgen.files import safe_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ItemBox:
    """An annotation of a dataset.

    Attributes:
        key: Its stable key.
        id: In the COCO file.
        category: Its class, by name.
        bbox: COCO xywh in pixels of the NIR image.
        area: In square pixels, of the mask where there is one.
        iscrowd: Whether it is a region to ignore.
        source_category: Its class in the source.
        flags: What else is known: `region to ignore`, `occluded`, `truncated`, `crowd`, `difficult`, `clipped` (cut at
            the border of the image), `from mask` and the like.
    """

    key: str
    id: int
    category: str
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: bool
    source_category: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A NIR image, with what it comes from and what is on it.

    Attributes:
        key: Its stable key, `ORIGIN/PATH`.
        id: In the COCO file; None in a translation folder.
        split: `train`, `val` or `test`; None in a translation folder.
        origin: The input of the dataset; of a translation folder its name.
        generated: Whether it was translated from RGB.
        path: The file in the folder; it may be gone.
        width: In pixels.
        height: In pixels.
        sha256: Of that file, as recorded.
        input_sha256: Of the file that it comes from, another one only if the dataset encoded it anew.
        rgb: The RGB image, of a generated one its source and of a real one its partner, if the file is there now.
        rgb_name: Its name as recorded, whether or not it is there.
        rgb_sha256: As recorded.
        attributes: Such as `weather`, as plain strings.
        sequence: The recording that it comes from, if known.
        model_id: Of what translated it; None of a real one.
        boxes: In the order of their keys.
    """

    key: str
    id: int | None
    split: str | None
    origin: str
    generated: bool
    path: Path
    width: int
    height: int
    sha256: str
    input_sha256: str
    rgb: Path | None
    rgb_name: str | None
    rgb_sha256: str | None
    attributes: Mapping[str, str]
    sequence: str | None
    model_id: str | None
    boxes: tuple[ItemBox, ...]


MARKS = ("occluded", "truncated", "crowd", "difficult")
"""Keys and attributes of an annotation that become flags where they are true."""


class ImageEntry(msgspec.Struct):
    """What a COCO file says of an image.

    Attributes:
        id: Of the image.
        file_name: Relative to the dataset.
        width: In pixels.
        height: In pixels.
        key: Its stable key.
        origin: The input.
        kind: `generated` or `real`.
        sequence: Its recording.
        attributes: Such as `weather`.
    """

    id: int
    file_name: str
    width: int
    height: int
    key: str
    origin: str
    kind: str
    sequence: str | None = None
    attributes: dict[str, Any] | None = None


class _Annotation(msgspec.Struct):
    id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    key: str
    area: float = 0.0
    iscrowd: int = 0
    source_category: str = ""
    derived: str | None = None
    clipped: bool = False
    attributes: dict[str, Any] | None = None
    occluded: Any = None
    truncated: Any = None
    crowd: Any = None
    difficult: Any = None


class _OfImage(msgspec.Struct):
    image_id: int


class _Document(msgspec.Struct):
    images: list[ImageEntry]
    annotations: list[msgspec.Raw]


class Entry(NamedTuple):
    """An image of a COCO file with the boxes on it.

    Attributes:
        split: Of the file.
        image: What it says of the image.
        boxes: In the order of their keys.
    """

    split: str
    image: ImageEntry
    boxes: tuple[ItemBox, ...]


def read_split(folder: Path, split: str, names: Mapping[int, str]) -> Iterator[Entry]:
    """Read the images of a split with their boxes.

    Args:
        folder: The dataset.
        split: `train`, `val` or `test`.
        names: Of the classes, by id.

    Yields:
        The images, sorted by key.

    Raises:
        NirgenError: The file can't be read, or isn't what nirgen wrote.
    """
    path = folder / annotations_name(split)
    try:
        with path.open("rb") as file:
            document = _DOCUMENT.decode(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        raws = document.annotations
        of_image = np.fromiter((_OF_IMAGE.decode(raw).image_id for raw in raws), np.int64, len(raws))
        order = np.argsort(of_image, kind="stable")
        of_image = of_image[order]
        for image in sorted(document.images, key=lambda image: image.key):
            start, end = (int(np.searchsorted(of_image, image.id, side)) for side in ("left", "right"))
            yield Entry(split, image, _boxes(raws, order[start:end], names))
    except (OSError, ValueError) as error:  # an empty file can't be mapped; msgspec's errors are ValueErrors
        reason = " ".join(str(error).split())[:100]
        raise NirgenError(f"{path}: can't be read ({reason}); build the dataset again") from None


_DOCUMENT = msgspec.json.Decoder(_Document)
_OF_IMAGE = msgspec.json.Decoder(_OfImage)
_ANNOTATION = msgspec.json.Decoder(_Annotation)


def _boxes(raws: list[msgspec.Raw], positions: NDArray[np.intp], names: Mapping[int, str]) -> tuple[ItemBox, ...]:
    boxes = (_box(_ANNOTATION.decode(raws[position]), names) for position in positions)
    return tuple(sorted(boxes, key=lambda box: box.key))


def _box(entry: _Annotation, names: Mapping[int, str]) -> ItemBox:
    if entry.category_id not in names:
        raise ValueError(f"annotation {entry.id} is of the class {entry.category_id}, which dataset.json doesn't have")
    return ItemBox(
        key=entry.key,
        id=entry.id,
        category=names[entry.category_id],
        bbox=entry.bbox,
        area=entry.area,
        iscrowd=bool(entry.iscrowd),
        source_category=entry.source_category,
        flags=tuple(_flags(entry)),
    )


def _flags(entry: _Annotation) -> Iterator[str]:
    attributes = entry.attributes or {}
    if entry.iscrowd:
        yield "region to ignore"
    for name in MARKS:
        if attributes.get(name) is True or getattr(entry, name) is True:
            yield name
    if entry.clipped:
        yield "clipped"
    if entry.derived:
        yield f"from {entry.derived}"


TRANSLATION_RUN_JSON = "run.json"


def recorded_inputs(folder: Path) -> Mapping[str, Mapping[str, str | None]]:
    """Where the inputs of a dataset lay when it was built.

    Args:
        folder: The dataset.

    Returns:
        By origin, the paths of the input by what they are: `folder`, `labels`, `sources`, `pairs`; nothing where
        `run.json` is gone or damaged.
    """
    try:
        inputs: Mapping[str, Mapping[str, str | None]] = json.loads((folder / RUN_JSON).read_bytes())["inputs"]
        return {origin: dict(given) for origin, given in inputs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def rgb_roots(given: Mapping[str, str | None]) -> tuple[Path, ...]:
    """The folders that the names of an input's RGB images may be relative to.

    Args:
        given: What `recorded_inputs` says of the input.

    Returns:
        Of a translation the folder of its sources: the one that was named, or the one that its `run.json` names. Of
        real images with a list of pairs those that the list may be relative to. Nothing if it can't be told.
    """
    if given.get("sources"):
        return (Path(str(given["sources"])),)
    if given.get("pairs"):
        return (Path(str(given["pairs"])).parent, *([Path(str(given["folder"]))] if given.get("folder") else []))
    root = translated_from(Path(str(given["folder"]))) if given.get("folder") else None
    return () if root is None else (root,)


def translated_from(folder: Path) -> Path | None:
    """The folder of the sources that a translation folder names; None if it doesn't say."""
    try:
        run: Any = json.loads((folder / TRANSLATION_RUN_JSON).read_bytes())
    except (OSError, ValueError):
        return None
    source = run.get("source") if isinstance(run, dict) else None
    return Path(source) if isinstance(source, str) else None


def find_rgb(roots: tuple[Path, ...], name: str | None) -> Path | None:
    """The file of an RGB image, if it is there.

    Args:
        roots: The folders it may be in.
        name: Its path in one of them.
    """
    if name is None:
        return None
    return next((path for path in (root / name for root in roots) if path.is_file()), None)


class Origin(NamedTuple):
    """What provenance says of an image."""

    sha256: str
    input_sha256: str
    source: str | None
    source_sha256: str | None
    model_id: str | None


class DatasetReader:
    """Reads a dataset folder.

    Args:
        folder: The dataset.
        sources: Where RGB images are, by origin, if they have moved.

    Attributes:
        origins: Of its images.
        digest: Of the plan that it was made by.
        categories: In the order of their ids.
        count: How many images there are.

    Raises:
        NirgenError: It is damaged, or of another schema.
    """

    def __init__(self, folder: Path, sources: Mapping[str, Path]) -> None:
        info = read_dataset(folder)
        self._folder = folder
        self._names = {category.id: category.name for category in info.categories}
        self._sources = sources
        try:
            counts = {name: int(split["images"]) for name, split in info.splits.items()}
            self.origins = tuple(sorted({given["origin"] for given in info.values["labels"]}))
        except (KeyError, TypeError, AttributeError):
            raise NirgenError(f"{folder / DATASET_JSON}: damaged; build the dataset again") from None
        self._splits = tuple(name for name, images in counts.items() if images)
        self.count = sum(counts.values())
        self.digest = info.digest
        self.categories = info.categories

    def items(self) -> Iterator[Item]:
        """The images, sorted by key.

        Raises:
            NirgenError: The COCO files or the provenance can't be read, or one lacks an image of the other.
        """
        inputs = recorded_inputs(self._folder)
        roots = {origin: rgb_roots(given) for origin, given in inputs.items()}
        roots |= {origin: (root,) for origin, root in self._sources.items()}
        provenance = _read_provenance(self._folder)
        splits = [read_split(self._folder, split, self._names) for split in self._splits]
        for entry in heapq.merge(*splits, key=lambda entry: entry.image.key):
            known = provenance.get(entry.image.key)
            if known is None:
                raise NirgenError(
                    f"{self._folder / PROVENANCE}: knows nothing of {entry.image.key!r}; build the dataset again"
                )
            yield self._item(entry, known, roots.get(entry.image.origin, ()))

    def _item(self, entry: Entry, known: Origin, roots: tuple[Path, ...]) -> Item:
        image = entry.image
        source = None if known.source is None else safe_path(known.source, PROVENANCE)
        return Item(
            key=image.key,
            id=image.id,
            split=entry.split,
            origin=image.origin,
            generated=image.kind == "generated",
            path=self._folder / safe_path(image.file_name, entry.split),
            width=image.width,
            height=image.height,
            sha256=known.sha256,
            input_sha256=known.input_sha256,
            rgb=find_rgb(roots, source),
            rgb_name=source,
            rgb_sha256=known.source_sha256,
            attributes=_plain(image.attributes),
            sequence=image.sequence,
            model_id=known.model_id,
            boxes=entry.boxes,
        )


def _plain(attributes: Mapping[str, Any] | None) -> dict[str, str]:
    """The attributes of an image that are words or numbers, sorted by name."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in sorted((attributes or {}).items())
        if isinstance(value, str | int | float) and value != ""
    }


def _read_provenance(folder: Path) -> dict[str, Origin]:
    """What provenance says of each image, by key."""
    rows: dict[str, Origin] = {}
    with open_provenance(folder) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["kind", "key", *Origin._fields])
            images = table.filter(pc.equal(table["kind"], "image"))
            columns = [images[name].to_pylist() for name in Origin._fields]
            rows.update(zip(images["key"].to_pylist(), map(Origin._make, zip(*columns, strict=True)), strict=True))
    return rows
