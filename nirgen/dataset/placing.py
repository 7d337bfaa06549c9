"""Bring images into a dataset: by link, by copy, or encoded anew."""

from __future__ import annotations

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen import images
from nirgen.dataset.folder import THREADS
from nirgen.dataset.reading import read_bytes
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.plan import PlannedImage, Report
    from nirgen.dataset.store import Store

FORMATS: Mapping[str, images.Format] = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".tif": "tif", ".tiff": "tif"}

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}


@dataclass(frozen=True, slots=True)
class Placed:
    """An image that has come into the dataset.

    Attributes:
        sha256: Of its file.
        size_bytes: Of its file.
        how: What it is to the file that it came from.
        encoded: How it was encoded anew, in words; None if it has the bytes of the file that it came from.
    """

    sha256: str
    size_bytes: int
    how: Literal["hardlink", "symlink", "copy", "encoded"]
    encoded: str | None = None


def place_all(
    planned: Sequence[PlannedImage], store: Store, config: DatasetConfig, report: Report | None = None
) -> list[Placed]:
    """Bring all images into the dataset, in threads.

    Args:
        planned: The images.
        store: The dataset.
        config: How they are brought there.
        report: Told after each image.

    Returns:
        What became of each, in order.

    Raises:
        NirgenError: An image changed since the plan was made, can't be read, or its name leads out of the dataset.
    """
    placed: list[Placed] = []
    threads = ThreadPoolExecutor(THREADS)
    try:
        for result in threads.map(partial(place, store=store, config=config), planned):
            placed.append(result)
            if report is not None:
                report("images", len(placed), len(planned))
    finally:
        threads.shutdown(cancel_futures=True)
    return placed


def place(image: PlannedImage, store: Store, config: DatasetConfig) -> Placed:
    """Bring an image into the dataset.

    It is encoded anew if `config` asks for a codec or a number of channels, or if it isn't stored upright: not every
    reader knows of EXIF, and boxes are those of the upright image.

    Args:
        image: The image.
        store: The dataset.
        config: How it is brought there.

    Raises:
        NirgenError: As for `place_all`.
    """
    path = store.claim(image.target)
    data = read_bytes(image.path)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != image.sha256:
        raise NirgenError(f"{image.path}: changed since the plan was made; make the plan again")
    header = images.header_of(data, str(image.path))
    encoded = None
    how: Literal["hardlink", "symlink", "copy", "encoded"] = "copy"
    if config.codec or config.channels or not header.upright:
        data, encoded = _encode(data, header, image, config.channels)
        sha256, how = hashlib.sha256(data).hexdigest(), "encoded"
        path.write_bytes(data)
    elif config.files == "symlink":
        path.symlink_to(image.path.resolve())
        how = "symlink"
    elif config.files == "hardlink" and _link(image.path, path):
        how = "hardlink"
    else:
        path.write_bytes(data)
    store.hashes[image.target] = sha256
    return Placed(sha256, len(data), how, encoded)


def _link(source: Path, path: Path) -> bool:
    """Make a hard link; False where the file system has none to this file."""
    try:
        os.link(source.resolve(), path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True


def _encode(data: bytes, header: images.Header, image: PlannedImage, channels: int | None) -> tuple[bytes, str]:
    """The bytes of an image in the format of its target's ending, and what was done to it in words."""
    suffix = PurePosixPath(image.target).suffix.lower()
    if suffix not in FORMATS:
        raise NirgenError(f"{image.path}: no image is encoded as {suffix or 'a file without ending'}; say --codec png")
    pixels = images.decode(data, str(image.path))
    if channels is not None or header.grey:
        pixels = images.to_grey(pixels)
    if channels == 3:
        pixels = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    turned = "" if header.upright else "turned upright, "
    layout = "1 channel" if pixels.ndim == 2 else "3 channels"
    return images.encode(pixels, FORMATS[suffix]), f"{turned}encoded anew as {FORMATS[suffix]}, {layout}"
