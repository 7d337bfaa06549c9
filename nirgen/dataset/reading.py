"""Reading many files at once, with word of how far it is."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from nirgen import images
from nirgen.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nirgen.dataset.plan import Report

THREADS = 4

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
    work: Callable[[Path], T], paths: Sequence[Path], *, what: str, report: Report | None = None
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


def look_at(path: Path) -> Looked:
    """Hash an image, and take its size from its header.

    Raises:
        ImageError: It can't be read, or is no image.
    """
    data = read_bytes(path)
    return Looked(hashlib.sha256(data).hexdigest(), len(data), images.size_of(data, str(path)))


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
