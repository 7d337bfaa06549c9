"""Decode the pairs of a list."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import ImageError
from nirgen.pairs.listing import file_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.pairs.listing import Pair, PairList

GREY_TOLERANCE = 8
"""Levels of 255 by which the channels of a grey image may differ, as lossy compression makes them."""

SEAM = 16
"""Columns beside the seam of two halves that JPEG's blocks of colour may reach over."""


def read_pair(pairs: PairList, pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode a pair of a list, after making sure that it is still the one that was listed.

    Args:
        pairs: The list.
        pair: One of its pairs.

    Returns:
        RGB (H, W, 3) and NIR (h, w), uint8 in [0, 255], upright.

    Raises:
        ImageError: A file can't be read, or was changed since it was listed; or the NIR image is in colour, its
            channels differing by more than `GREY_TOLERANCE`.
    """
    rgb = _read_unchanged(pairs.root, pair.rgb, pair.rgb_sha256)
    nir = _read_unchanged(pairs.root, pair.nir, pair.nir_sha256)
    difference = colour_difference(nir, pair.nir)
    if difference > GREY_TOLERANCE:
        raise ImageError(
            f"{pairs.root / pair.nir}: a NIR image in colour (its channels differ by {difference} levels of 255); save "
            "its intensity as a grey image, and make sure that 'rgb' and 'nir' aren't swapped"
        )
    # of a half, luma is what JPEG keeps of its intensity free of its neighbour's colour
    return rgb, nir[..., 0] if file_of(pair.nir) == pair.nir else images.to_grey(nir)


def colour_difference(pixels: NDArray[np.uint8], image: str = "") -> int:
    """By how many levels the channels of an image differ at most.

    Args:
        pixels: (H, W, 3) uint8.
        image: The image's path; that of a half says at which side to leave out what colour JPEG spreads over the seam.
    """
    seam = min(SEAM, pixels.shape[1] // 4)
    left, right = seam * image.endswith("#right"), seam * image.endswith("#left")
    inner = pixels[:, left : pixels.shape[1] - right]
    return int((inner.max(axis=2) - inner.min(axis=2)).max())


def cut_half(pixels: NDArray[np.uint8], image: str) -> NDArray[np.uint8]:
    """The half of an (H, W, 3) image that a path asks for; all of it if none."""
    middle = pixels.shape[1] // 2
    if image.endswith("#left"):
        return pixels[:, :middle]
    return pixels[:, middle:] if image.endswith("#right") else pixels


def _read_unchanged(root: Path, image: str, sha256: str) -> NDArray[np.uint8]:
    """Decode an image of a list whose file has a hash: (H, W, 3) uint8."""
    path = root / file_of(image)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror}); bring it back, or list the pairs again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError(f"{path}: changed since it was listed; run 'nirgen pairs' again")
    return cut_half(images.decode(data, str(path)), image)
