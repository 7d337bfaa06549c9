"""Converted labels on their way into a labels file, written as a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen import __version__
from nirgen.files import output_file
from nirgen.labels.file import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

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
