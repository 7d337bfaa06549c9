"""JPEG files: the fast way to their pixels, and the warnings of libjpeg, which Pillow keeps to itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import simplejpeg  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Rgb = NDArray[np.uint8]

SCAN_LIMIT = 100
"""Scans of a progressive JPEG. Encoders write about ten; each takes as long as a whole baseline image."""

END = b"\xff\xd9"
NO_END_NOTE = "its end marker is missing"

_START, _SCAN = b"\xff\xd8", b"\xff\xda"
_NO_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xDA), 0xFF})
_APPLICATION = frozenset({*range(0xE0, 0xF0), 0xFE})  # segments without which pixels can be decoded
_NO_END, _FOREIGN = "Premature end of JPEG file", re.compile(r"[Uu]nsupported|[Nn]ot implemented")


def decode_plain(data: bytes) -> tuple[Rgb | None, str | None, str | None]:
    """Decode a JPEG in YCbCr or grey, in half of Pillow's time, to the same pixels.

    Returns:
        Pixels (H, W, 3), not turned; None if another decoder is needed. Damage and a note, each in one line or None.
    """
    try:
        if simplejpeg.decode_jpeg_header(data)[2] not in {"YCbCr", "Gray"}:
            return None, *warnings_of(data)
        return simplejpeg.decode_jpeg(data, "RGB"), None, None
    except ValueError as error:
        damage, note = _judge(data, str(error))
    try:
        return simplejpeg.decode_jpeg(data, "RGB", strict=False), damage, note
    except ValueError:
        return None, damage, note


def warnings_of(data: bytes) -> tuple[str | None, str | None]:
    """Return damage and a note of any JPEG, each in one line or None; it is decoded for it."""
    warning = _warning_of(data)
    return (None, None) if warning is None else _judge(data, warning)


def _warning_of(data: bytes) -> str | None:
    """Return the first warning of libjpeg, or None; an eighth of the size takes a third of the time."""
    try:
        colours = simplejpeg.decode_jpeg_header(data)[2]
        simplejpeg.decode_jpeg(data, "CMYK" if colours in {"CMYK", "YCCK"} else "RGB", min_height=1, min_width=1)
    except ValueError as error:
        return str(error)
    return None


def _judge(data: bytes, warning: str) -> tuple[str | None, str | None]:
    """Tell damage from a remark: the essential segments are decoded alone, with an end marker.

    libjpeg's first warning is all that is known, and may be about something harmless before the pixels.
    """
    if _FOREIGN.search(warning):  # no matter of damage: Pillow decodes it, or says why not
        return None, None
    found = _warning_of(_essential(data))
    if found is not None:
        return (warning if warning == _NO_END else found), None
    if warning != _NO_END:
        return None, f"its segments: {warning}"
    return (None, NO_END_NOTE) if _refined(data) else (warning, None)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a header or between scans; data of scans are passed over."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker in _NO_LENGTH:  # a stuffed byte of a scan's data, a restart, or a filling
            place += 2 - (marker == 0xFF)
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        yield marker, place, end
        place = end


def _essential(data: bytes) -> bytes:
    """Return a JPEG with an end marker, and without application data and stray bytes before its first scan."""
    kept = [_START]
    for marker, start, end in _segments(data):
        if marker == _SCAN[1]:
            kept.append(data[start:])
            break
        if marker not in _APPLICATION:
            kept.append(data[start:end])
    return b"".join([*kept, END])


def _refined(data: bytes) -> bool:
    """Return True unless a progressive JPEG lacks scans: every coefficient of every component has its last bit."""
    progressive, components = False, 0
    lacking: dict[tuple[int, int], int] = {}
    for marker, start, end in _segments(data):
        if marker in {0xC2, 0xC6, 0xCA, 0xCE}:
            progressive, components = True, data[start + 9]
        if marker == _SCAN[1] and end <= len(data) and end - start >= 8:
            first, last, bits = data[end - 3], data[end - 2], data[end - 1] & 15
            for component in data[start + 5 : end - 3 : 2]:
                lacking |= {(component, place): bits for place in range(first, last + 1)}
    return not progressive or (len(lacking) == 64 * components and not any(lacking.values()))


def count_scans(data: bytes) -> int:
    """Count the scans of a JPEG; those of a thumbnail only where there are many in all."""
    count = data.count(_SCAN)
    return count if count <= SCAN_LIMIT else sum(marker == _SCAN[1] for marker, _, _ in _segments(data))
