"""The labels file of `nirgen labels`: COCO in which nothing is left to guess, written and read as a stream.

Annotations stay raw JSON until they are needed, so that 1.3 million of them fit into memory. docs/formats.md lists
the keys of the file.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from nirgen._version import __version__
from nirgen.errors import NirgenError
from nirgen.files import output_file, safe_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Category:
    """A class of a labels file.

    Attributes:
        id: From 1 in the order of the classes; with gaps only where the source's classes and their ids were kept.
        name: What detectors call it.
        supercategory: What groups it; empty if the source, whose classes were kept, says nothing.
    """

    id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image that somebody has labelled, maybe with nothing on it.

    Attributes:
        file_name: POSIX path relative to the images' folder, as the source names it.
        width: In pixels, upright.
        height: The same.
        sequence: The recording that it is a frame of, if known.
        split: The split that it came in, if known.
        attributes: Of the whole image, such as `weather`.
        extra: Every other key of its entry but `id`, `source_id` among them.
        annotations: Raw JSON in the order of the source; `annotation` decodes one.
    """

    file_name: str
    width: int
    height: int
    sequence: str | None
    split: str | None
    attributes: Mapping[str, Any]
    extra: Mapping[str, Any]
    annotations: tuple[msgspec.Raw, ...]


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A labels file in memory.

    Attributes:
        path: Where it, or the source that it was converted from, lies.
        sha256: Of that file.
        categories: In the order of their ids.
        images: Sorted by file name.
        unlabelled: The names of images without a label entry; they are never negatives.
        policy: What chose the classes.
        counts: What became of the source's labels.
        inputs: `file` and `sha256` of each source.
        licenses: As in the sources.
    """

    path: Path
    sha256: str
    categories: tuple[Category, ...]
    images: tuple[LabelledImage, ...]
    unlabelled: tuple[str, ...]
    policy: str
    counts: Mapping[str, Any]
    inputs: tuple[Mapping[str, Any], ...]
    licenses: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `nirgen labels` wrote.

        Args:
            path: The file.

        Returns:
            The file, its annotations still raw.

        Raises:
            NirgenError: It can't be read, wasn't written by `nirgen labels`, or was damaged since: an annotation
                refers to no image or no category, or a name leads out of the images' folder.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise NirgenError(f"{path}: can't be read ({error.strerror}); name a file of 'nirgen labels'") from None
        return cls.parse(data, path)

    @classmethod
    def parse(cls, data: bytes, path: Path, sha256: str | None = None) -> Self:
        """`read` of what is in memory.

        Args:
            data: The content of a labels file.
            path: What errors call it.
            sha256: Of the file at that path, if `data` is not its content.

        Raises:
            NirgenError: As for `read`.
        """
        try:
            document = _DOCUMENT.decode(data)
            schema = document.info.nirgen.schema
            if schema != SCHEMA:
                raise NirgenError(f"{path}: has schema {schema}, and this nirgen reads {SCHEMA}; write it again")
            images = _images(document, path)
        except msgspec.ValidationError:
            raise NirgenError(
                f"{path}: not written by 'nirgen labels'; convert it first: nirgen labels {path} -o OUT.json"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NirgenError(f"{path}: damaged ({error}); write it again with 'nirgen labels'") from None
        head = document.info.nirgen
        return cls(
            path=path,
            sha256=sha256 or hashlib.sha256(data).hexdigest(),
            categories=tuple(document.categories),
            images=images,
            unlabelled=tuple(safe_path(entry.file_name, str(path)) for entry in document.unlabelled),
            policy=head.policy,
            counts=head.counts,
            inputs=tuple(head.inputs),
            licenses=tuple(document.licenses),
        )


def annotation(raw: msgspec.Raw) -> dict[str, Any]:
    """The keys of an annotation."""
    return cast("dict[str, Any]", msgspec.json.decode(raw))


def box_counts(image: LabelledImage) -> Counter[int]:
    """How many boxes of each category id an image has, without those that only mark a region to ignore."""
    boxes = (_BOX.decode(raw) for raw in image.annotations)
    return Counter(box.category_id for box in boxes if not box.iscrowd)


def is_label_file(data: bytes) -> bool:
    """Whether bytes are a file of `nirgen labels`, of whatever schema."""
    try:
        _MARK.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


class _MarkedInfo(msgspec.Struct):
    nirgen: dict[str, Any]


class _Marked(msgspec.Struct):
    info: _MarkedInfo


class _Head(msgspec.Struct):
    schema: int
    policy: str
    inputs: list[dict[str, Any]]
    counts: dict[str, Any]


class _Info(msgspec.Struct):
    nirgen: _Head


class _Unlabelled(msgspec.Struct):
    file_name: str


class _Image(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int
    sequence: str | None = None
    split: str | None = None
    attributes: dict[str, Any] = {}


class _Box(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    iscrowd: int


class _Document(msgspec.Struct):
    info: _Info
    categories: list[Category]
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    licenses: list[dict[str, Any]] = []
    unlabelled: list[_Unlabelled] = []


_MARK = msgspec.json.Decoder(_Marked)
_DOCUMENT = msgspec.json.Decoder(_Document)
_IMAGE = msgspec.json.Decoder(_Image)
_BOX = msgspec.json.Decoder(_Box)


def _images(document: _Document, path: Path) -> tuple[LabelledImage, ...]:
    """The images with their annotations."""
    entries = [(_IMAGE.decode(raw), raw) for raw in document.images]
    annotations: dict[int, list[msgspec.Raw]] = {}
    for entry, _ in entries:
        if entry.id in annotations:
            raise NirgenError(f"{path}: two images have the id {entry.id}; write it again with 'nirgen labels'")
        annotations[entry.id] = []
    categories = {category.id for category in document.categories}
    for raw in document.annotations:
        box = _BOX.decode(raw)
        if box.image_id not in annotations or box.category_id not in categories:
            raise NirgenError(
                f"{path}: annotation {annotation(raw).get('id')} is of image {box.image_id} and category "
                f"{box.category_id}, which aren't both there; write it again with 'nirgen labels'"
            )
        annotations[box.image_id].append(raw)
    images = [_image(entry, raw, annotations[entry.id], path) for entry, raw in entries]
    return tuple(sorted(images, key=lambda image: image.file_name))


def _image(entry: _Image, raw: msgspec.Raw, annotations: Sequence[msgspec.Raw], path: Path) -> LabelledImage:
    keys = msgspec.json.decode(raw)
    return LabelledImage(
        file_name=safe_path(entry.file_name, f"{path}: image {entry.id}"),
        width=entry.width,
        height=entry.height,
        sequence=entry.sequence,
        split=entry.split,
        attributes=entry.attributes,
        extra={key: value for key, value in keys.items() if key not in _Image.__struct_fields__},
        annotations=tuple(annotations),
    )


DESCRIPTION = "Labels for detection, converted by nirgen"


@dataclass(frozen=True, slots=True)
class Entry:
    """One image and what is on it, as JSON objects that lack their ids yet.

    Attributes:
        file_name: What entries are sorted by.
        image: The entry of the image.
        annotations: In the order of the source; None if nobody has labelled the image.
        classes: The name of each annotation's class.
    """

    file_name: str
    image: bytes
    annotations: tuple[bytes, ...] | None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """A labels file before it is written.

    Attributes:
        policy: The name of the policy.
        inputs: `file` and `sha256` of each source; of several, their own `extra`.
        counts: What became of the source's labels.
        categories: In their order; `id`, `name` and whatever else they have.
        licenses: As in the sources.
        entries: Sorted by file name.
        extra: Every other key at the top of the source, such as COCO's `info`.
    """

    policy: str
    inputs: Sequence[Mapping[str, Any]]
    counts: Mapping[str, Any]
    categories: Sequence[Mapping[str, Any]]
    licenses: Sequence[Mapping[str, Any]]
    entries: Sequence[Entry]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the labels file, whole or not at all.

        Raises:
            OutputError: It can't be written.
        """
        with output_file(path) as temporary, temporary.open("wb") as file:
            file.writelines(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """The labels file in pieces: JSON with a line for each image and each annotation, which get their ids here."""
        head = {
            "schema": SCHEMA,
            "version": __version__,
            "policy": self.policy,
            "inputs": list(self.inputs),
            "counts": self.counts,
        }
        top = {
            "info": {"description": DESCRIPTION, **self.extra.get("info", {}), "nirgen": head},
            **{key: value for key, value in self.extra.items() if key != "info"},
            "licenses": list(self.licenses),
            "categories": list(self.categories),
        }
        for number, (key, value) in enumerate(top.items()):
            yield (b",\n" if number else b"{") + msgspec.json.encode(key) + b": " + msgspec.json.encode(value)
        labelled = [entry for entry in self.entries if entry.annotations is not None]
        yield b',\n"images": '
        yield from _array(_numbered(number, entry.image) for number, entry in enumerate(labelled, start=1))
        yield b',\n"annotations": '
        ids = {category["name"]: category["id"] for category in self.categories}
        yield from _array(_annotations(labelled, ids))
        yield b',\n"unlabelled": '
        yield from _array(entry.image for entry in self.entries if entry.annotations is None)
        yield b"}\n"


def _annotations(labelled: Iterable[Entry], ids: Mapping[str, int]) -> Iterator[bytes]:
    number = 0
    for image, entry in enumerate(labelled, start=1):
        for body, name in zip(entry.annotations or (), entry.classes, strict=True):
            number += 1
            yield b'{"id":%d,"image_id":%d,"category_id":%d,%b' % (number, image, ids[name], body[1:])


def _numbered(number: int, body: bytes) -> bytes:
    """A JSON object, which has keys, with its id before them."""
    return b'{"id":%d,%b' % (number, body[1:])


def _array(items: Iterable[bytes]) -> Iterator[bytes]:
    """A JSON array with a line for each item."""
    before = b"[\n"
    for item in items:
        yield before + item
        before = b",\n"
    yield b"[]" if before == b"[\n" else b"\n]"


class Licences:
    """The licences of several sources under one numbering.

    Attributes:
        all: As the sources have them, but for the ids of those that clash.
    """

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def add(self, licences: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
        """Add those of a source.

        Returns:
            The new ids of licences whose own id stands for another one already.
        """
        renumbered: dict[Any, int] = {}
        for licence in licences:
            taken = {other.get("id"): other for other in self.all}
            number = licence.get("id")
            if number not in taken:
                self.all.append(dict(licence))
            elif taken[number] != licence:
                renumbered[number] = self._number_of(licence)
        return renumbered

    def _number_of(self, licence: Mapping[str, Any]) -> int:
        """The id of a licence that was renumbered before, or a free one."""
        for other in self.all:
            if {**other, "id": None} == {**licence, "id": None}:
                return int(other["id"])
        number: int = 1 + max((other["id"] for other in self.all if isinstance(other.get("id"), int)), default=0)
        self.all.append({**licence, "id": number})
        return number
