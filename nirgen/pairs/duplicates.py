"""Copies of an image among pairs: exact ones, and near ones across splits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.errors import NirgenError, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nirgen.pairs.listing import Pair

HASH_DISTANCE = 10  # largest number of bits of 64 in which the perceptual hashes of near copies differ
LIKENESS = 0.98  # smallest correlation of the thumbnails of near copies
THUMBNAIL = (16, 16)
_BLOCK = 256


@dataclass(frozen=True)
class Fingerprint:
    """Perceptual hash and thumbnail of an RGB image."""

    code: int  # pHash, 64 bits
    thumbnail: NDArray[np.uint8]  # (16, 16, 3)


def fingerprint(rgb: NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint of an (H, W, 3) image."""
    import imagehash
    from PIL import Image

    bits = imagehash.phash(Image.fromarray(rgb)).hash
    return Fingerprint(int.from_bytes(np.packbits(bits).tobytes()), images.resize(rgb, THUMBNAIL))


def find_duplicates(pairs: Sequence[Pair]) -> dict[int, int]:
    """Map each pair whose RGB or NIR file has the bytes of an earlier pair's to the first such pair, by position."""
    first: dict[tuple[str, str], int] = {}
    copies: dict[int, int] = {}
    for position, pair in enumerate(pairs):
        for file in (("rgb", pair.rgb_sha256), ("nir", pair.nir_sha256)):
            earliest = first.setdefault(file, position)
            if earliest != position:
                copies[position] = min(earliest, copies.get(position, earliest))
    return copies


def copies_across_splits(pairs: Sequence[Pair]) -> list[tuple[Pair, Pair]]:
    """Return the pairs whose RGB or NIR file has the bytes of a pair in another split, with the first such pair."""
    first: dict[tuple[str, str], dict[str, Pair]] = {}
    found: list[tuple[Pair, Pair]] = []
    for pair in pairs:
        for file in (("rgb", pair.rgb_sha256), ("nir", pair.nir_sha256)):
            holders = first.setdefault(file, {})
            other = next((holder for split, holder in holders.items() if split != pair.split), None)
            if other is not None and (not found or found[-1][0] != pair):
                found.append((pair, other))
            holders.setdefault(pair.split, pair)
    return found


def refuse_copies(pairs: Sequence[Pair]) -> None:
    """Raise a NirgenError if a pair has the bytes of one in another split: scores would be of learned images."""
    copies = copies_across_splits(pairs)
    if copies:
        raise NirgenError(f"{describe_copies(copies)}; remove one of each from the list")


def describe_copies(copies: Sequence[tuple[Pair, Pair]]) -> str:
    """Describe at least one pair that has the bytes of one in another split."""
    (pair, other), more = copies[0], len(copies) - 1
    text = f"{pair.split}/{pair.name} has the bytes of {other.split}/{other.name}"
    return text + (f", and {counted(more, 'more pair')} across splits" if more else "")


def find_leaks(pairs: Sequence[Pair], prints: Sequence[Fingerprint | None]) -> dict[int, tuple[int, int]]:
    """Find pairs of which another split holds an exact or near copy, given the fingerprints of their RGB images.

    Returns:
        Maps the position of each such pair to the position of the nearest copy in another split, and to the bits in
        which their hashes differ: 0 for exact copies.
    """
    leaks: dict[int, tuple[int, int]] = {}
    for kind in ("rgb_sha256", "nir_sha256"):
        holders: dict[str, list[int]] = defaultdict(list)
        for position, pair in enumerate(pairs):
            holders[getattr(pair, kind)].append(position)
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
    """Find images that have a near copy among others: hashes and thumbnails are alike. None is an unreadable image.

    The result maps the position of each to that of its nearest copy, and to the bits in which their hashes differ.
    """
    positions, codes, thumbnails = _readable(prints)
    other_positions, other_codes, other_thumbnails = _readable(others)
    copies: dict[int, tuple[int, int]] = {}
    for start in range(0, len(codes), _BLOCK):
        distances = np.bitwise_count(codes[start : start + _BLOCK, np.newaxis] ^ other_codes)
        near = distances <= HASH_DISTANCE
        for row in np.flatnonzero(near.any(axis=1)):
            found = np.flatnonzero(near[row])
            alike = found[other_thumbnails[found] @ thumbnails[start + row] >= LIKENESS]
            if len(alike):
                best = alike[np.argmin(distances[row, alike])]
                copies[positions[start + row]] = (other_positions[best], int(distances[row, best]))
    return copies


def _readable(prints: Sequence[Fingerprint | None]) -> tuple[list[int], NDArray[np.uint64], NDArray[np.float32]]:
    """Return the positions, (N,) hashes and (N, 768) thumbnails, of mean 0 and length 1, of the N prints not None.

    A thumbnail without contrast is 0, and so correlates with none.
    """
    there = [(position, each) for position, each in enumerate(prints) if each is not None]
    thumbnails = np.array([each.thumbnail for _, each in there], np.uint8).reshape(-1, 3 * THUMBNAIL[0] * THUMBNAIL[1])
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True, dtype=np.float32)
    rows: NDArray[np.float32] = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return [position for position, _ in there], np.array([each.code for _, each in there], np.uint64), rows
