"""Capture time, place and camera of an image by its EXIF data, and the place of a map's pixels by GeoTIFF tags."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from PIL import Image, TiffImagePlugin

if TYPE_CHECKING:
    from collections.abc import Mapping

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


_MAKE, _MODEL, _ORIENTATION = 0x010F, 0x0110, 0x0112
# Times of capture with their offsets from UTC and their fractions, and the lens.
_KEPT = (0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292, 0xA433, 0xA434)
_DOUBLE, _SHORT, _ASCII = 12, 3, 2
# Scale, tie points, matrix, and the directory of keys with its numbers and texts.
_GEO = {33550: _DOUBLE, 33922: _DOUBLE, 34264: _DOUBLE, 34735: _SHORT, 34736: _DOUBLE, 34737: _ASCII}


@dataclass(frozen=True)
class Metadata:
    """Tags that an output takes from its source: camera, capture, place, and the place of a map's pixels."""

    camera: Mapping[int, Any] = field(default_factory=dict)
    capture: Mapping[int, Any] = field(default_factory=dict)
    place: Mapping[int, Any] = field(default_factory=dict)
    map: Mapping[int, Any] = field(default_factory=dict)  # GeoTIFF, which TIFF files alone can hold

    def without_map(self) -> Metadata:
        """Return the tags for pixels that are others than the source's, by turning or resizing."""
        return replace(self, map={})

    def exif(self) -> bytes:
        """Return EXIF data, without a header: upright, with camera, capture and place; empty if there are none."""
        exif = Image.Exif()
        exif.update({_ORIENTATION: 1, **self.camera})
        for tag, values in ((_EXIF, self.capture), (_GPS, self.place)):
            if values:
                exif.get_ifd(tag).update(values)
        return exif.tobytes().removeprefix(b"Exif\0\0") if self.camera or self.capture or self.place else b""

    def directory(self) -> TiffImagePlugin.ImageFileDirectory_v2:
        """Return the tags as a directory of a TIFF file."""
        found = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
        for tag, value in {_ORIENTATION: 1, **self.camera}.items():
            found[tag] = value
        for tag, values in ((_EXIF, self.capture), (_GPS, self.place)):
            if values:
                found[tag] = dict(values)
        for tag, value in self.map.items():
            found.tagtype[tag] = _GEO[tag]
            found[tag] = value
        return found


def metadata_of(exif: Image.Exif) -> Metadata:
    """Return the tags of a source that can be kept; those that can't be written are left out."""
    try:
        camera = {tag: exif[tag] for tag in (_MAKE, _MODEL) if tag in exif}
        taken, place = exif.get_ifd(_EXIF), exif.get_ifd(_GPS)
        geo = {tag: exif[tag] for tag in _GEO if tag in exif}
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is an untrusted TIFF file; its parser may raise anything
        return Metadata()
    found = Metadata(camera, {tag: taken[tag] for tag in _KEPT if tag in taken}, dict(place), geo)
    parts = {
        name: {
            tag: value for tag, value in getattr(found, name).items() if _is_writable(Metadata(**{name: {tag: value}}))
        }
        for name in ("camera", "capture", "place", "map")
    }
    return Metadata(**parts)


def _is_writable(alone: Metadata) -> bool:
    try:
        alone.exif()
        alone.directory().save(io.BytesIO())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - values of an untrusted file
        return False
    return True
