"""Pairs that show the same photograph: exact copies, and near copies across splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from nirgen import images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nirgen.pairs.listing import Pair

HASH_DISTANCE = 10
"""Bits of 64 in which the perceptual hashes of near copies may differ."""

LIKENESS = 0.98
"""Correlation that the thumbnails of near copies have at least."""

THUMBNAIL = (16, 16)
_BLOCK = 256


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of an RGB image to know its copies by.

    Attributes:
        code: Perceptual hash (pHash), 64 bits.
        thumbnail: (16, 16, 3) uint8.
    """

    code: int
    thumbnail: NDArray[np.uint8]


def fingerprint(rgb: NDArray[np.uint8]) -> Fingerprint:
    """Take an image's fingerprint.

    Args:
        rgb: (H, W, 3) uint8.
    """
    import imagehash

    bits = imagehash.phash(Image.fromarray(rgb)).hash
    return Fingerprint(int("".join("1" if bit else "0" for bit in bits.ravel()), 2), images.resize(rgb, THUMBNAIL))


def find_duplicates(pairs: Sequence[Pair]) -> dict[int, int]:
    """Exact copies: pairs whose RGB file, or whose NIR file, has the bytes of an earlier pair's.

    Returns:
        For the position of each copy that of the first pair which has the same file.
    """
    first: dict[tuple[str, str], int] = {}
    copies: dict[int, int] = {}
    for position, pair in enumerate(pairs):
        for file in (("rgb", pair.rgb_sha256), ("nir", pair.nir_sha256)):
            earliest = first.setdefault(file, position)
            if earliest != position:
                copies[position] = min(earliest, copies.get(position, earliest))
    return copies


def find_leaks(pairs: Sequence[Pair], prints: Sequence[Fingerprint | None]) -> dict[int, tuple[int, int]]:
    """Pairs of which another split holds a copy or a near copy.

    Near copies are sought by their RGB images: the hashes are near, and the thumbnails are alike as well.

    Args:
        pairs: All pairs.
        prints: The fingerprint of each pair's RGB image; None if it can't be read.

    Returns:
        For the position of each such pair the position of the nearest one in another split, and how many bits their
        hashes differ in: 0 for exact copies.
    """
    leaks: dict[int, tuple[int, int]] = {}
    for kind in ("rgb_sha256", "nir_sha256"):
        holders: dict[str, list[int]] = {}
        for position, pair in enumerate(pairs):
            holders.setdefault(getattr(pair, kind), []).append(position)
        for positions in holders.values():
            for position in positions:
                other = next((each for each in positions if pairs[each].split != pairs[position].split), None)
                if other is not None:
                    leaks.setdefault(position, (other, 0))
    for split in sorted({pair.split for pair in pairs}):
        inside = [position for position, pair in enumerate(pairs) if pair.split == split]
        outside = [position for position, pair in enumerate(pairs) if pair.split != split]
        near = find_near_copies([prints[position] for position in inside], [prints[position] for position in outside])
        for position, (other, distance) in near.items():
            if inside[position] not in leaks or distance < leaks[inside[position]][1]:
                leaks[inside[position]] = (outside[other], distance)
    return leaks


def find_near_copies(
    prints: Sequence[Fingerprint | None], others: Sequence[Fingerprint | None]
) -> dict[int, tuple[int, int]]:
    """Images of which there is a near copy among others: the hashes are near, and the thumbnails are alike as well.

    Args:
        prints: Of the images; None if one can't be read.
        others: Of the images that copies are sought among.

    Returns:
        For the position of each such image that of the nearest other one, and how many bits their hashes differ in.
    """
    places, codes, thumbnails = _readable(prints)
    other_places, other_codes, other_thumbnails = _readable(others)
    copies: dict[int, tuple[int, int]] = {}
    for start in range(0, len(codes), _BLOCK):
        distances = np.bitwise_count(codes[start : start + _BLOCK, np.newaxis] ^ other_codes)
        near = distances <= HASH_DISTANCE
        for row in np.flatnonzero(near.any(axis=1)):
            found = np.flatnonzero(near[row])
            alike = found[other_thumbnails[found] @ thumbnails[start + row] >= LIKENESS]
            if len(alike):
                best = alike[np.argmin(distances[row, alike])]
                copies[places[start + row]] = (other_places[best], int(distances[row, best]))
    return copies


def _readable(
    prints: Sequence[Fingerprint | None],
) -> tuple[list[int], NDArray[np.uint64], NDArray[np.float32]]:
    """Positions, (N,) hashes and (N, 768) thumbnails of the N prints that there are."""
    places = [position for position, each in enumerate(prints) if each is not None]
    there = [each for each in prints if each is not None]
    thumbnails = np.array([each.thumbnail.ravel() for each in there], np.uint8).reshape(
        len(there), 3 * THUMBNAIL[0] * THUMBNAIL[1]
    )
    return places, np.array([each.code for each in there], np.uint64), _normalised(thumbnails)


def _normalised(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Rows of mean 0 and length 1; a row without contrast is 0 and like no other."""
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True, dtype=np.float32)
    rows: NDArray[np.float32] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return rows
