"""A dataset folder on disk: file names, `dataset.json`, file hashes."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from nirgen.errors import ImageError, NirgenError
from nirgen.files import safe_path
from nirgen.labels.file import Category

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from nirgen.progress import Progress


SCHEMA = 1
DATASET_JSON = "dataset.json"
RUN_JSON = "run.json"
PROVENANCE = "provenance.parquet"
LINEAGE = "lineage.parquet"
CARD = "README.md"
IMAGES = "images"
CURATION = "curation.jsonl"
"""The decisions that the dataset was built with, if there were any."""
SCORES = "scores.parquet"
"""Scores of what the dataset holds, computed after it was built."""
UNHASHED = frozenset({DATASET_JSON, RUN_JSON, SCORES})
"""The files of a dataset whose hashes `dataset.json` doesn't have."""

THREADS = 4


def annotations_name(split: str) -> str:
    """The COCO file of a split.

    Example:
        >>> annotations_name("val")
        'annotations/val.json'
    """
    return f"annotations/{split}.json"


@dataclass(frozen=True)
class DatasetInfo:
    """What `dataset.json` says.

    Attributes:
        folder: The dataset.
        nirgen_version: Of the package that wrote it.
        digest: Of the plan that it was made by.
        categories: In the order of their ids.
        splits: What each split holds, as plain values.
        files: The sha256 of each file, by its name; `UNHASHED` ones aren't there.
        values: All of it, as plain values (docs/formats.md).
    """

    folder: Path
    nirgen_version: str
    digest: str
    categories: tuple[Category, ...]
    splits: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, str]
    values: Mapping[str, Any]

    @property
    def curation(self) -> Mapping[str, Any] | None:
        """What it says of the decisions that it was built with; None without any."""
        found: Mapping[str, Any] | None = self.values.get("curation")
        return found


def is_dataset(folder: Path) -> bool:
    """Whether a folder was written by `nirgen build-dataset`."""
    return (folder / DATASET_JSON).is_file()


def read_dataset(folder: Path) -> DatasetInfo:
    """Read what a dataset says of itself.

    Args:
        folder: The dataset.

    Raises:
        NirgenError: It is no dataset of nirgen's, one of another schema, or its `dataset.json` is damaged.
    """
    path = folder / DATASET_JSON
    try:
        values = msgspec.json.decode(path.read_bytes())
        if values["schema"] != SCHEMA:
            raise NirgenError(
                f"{path}: has schema {values['schema']}, and this nirgen reads {SCHEMA}; build the dataset again"
            )
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
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise NirgenError(f"{path}: damaged or of another program ({error}); build the dataset again") from None


def altered(info: DatasetInfo, report: Progress | None = None) -> Iterator[str]:
    """The files of a dataset that are missing, or aren't any more what they were when it was built.

    Args:
        info: The dataset.
        report: Told after each file.

    Yields:
        Their names.
    """
    names = sorted(info.files)
    threads = ThreadPoolExecutor(THREADS)
    try:
        for done, found in enumerate(threads.map(partial(_sha256, info.folder), names), start=1):
            if report is not None:
                report("check", done, len(names))
            if found != info.files[names[done - 1]]:
                yield names[done - 1]
    finally:
        threads.shutdown(cancel_futures=True)


def foreign(info: DatasetInfo) -> Iterator[str]:
    """The files in a dataset's folder that nirgen didn't write, by name."""
    for folder, folders, names in os.walk(info.folder):
        relative = os.path.relpath(folder, info.folder)
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        for name in sorted(names + links):
            path = name if relative == "." else f"{relative}/{name}"
            if path not in info.files and path not in UNHASHED:
                yield path


def _sha256(folder: Path, name: str) -> str | None:
    """The hash of a file; None if it can't be read."""
    try:
        with (folder / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Looked:
    """What a file is, without its pixels.

    Attributes:
        sha256: Of its bytes.
        size_bytes: How many they are.
        size: (height, width) in pixels, upright; None if that wasn't asked for.
    """

    sha256: str
    size_bytes: int
    size: tuple[int, int] | None = None


def read_all(
    work: Callable[[Path], T], paths: Sequence[Path], *, what: str, report: Progress | None = None
) -> list[T | ImageError]:
    """Do the same for each of many files, in threads.

    Args:
        work: What to do; an ImageError is a result as well.
        paths: The files.
        what: What the report calls it.
        report: Told after each file.

    Returns:
        What came of each file, in order.
    """

    def attempt(path: Path) -> T | ImageError:
        try:
            return work(path)
        except ImageError as error:
            return error

    results: list[T | ImageError] = []
    threads = ThreadPoolExecutor(THREADS)
    try:
        for result in threads.map(attempt, paths):
            results.append(result)
            if report is not None:
                report(what, len(results), len(paths))
    finally:
        threads.shutdown(cancel_futures=True)
    return results


def hash_file(path: Path) -> Looked:
    """Hash a file.

    Raises:
        ImageError: It can't be read.
    """
    data = read_bytes(path)
    return Looked(hashlib.sha256(data).hexdigest(), len(data))


def read_bytes(path: Path) -> bytes:
    """The whole of a file.

    Raises:
        ImageError: It can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{str(path)!r} can't be read: {error.strerror}; bring it back") from error


def hash_input(path: Path) -> str:
    """The sha256 of a file that isn't an image, in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
