"""JPEG XL files, by imagecodecs, which tells no size before it decodes: it is read from the header here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STARTS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_RATIOS = (None, (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDE_BITS = (9, 13, 18, 30)


def size_of(data: bytes) -> tuple[int, int]:
    """Return (height, width) in pixels, upright; ValueError if the header lacks it."""
    bits = _Bits(_codestream(data)[2:])
    small = bits.take(1)
    height = _side(bits, small=bool(small))
    ratio = _RATIOS[bits.take(3)]
    width = _side(bits, small=bool(small)) if ratio is None else height * ratio[0] // ratio[1]
    turned = not bits.take(1) and bool(bits.take(1)) and bits.take(3) >= 4
    return (width, height) if turned else (height, width)


def decode(data: bytes) -> NDArray[np.generic]:
    """Decode to (H, W) or (H, W, 2 to 4), upright, of the file's own type; errors of any kind if it is damaged."""
    import imagecodecs

    samples: NDArray[np.generic] = imagecodecs.jpegxl_decode(data)
    return samples


def _side(bits: _Bits, *, small: bool) -> int:
    return 8 * (1 + bits.take(5)) if small else 1 + bits.take(_SIDE_BITS[bits.take(2)])


class _Bits:
    """Bits of a header, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data[:32], "little"), 8 * len(data[:32])

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("its header is cut off")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def _codestream(data: bytes) -> bytes:
    """Return the start of the codestream, which may lie in a container of boxes."""
    if data.startswith(STARTS[0]):
        return data[:64]
    place = 0
    while place + 8 <= len(data):
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        start = place + (16 if length == 1 else 8)
        length = int.from_bytes(data[place + 8 : place + 16]) if length == 1 else length
        if kind in {b"jxlc", b"jxlp"}:
            start += 4 * (kind == b"jxlp")
            return data[start : start + 64]
        if length < 8:
            break
        place += length
    raise ValueError("it has no codestream")
