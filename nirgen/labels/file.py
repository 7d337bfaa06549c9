"""Labels file of `nirgen labels`: normalised COCO, written and read as a stream; docs/formats.md lists its keys.

Annotations stay raw JSON until they are needed, so that 1.3 million of them fit into memory.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Self, cast

import msgspec

from nirgen._version import __version__
from nirgen.errors import NirgenError
from nirgen.files import check_schema, sha256_of, unwritable, write_output
from nirgen.labels.content import FAULTS, plainly, read_content
from nirgen.labels.frames import LARGEST_SIDE, image_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.files import WrittenFile


SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Category:
    """Class of a labels file."""

    id: int  # from 1 in the order of the classes; with gaps only if the policy kept the source's ids
    name: str
    supercategory: str = ""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """Image that was labelled, perhaps with nothing on it."""

    file_name: str  # POSIX path relative to the folder of the images, as in the source
    width: int  # pixels, upright
    height: int
    sequence: str | None
    split: str | None
    attributes: Mapping[str, Any]  # of the whole image, such as weather
    extra: Mapping[str, Any]  # all other keys but `id`, `source_id` among them
    annotations: tuple[msgspec.Raw, ...]  # raw JSON in the order of the source; see `annotation`


@dataclass(frozen=True, slots=True)
class LabelFile:
    """Labels file in memory."""

    path: Path  # of the file, or of the source that was converted
    sha256: str
    categories: tuple[Category, ...]
    images: tuple[LabelledImage, ...]  # sorted by file name
    unlabelled: tuple[str, ...]  # names of images without a label entry; they are no negatives
    policy: str
    counts: Mapping[str, Any]  # see `Tally.values`
    inputs: tuple[Mapping[str, Any], ...]  # file and sha256 of each source
    licenses: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file written by `nirgen labels`."""
        return cls.parse(read_content(path), path, sha256_of(path))

    @classmethod
    def parse(cls, data: bytes, path: Path, sha256: str | None = None) -> Self:
        """Parse a labels file; `sha256` is the hash of the file at `path`, if `data` isn't its content."""
        try:
            document = msgspec.json.decode(data, type=_Document)
            check_schema(path, document.info.nirgen.schema, SCHEMA, "write it again with 'nirgen labels'")
            images = _images(document, path)
        except msgspec.ValidationError:
            raise NirgenError(
                f"{path}: not written by 'nirgen labels'; convert it first: nirgen labels {path} -o OUT.json"
            ) from None
        except FAULTS as error:
            raise NirgenError(f"{path}: damaged ({plainly(error)}); write it again with 'nirgen labels'") from None
        head = document.info.nirgen
        return cls(
            path=path,
            sha256=sha256 or hashlib.sha256(data).hexdigest(),
            categories=tuple(Category(one.id, one.name, one.supercategory or "") for one in document.categories),
            images=images,
            unlabelled=tuple(image_name(entry.file_name, str(path)) for entry in document.unlabelled),
            policy=head.policy,
            counts=head.counts,
            inputs=tuple(head.inputs),
            licenses=tuple(document.licenses),
        )


def annotation(raw: msgspec.Raw) -> dict[str, Any]:
    """Decode an annotation."""
    try:
        return cast("dict[str, Any]", msgspec.json.decode(raw))
    except FAULTS as error:
        start = bytes(raw)[:60].decode(errors="replace")
        raise NirgenError(
            f"the annotation {start!r}... of the labels is damaged ({plainly(error)}); correct it"
        ) from None


def box_counts(image: LabelledImage) -> Counter[int]:
    """Count the boxes of each category id, without regions to ignore."""
    boxes = (_BOX.decode(raw) for raw in image.annotations)
    return Counter(box.category_id for box in boxes if not box.iscrowd)


def is_label_file(data: bytes) -> bool:
    """Return True if the content is a file of `nirgen labels`, of any schema."""
    try:
        return isinstance(msgspec.json.decode(data, type=_Marked).info.get("nirgen"), dict)
    except FAULTS:
        return False


class _Marked(msgspec.Struct):
    info: dict[str, Any]


class _Named(msgspec.Struct):
    file_name: str


class _Head(msgspec.Struct):
    schema: int
    policy: str
    inputs: list[dict[str, Any]]
    counts: dict[str, Any]


class _Info(msgspec.Struct):
    nirgen: _Head


_Side = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_SIDE)]


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: _Side
    height: _Side
    sequence: str | None = None
    split: str | None = None
    attributes: dict[str, Any] | None = None


class _Category(msgspec.Struct):
    id: int
    name: str
    supercategory: str | None = None


class _Box(msgspec.Struct, gc=False):
    category_id: int
    iscrowd: int


class _Annotation(_Box, gc=False):
    image_id: int
    bbox: tuple[float, float, float, float]
    area: float
    source_key: str
    source_category: str


class _Document(msgspec.Struct):
    info: _Info
    categories: list[_Category]
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    licenses: list[dict[str, Any]] = []
    unlabelled: list[_Named] = []


_IMAGE = msgspec.json.Decoder(_Image)
_BOX = msgspec.json.Decoder(_Box)
_ANNOTATION = msgspec.json.Decoder(_Annotation)


def _images(document: _Document, path: Path) -> tuple[LabelledImage, ...]:
    entries = [(_IMAGE.decode(raw), annotation(raw)) for raw in document.images]
    annotations: dict[int, list[msgspec.Raw]] = {}
    for entry, _ in entries:
        if entry.id in annotations:
            raise NirgenError(f"{path}: two images have the id {entry.id}; write it again with 'nirgen labels'")
        annotations[entry.id] = []
    categories = {category.id for category in document.categories}
    for raw in document.annotations:
        box = _ANNOTATION.decode(raw)
        if box.image_id not in annotations or box.category_id not in categories:
            raise NirgenError(
                f"{path}: annotation {annotation(raw).get('id')} refers to image {box.image_id} and category "
                f"{box.category_id}, one of which is missing; write it again with 'nirgen labels'"
            )
        annotations[box.image_id].append(raw)
    images = [
        LabelledImage(
            image_name(entry.file_name, f"{path}: image {entry.id}"),
            *(entry.width, entry.height, entry.sequence, entry.split, entry.attributes or {}),
            extra={key: value for key, value in keys.items() if key not in _Image.__struct_fields__},
            annotations=tuple(annotations[entry.id]),
        )
        for entry, keys in entries
        if not unwritable(entry.file_name)
    ]
    return tuple(sorted(images, key=lambda image: image.file_name))


@dataclass(frozen=True, slots=True)
class Entry:
    """Image and its annotations as JSON objects, still without ids."""

    file_name: str
    image: bytes
    annotations: tuple[bytes, ...] | None  # in the order of the source; None if the image is unlabelled
    classes: tuple[str, ...] = ()  # class name of each annotation


@dataclass(frozen=True)
class Document:
    """Labels file before it is written."""

    policy: str
    inputs: Sequence[Mapping[str, Any]]  # file and sha256 of each source; of several also their `extra`
    counts: Mapping[str, Any]  # see `Tally.values`
    categories: Sequence[Mapping[str, Any]]  # id, name and any other keys
    licenses: Sequence[Mapping[str, Any]]
    entries: Sequence[Entry]  # sorted by file name
    extra: Mapping[str, Any] = field(default_factory=dict)  # all other keys at the top of the source

    def write(self, path: Path) -> WrittenFile:
        """Write the file atomically."""
        return write_output(path, self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the file as JSON with a line for each image and each annotation, which receive their ids here."""
        head = {"schema": SCHEMA, "version": __version__, "policy": self.policy}
        top = {
            "info": {
                "description": "Labels for detection, converted by nirgen",
                **self.extra.get("info", {}),
                "nirgen": {**head, "inputs": self.inputs, "counts": self.counts},
            },
            **{key: value for key, value in self.extra.items() if key != "info"},
            "licenses": self.licenses,
            "categories": self.categories,
        }
        for number, (key, value) in enumerate(top.items()):
            try:
                line = msgspec.json.encode(key) + b": " + msgspec.json.encode(value)
            except RecursionError:
                raise NirgenError(f"the labels' own '{key}' is nested too deeply; remove it") from None
            yield (b",\n" if number else b"{") + line
        labelled = [entry for entry in self.entries if entry.annotations is not None]
        yield b',\n"images": '
        yield from _array(b'{"id":%d,%b' % (number, entry.image[1:]) for number, entry in enumerate(labelled, start=1))
        yield b',\n"annotations": '
        ids = {category["name"]: category["id"] for category in self.categories}
        bodies = (
            (image, ids[name], body[1:])
            for image, entry in enumerate(labelled, start=1)
            for body, name in zip(entry.annotations or (), entry.classes, strict=True)
        )
        yield from _array(
            b'{"id":%d,"image_id":%d,"category_id":%d,%b' % (number, *rest)
            for number, rest in enumerate(bodies, start=1)
        )
        yield b',\n"unlabelled": '
        yield from _array(entry.image for entry in self.entries if entry.annotations is None)
        yield b"}\n"


def _array(items: Iterable[bytes]) -> Iterator[bytes]:
    """JSON array with a line for each item."""
    before = b"[\n"
    for item in items:
        yield before + item
        before = b",\n"
    yield b"[]" if before == b"[\n" else b"\n]"


class Licences:
    """Licences of several sources, numbered alike."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []  # as in the sources, but for ids that clash

    def add(self, licences: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
        """Add the licences of a source, and map the ids that clash to new ones."""
        renumbered: dict[Any, int] = {}
        for licence in licences:
            number = licence.get("id")
            taken = {other.get("id"): other for other in self.all}
            if number not in taken:
                self.all.append(dict(licence))
            elif taken[number] != licence:
                equal = [other["id"] for other in self.all if {**other, "id": None} == {**licence, "id": None}]
                free = 1 + max((other for other in taken if isinstance(other, int)), default=0)
                if not equal:
                    self.all.append({**licence, "id": free})
                renumbered[number] = int(equal[0]) if equal else free
        return renumbered
