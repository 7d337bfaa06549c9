"""Capture time and place of an image, from its EXIF data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

_EXIF, _GPS = 0x8769, 0x8825
_TIME, _TIME_ZONE = 0x9003, 0x9011
_SIGNS = {"N": 1, "S": -1, "E": 1, "W": -1}
_STATED_TIME = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)")
_STATED_ZONE = re.compile(r"[+-]\d\d:\d\d")


@dataclass(frozen=True)
class Capture:
    """Time and place at which an image was taken, as far as its file states them."""

    time: str | None = None  # ISO 8601, with the offset from UTC if that is stated, such as 2026-05-01T12:00:00+02:00
    latitude: float | None = None  # degrees north
    longitude: float | None = None  # degrees east


def capture_of(exif: Image.Exif) -> Capture | None:
    """Return the capture by EXIF data; None if they don't state it, or can't be read."""
    try:
        taken = exif.get_ifd(_EXIF)
        place = exif.get_ifd(_GPS)
        found = Capture(_time(taken), _degrees(place, 1, 90), _degrees(place, 3, 180))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is an untrusted TIFF file; its parser may raise anything
        return None
    return None if found == Capture() else found


def _time(taken: dict[int, Any]) -> str | None:
    match = _STATED_TIME.match(str(taken.get(_TIME, "")))
    if match is None or match[1] == "0000":
        return None
    zone = str(taken.get(_TIME_ZONE, "")).strip("\0 ")
    return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}" + (zone if _STATED_ZONE.fullmatch(zone) else "")


def _degrees(place: dict[int, Any], reference: int, limit: int) -> float | None:
    """Degrees of latitude or longitude: the tag `reference` has its sign, the next one degrees, minutes, seconds."""
    sign, parts = _SIGNS.get(str(place.get(reference, "")).strip("\0 ").upper()), place.get(reference + 1)
    if sign is None or parts is None or len(parts) != 3:
        return None
    value = float(parts[0]) + float(parts[1]) / 60 + float(parts[2]) / 3600
    return round(sign * value, 7) if 0 <= value <= limit else None
