"""The COCO files of a dataset, written as a stream."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from nirgen.dataset.store import Store, Stream
    from nirgen.labels.file import Category

DESCRIPTION = "NIR detection dataset, built by nirgen"


@contextmanager
def coco_file(
    store: Store,
    name: str,
    *,
    categories: Sequence[Category],
    licences: Sequence[Mapping[str, Any]],
    images: Iterable[Mapping[str, Any]],
) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """Write a COCO file with a line for each image and each annotation.

    Args:
        store: The dataset.
        name: Of the file.
        categories: In the order of their ids.
        licences: COCO entries.
        images: COCO entries.

    Yields:
        What takes the annotations, one at a time.
    """
    encode = msgspec.json.Encoder().encode
    with store.stream(name) as file:
        file.write(b'{"info": ' + encode({"description": DESCRIPTION, "version": __version__}))
        file.write(b',\n"licenses": ' + encode(list(licences)))
        file.write(b',\n"categories": ' + encode([asdict(category) for category in categories]))
        with _array(file, "images") as put:
            for image in images:
                put(encode(image))
        with _array(file, "annotations") as put:
            yield lambda annotation: put(encode(annotation))
        file.write(b"}\n")


@contextmanager
def _array(file: Stream, name: str) -> Generator[Callable[[bytes], None]]:
    """A key whose value is an array with a line for each item."""
    before = b"\n"

    def put(item: bytes) -> None:
        nonlocal before
        file.write(before + item)
        before = b",\n"

    file.write(f',\n"{name}": ['.encode())
    yield put
    file.write(b"]" if before == b"\n" else b"\n]")
