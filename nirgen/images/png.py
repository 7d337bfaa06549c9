"""PNG files: checksums that Pillow doesn't look at, metadata that it refuses, and colour of 16 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isal import isal_zlib

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

_SIGNATURE_BYTES, _COLOUR, _COLOUR_WITH_ALPHA = 8, 2, 6
# Texts and profiles, which may be compressed and as large as they like; pixels don't depend on them.
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})


def damage_of(data: bytes) -> tuple[str | None, str | None]:
    """Return damage, if a checksum of pixels is wrong, and a note, if the end is missing; each in one line or None."""
    ended = False
    for kind, start, end in _chunks(data):
        ended = ended or kind == b"IEND"
        if kind in {b"IHDR", b"PLTE", b"IDAT"} and end + 4 <= len(data):
            stated = int.from_bytes(data[end : end + 4])
            if isal_zlib.crc32(memoryview(data)[start - 4 : end]) != stated:
                return f"{kind.decode()}: CRC error", None
    return None, None if ended else "its end is missing"


def without_texts(data: bytes) -> bytes:
    """Return a PNG without the chunks that hold texts and profiles."""
    kept = [data[:_SIGNATURE_BYTES]]
    kept += [data[start - 8 : end + 4] for kind, start, end in _chunks(data) if kind not in _TEXTS]
    return b"".join(kept)


def is_deep(data: bytes) -> bool:
    """Return True for samples of 16 bits."""
    return data[24:25] == b"\x10"


def is_deep_colour(data: bytes) -> bool:
    """Return True for colour of 16 bits, of which Pillow keeps the high bytes alone."""
    return is_deep(data) and data[25] in {_COLOUR, _COLOUR_WITH_ALPHA}


def decode_deep(data: bytes) -> NDArray[np.uint16]:
    """Decode colour of 16 bits to (H, W, 3 or 4); errors of any kind if it is damaged."""
    import imagecodecs

    samples: NDArray[np.uint16] = imagecodecs.png_decode(data)
    return samples


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each chunk; its checksum follows."""
    place = _SIGNATURE_BYTES
    while place + 8 <= len(data):
        start = place + 8
        end = start + int.from_bytes(data[place : place + 4])
        yield data[place + 4 : start], start, end
        place = end + 4
