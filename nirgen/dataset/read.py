"""Read a built dataset: its images with their boxes, where they come from, and where their RGB images are now."""

from __future__ import annotations

import heapq
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nirgen.dataset.folder import PROVENANCE, annotations_name, check_file
from nirgen.dataset.provenance import open_provenance
from nirgen.errors import NirgenError, one_line
from nirgen.files import find_below, open_regular, safe_path
from nirgen.runlog import read_run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nirgen.dataset.folder import DatasetInfo


@dataclass(frozen=True, slots=True)
class Box:
    """An annotation of an image."""

    key: str  # stable, `IMAGE_KEY#SOURCE_KEY`
    id: int  # in the COCO file
    category: str
    bbox: tuple[float, float, float, float]  # COCO xywh in pixels of the image
    area: float  # square pixels; of the mask where there is one
    ignored: bool  # a region to ignore, COCO's iscrowd
    source_category: str  # class in the source labels
    flags: tuple[str, ...]  # `region to ignore`, members of `MARKS`, `clipped` (at the image border), `from mask`


@dataclass(frozen=True, slots=True)
class Image:
    """A NIR image with its boxes and its source."""

    key: str  # stable, `ORIGIN/PATH`
    id: int | None  # in the COCO file; None in a translation folder
    split: str | None  # train, val or test; None in a translation folder
    origin: str  # input of the dataset; the name of a translation folder
    generated: bool  # translated from RGB
    path: Path  # the file in the folder; it may be missing
    width: int  # pixels
    height: int  # pixels
    sha256: str  # of the file, as recorded
    input_sha256: str  # of the file that it was made from; differs only if the dataset re-encoded it
    rgb: Path | None  # source of a generated image, partner of a real one; None if the file is not found
    rgb_name: str | None  # its recorded name
    rgb_sha256: str | None  # as recorded
    attributes: Mapping[str, str]  # such as weather
    sequence: str | None  # recording
    model_id: str | None  # of the generator; None for a real image
    boxes: tuple[Box, ...]  # sorted by key
    labelled: bool = True  # has a label entry; else it counts as empty without anybody having looked


# Keys or attributes of an annotation that become flags where they are true.
MARKS = ("occluded", "truncated", "crowd", "difficult")


class _Entry(msgspec.Struct):
    """An image of a COCO file."""

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
    images: list[_Entry]
    annotations: list[msgspec.Raw]  # decoded one image at a time: there may be millions


_DOCUMENT = msgspec.json.Decoder(_Document)
_OF_IMAGE = msgspec.json.Decoder(_OfImage)
_ANNOTATION = msgspec.json.Decoder(_Annotation)


class _Origin(NamedTuple):
    """Provenance of an image."""

    sha256: str
    input_sha256: str
    source: str | None
    source_sha256: str | None
    model_id: str | None
    label_file: str | None


def read(
    info: DatasetInfo, splits: Collection[str] | None = None, *, sources: Mapping[str, Path] | None = None
) -> Iterator[Image]:
    """Read the images of a dataset with their boxes, sorted by key.

    Args:
        info: The dataset, by `read_dataset`.
        splits: Names of the splits; all by default.
        sources: Folders of RGB images that have moved, by origin.

    Raises:
        NirgenError: A COCO file or the provenance can't be read, or the provenance lacks an image.
    """
    used = [split for split in info.splits if info.splits[split].get("images") and (splits is None or split in splits)]
    roots = rgb_roots(info.folder) | {origin: (root,) for origin, root in (sources or {}).items()}
    check_file(info, PROVENANCE)
    origins = _read_origins(info.folder, used)
    entries = heapq.merge(*(_read_coco(info, split) for split in used), key=lambda each: each[1].key)
    for split, entry, boxes in entries:
        if entry.key not in origins:
            raise NirgenError(f"{info.folder / PROVENANCE}: lacks the image {entry.key!r}; build the dataset again")
        known = origins[entry.key]
        source = None if known.source is None else safe_path(known.source, PROVENANCE)
        yield Image(
            key=entry.key,
            id=entry.id,
            split=split,
            origin=entry.origin,
            generated=entry.kind == "generated",
            path=info.folder / safe_path(entry.file_name, split),
            width=entry.width,
            height=entry.height,
            sha256=known.sha256,
            input_sha256=known.input_sha256,
            rgb=find_below(roots.get(entry.origin, ()), source),
            rgb_name=source,
            rgb_sha256=known.source_sha256,
            attributes=_as_text(entry.attributes or {}),
            sequence=entry.sequence,
            model_id=known.model_id,
            boxes=boxes,
            labelled=known.label_file is not None,
        )


def _read_coco(info: DatasetInfo, split: str) -> Iterator[tuple[str, _Entry, tuple[Box, ...]]]:
    """Yield (split, image, boxes sorted by key), sorted by the image's key."""
    path = info.folder / annotations_name(split)
    names = {category.id: category.name for category in info.categories}
    try:
        with open_regular(path) as file:
            document = _DOCUMENT.decode(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        raws = document.annotations
        of_image = np.fromiter((_OF_IMAGE.decode(raw).image_id for raw in raws), np.int64, len(raws))
        order = np.argsort(of_image, kind="stable")
        of_image = of_image[order]
        for image in sorted(document.images, key=lambda image: image.key):
            start, end = (int(np.searchsorted(of_image, image.id, side)) for side in ("left", "right"))
            boxes = (_box(_ANNOTATION.decode(raws[position]), names) for position in order[start:end])
            yield split, image, tuple(sorted(boxes, key=lambda box: box.key))
    except (OSError, ValueError, RecursionError) as error:  # an empty file can't be mapped; msgspec has ValueErrors
        raise NirgenError(f"{path}: can't be read ({one_line(error, 100)}); build the dataset again") from None


def _box(entry: _Annotation, names: Mapping[int, str]) -> Box:
    if entry.category_id not in names:
        raise ValueError(f"annotation {entry.id} is of the class {entry.category_id}, which dataset.json lacks")
    attributes = entry.attributes or {}
    flags = ["region to ignore"] if entry.iscrowd else []
    flags += [name for name in MARKS if attributes.get(name) is True or getattr(entry, name) is True]
    flags += ["clipped"] if entry.clipped else []
    flags += [f"from {entry.derived}"] if entry.derived else []
    return Box(
        key=entry.key,
        id=entry.id,
        category=names[entry.category_id],
        bbox=entry.bbox,
        area=entry.area,
        ignored=bool(entry.iscrowd),
        source_category=entry.source_category,
        flags=tuple(flags),
    )


def _as_text(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts and numbers among attributes, sorted by name."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in sorted(attributes.items())
        if isinstance(value, str | int | float) and value != ""
    }


def _read_origins(folder: Path, splits: Sequence[str]) -> dict[str, _Origin]:
    """Return the provenance of images by key."""
    found: dict[str, _Origin] = {}
    wanted = pa.array(splits, pa.string())
    with open_provenance(folder) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["kind", "split", "key", *_Origin._fields])
            chosen = pc.and_(pc.equal(table["kind"], "image"), pc.is_in(table["split"], value_set=wanted))
            images = table.filter(chosen)
            columns = [images[name].to_pylist() for name in _Origin._fields]
            found.update(zip(images["key"].to_pylist(), map(_Origin._make, zip(*columns, strict=True)), strict=True))
    return found


def recorded_inputs(folder: Path) -> dict[str, dict[str, str | None]]:
    """Return the paths of a dataset's inputs when it was built; empty if `run.json` is missing or damaged.

    By origin: `folder`, `labels`, and `sources` or `pairs`.
    """
    try:
        found = {origin: dict(given) for origin, given in read_run(folder)["inputs"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}
    places = (place for given in found.values() for place in given.values())
    return found if all(isinstance(place, str | None) for place in places) else {}


def rgb_roots(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the folders that the names of RGB images may be relative to, by origin.

    For a translation, its source folder: the one that was named, or the one in the translation's `run.json`. For real
    images with a list of pairs, the folder of the list and that of the images.
    """
    roots: dict[str, list[Path | None]] = {}
    for origin, given in recorded_inputs(folder).items():
        images = Path(given["folder"] or "") if given.get("folder") else None
        if given.get("sources"):
            roots[origin] = [Path(str(given["sources"]))]
        elif given.get("pairs"):
            roots[origin] = [Path(str(given["pairs"])).parent, images]
        else:
            roots[origin] = [translated_from(images) if images else None]
    return {origin: tuple(filter(None, each)) for origin, each in roots.items()}


def translated_from(folder: Path) -> Path | None:
    """Return the source folder of a translation folder as its `run.json` has it, or None."""
    source = read_run(folder).get("source")
    return Path(source) if isinstance(source, str) else None
