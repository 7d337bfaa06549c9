"""A dataset folder on disk: file names, `dataset.json`, file hashes."""

from __future__ import annotations

import hashlib
import os
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nirgen import images, runlog
from nirgen.errors import ImageError, NirgenError
from nirgen.files import check_schema, read_bytes, read_json, safe_path, sha256_of, unseal
from nirgen.labels.file import Category
from nirgen.pairs.listing import is_in_colour
from nirgen.progress import in_threads, or_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nirgen.progress import Progress


SCHEMA = 1
DATASET_JSON = "dataset.json"
PROVENANCE = "provenance.parquet"
LINEAGE = "lineage.parquet"
CARD = "README.md"
IMAGES = "images"
CURATION = "curation.jsonl"  # decisions that the dataset was built with, if any
SCORES = "scores.parquet"
EMBEDDINGS = "embeddings.parquet"
ADDED = frozenset({SCORES, EMBEDDINGS})  # computed after the build
UNHASHED = frozenset({DATASET_JSON, runlog.NAME, *ADDED})  # `dataset.json` lacks their hashes


def annotations_name(split: str) -> str:
    """Return the COCO file of a split."""
    return f"annotations/{split}.json"


@dataclass(frozen=True)
class DatasetInfo:
    """Content of `dataset.json`."""

    folder: Path
    nirgen_version: str  # that wrote the dataset
    digest: str  # of the plan
    categories: tuple[Category, ...]  # in the order of their ids
    splits: Mapping[str, Mapping[str, Any]]  # counts as plain values
    files: Mapping[str, str]  # sha256 by name; `UNHASHED` ones are missing
    values: Mapping[str, Any]  # all of it (docs/formats.md)

    @property
    def curation(self) -> Mapping[str, Any] | None:
        """Return its record of the decisions that it was built with; None without any."""
        found: Mapping[str, Any] | None = self.values.get("curation")
        return found


def is_dataset(folder: Path) -> bool:
    """Return True if `nirgen build-dataset` wrote a folder."""
    return (folder / DATASET_JSON).is_file()


def read_dataset(folder: Path) -> DatasetInfo:
    """Read the `dataset.json` of a dataset.

    Raises:
        NirgenError: The folder is no dataset, or `dataset.json` is damaged or of another schema.
    """
    path = folder / DATASET_JSON
    try:
        values = read_json(path)
        check_schema(path, values["schema"], SCHEMA, "build the dataset again")
        values = unseal(values)
        return DatasetInfo(
            folder=folder,
            nirgen_version=values["nirgen"],
            digest=values["digest"],
            categories=tuple(Category(**category) for category in values["categories"]),
            splits=values["splits"],
            files={safe_path(name, str(path)): sha256 for name, sha256 in values["files"].items()},
            values=values,
        )
    except OSError as error:
        raise NirgenError(
            f"{folder}: no dataset of nirgen's ({DATASET_JSON}: {error.strerror}); name a folder that "
            "'nirgen build-dataset' wrote"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NirgenError(f"{path}: damaged or of another program ({error}); build the dataset again") from None


def altered(info: DatasetInfo, report: Progress | None = None) -> Iterator[str]:
    """Yield the names of a dataset's files that are missing or changed since the build."""
    names = sorted(info.files)
    paths = [info.folder / name for name in names]
    for name, sha256 in zip(names, in_threads(or_error(sha256_of, OSError), paths, "check", report), strict=True):
        if sha256 != info.files[name]:
            yield name


def check_file(info: DatasetInfo, name: str) -> None:
    """Raise a NirgenError if a file of a dataset isn't the one that was built."""
    path = info.folder / name
    if name in info.files and path.is_file() and sha256_of(path) != info.files[name]:
        raise NirgenError(f"{path}: damaged or altered since the build; build the dataset again")


def foreign(info: DatasetInfo) -> Iterator[str]:
    """Yield the names of files in a dataset's folder that nirgen didn't write."""
    for folder, folders, names in os.walk(info.folder):
        relative = os.path.relpath(folder, info.folder)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        for name in sorted(names + links):
            path = name if relative == "." else f"{relative}/{name}"
            if path not in info.files and path not in UNHASHED:
                yield path


@dataclass(frozen=True, slots=True)
class Looked:
    """Facts of an image file."""

    sha256: str
    size_bytes: int
    size: tuple[int, int] | None = None  # (height, width) in pixels, upright; None if not asked for
    in_colour: bool = False  # False if it was not decoded
    form: tuple[str, int] | None = None  # codec and channels as stored; None if the header can't be read


def look_at(path: Path, *, with_size: bool = True, reading: images.Reading | None = None) -> Looked:
    """Hash an image, read its header (which must be sound if `with_size`), and decode it if `reading` is given.

    ImageError if it can't be read, or is damaged.
    """
    data, header = read_image(path), None
    with nullcontext() if with_size else suppress(ImageError):
        header = images.header_of(data, str(path))
    size = header.size if header is not None and with_size else None
    form = (header.codec, header.channels) if header is not None else None
    in_colour = reading is not None and is_in_colour(images.decode(data, str(path), reading))
    return Looked(hashlib.sha256(data).hexdigest(), len(data), size, in_colour, form)


def read_image(path: Path) -> bytes:
    """Return the content of a file; raise an ImageError if it can't be read."""
    try:
        return read_bytes(path)
    except OSError as error:
        raise ImageError(f"{str(path)!r} can't be read: {error.strerror}; restore it") from error
