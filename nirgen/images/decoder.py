"""Image files: headers, and decoding to upright sRGB arrays.

Files are opened by Pillow's classes for the formats below and not by `PIL.Image.open`: no other parser sees untrusted
bytes, and the pixel limit is set per call (Pillow's is one global variable).
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from nirgen.errors import ImageError, one_line
from nirgen.files import read_bytes
from nirgen.images import libtiff

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from numpy.typing import NDArray

PIXEL_LIMIT = 100_000_000
SIDE_LIMIT = 65_500
"""Pixels of the longest side: the most that a JPEG can have, so that every format holds an output of that size."""
SCAN_LIMIT = 100
"""Scans of a progressive JPEG. Encoders write about ten; each takes as long as a whole baseline image."""
BACKGROUND = (0, 0, 0)

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_TILE = 258, 262, (322, 323)


def decode(
    data: bytes,
    name: str,
    *,
    pixel_limit: int = PIXEL_LIMIT,
    admit: Callable[[tuple[int, int], int], None] | None = None,
) -> NDArray[np.uint8]:
    """Decode the bytes of an image file to (H, W, 3) uint8, sRGB in [0, 255], upright.

    Args:
        data: The whole file.
        name: Name of the file for errors.
        pixel_limit: Images of more pixels are refused by their header, before anything is decoded.
        admit: Called before anything is decoded with (height, width) by the header and the most bytes that decoding
            takes; may wait for memory, or refuse the image with an ImageError.

    Raises:
        ImageError: The bytes are empty, damaged, no image of a known kind, or of too many pixels, pixels of a side
            (`SIDE_LIMIT`) or scans (`SCAN_LIMIT`).
    """
    with _opened(data, name) as image:
        _check_limits(image, data, name, pixel_limit)
        if admit is not None:
            jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
            admit((image.height, image.width), image.width * image.height * (_JPEG_BYTES if jpeg else _OTHER_BYTES))
        rgb = _decode_plain_jpeg(image, data)
        return to_rgb(image, name) if rgb is None else rgb


def decode_small(data: bytes, name: str, side: int, *, pixel_limit: int = PIXEL_LIMIT) -> NDArray[np.uint8]:
    """Decode a JPEG at a fraction of its size, with both sides at least `side` pixels; else as `decode`."""
    with _opened(data, name) as image:
        _check_limits(image, data, name, pixel_limit)
        image.draft(None, (side, side))
        return to_rgb(image, name)


def read(path: Path, *, pixel_limit: int = PIXEL_LIMIT) -> NDArray[np.uint8]:
    """Read and decode an image file; as `decode`, with ImageError if it can't be read."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ImageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    return decode(data, str(path), pixel_limit=pixel_limit)


def to_rgb(image: Image.Image, name: str = "image") -> NDArray[np.uint8]:
    """Return the pixels of a Pillow image: (H, W, 3) uint8, sRGB in [0, 255], upright.

    Raises:
        ImageError: The file it is read from is damaged; it has no pixels; or its samples are 32-bit integers or floats,
            whose range nothing states, or of a colour space that can't be converted.
    """
    if 0 in image.size:
        raise ImageError(f"{name!r} has no pixels ({image.width}x{image.height}); give one that has some")
    with _damage_as_one_line(name):
        image.load()  # Pillow opens files lazily
        return _loaded_to_rgb(image, name)


def _loaded_to_rgb(image: Image.Image, name: str) -> NDArray[np.uint8]:
    if image.mode in {"I", "F"}:
        kind = "floating-point" if image.mode == "F" else "32-bit or signed"
        raise ImageError(f"{name!r} has {kind} samples, whose range nothing states; save it with 8 or 16 bits")
    grey_range = _grey16_range(image)
    upright = _upright(image)
    if upright.mode.startswith("I;16"):
        return np.repeat(_scale_grey16(np.asarray(upright), grey_range)[..., np.newaxis], 3, axis=2)
    try:
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            upright = Image.new("RGB", rgba.size, BACKGROUND)
            upright.paste(rgba, mask=rgba.getchannel("A"))
        return np.array(upright.convert("RGB"))
    except ValueError as error:
        raise ImageError(f"{name!r} is {upright.mode}, which can't be converted; save it as sRGB") from error


def _decode_plain_jpeg(image: Image.Image, data: bytes) -> NDArray[np.uint8] | None:
    """Decode an undamaged upright JPEG in YCbCr or grey, in half of Pillow's time; None for any other file.

    Both decoders are libjpeg-turbo with its exact transform, and give the same pixels.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in {"L", "RGB"} or 0 in image.size:
        return None
    if image.info.get("adobe_transform", 1) != 1 or _orientation_of(image) != 1:
        return None
    try:
        if simplejpeg.decode_jpeg_header(data)[2] not in {"YCbCr", "Gray"}:
            return None
        rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:
        return None
    return rgb if rgb.shape == (image.height, image.width, 3) else None


def _check_limits(image: Image.Image, data: bytes, name: str, pixel_limit: int) -> None:
    """Refuse an image by its header, before anything is allocated for its pixels."""
    _check_size(image.size, name, pixel_limit)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tile = [image.tag_v2.get(tag, 1) for tag in _TIFF_TILE]
        if all(isinstance(side, int) for side in tile):
            _check_size((tile[0], tile[1]), name, max(pixel_limit, PIXEL_LIMIT))
    if isinstance(image, JpegImagePlugin.JpegImageFile) and _scans_of(data) > SCAN_LIMIT:
        raise ImageError(
            f"{name!r} has over {SCAN_LIMIT} scans, which take minutes to decode; save it as baseline JPEG"
        )


def _scans_of(data: bytes) -> int:
    """Count the scans of a JPEG; those of a thumbnail only where there are many in all."""
    count = data.count(_SCAN)
    if count <= SCAN_LIMIT:
        return count
    count, place = 0, 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker in _NO_LENGTH:  # a stuffed byte of a scan's data, a restart, or a filling
            place += 2 - (marker == 0xFF)
            continue
        count += marker == _SCAN[1]
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    return count


def _check_size(size: tuple[int, int], name: str, pixel_limit: int) -> None:
    width, height = size
    if max(size) > SIDE_LIMIT:
        raise ImageError(
            f"{name!r} is {width}x{height} by its header, over the limit of {SIDE_LIMIT} pixels of a side; cut it up"
        )
    if width * height > pixel_limit:
        raise ImageError(
            f"{name!r} is {width}x{height} by its header, over the limit of {pixel_limit} pixels; "
            "raise the limit (--max-pixels, in Python pixel_limit) if you trust the file"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, if it can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is an untrusted TIFF file; its parser may raise anything
        return image


def _grey16_range(image: Image.Image) -> tuple[int, int]:
    """Samples of black and white in a 16-bit grey image: Pillow doesn't scale 12-bit and inverted TIFF files."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0, 65535
    bits = image.tag_v2.get(_TIFF_BITS, (16,))
    white = 4095 if tuple(bits) == (12,) else 65535
    return (white, 0) if image.tag_v2.get(_TIFF_PHOTOMETRIC) == 0 else (0, white)


def _scale_grey16(samples: NDArray[np.uint16], ends: tuple[int, int]) -> NDArray[np.uint8]:
    """Map 16-bit samples to [0, 255]; `ends` are the samples of black and of white."""
    scale, values = max(ends), samples.astype(np.uint32)
    if ends[0] > ends[1]:
        values = scale - values
    return ((values * 255 + scale // 2) // scale).astype(np.uint8)


SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_OPENERS: tuple[tuple[tuple[bytes, ...], Callable[[io.BytesIO], Image.Image]], ...] = (
    ((b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
    ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
    ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    ((b"BM",), BmpImagePlugin.BmpImageFile),
    ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
)
# The most bytes that decoding takes, for each pixel: a JPEG's coefficients and result; Pillow's image, its copies with
# and without alpha, and the array.
_JPEG_BYTES, _OTHER_BYTES = 14, 28
_SCAN, _NO_LENGTH = b"\xff\xda", frozenset({0x00, 0x01, *range(0xD0, 0xDA), 0xFF})
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_EXIF_ORIENTATION, _ORIENTATIONS, _TURNED = 274, range(2, 9), range(5, 9)
_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation")


@dataclass(frozen=True)
class Header:
    """The header of an image."""

    size: tuple[int, int]  # (height, width) in pixels, upright
    upright: bool  # stored as shown, so that readers without EXIF agree
    grey: bool  # one channel
    codec: str  # Pillow's name, such as `JPEG`
    channels: int  # as stored; 3 for a palette
    bits: int  # per sample as Pillow gives it: 16 for grey images only


def header_of(data: bytes, name: str) -> Header:
    """Read the header of an image; ImageError if it is empty, of no known kind, or damaged."""
    with _opened(data, name) as image:
        orientation = 1
        # Pillow would decode a PNG without such marks to look for them.
        if image.format != "PNG" or any(mark in data for mark in _EXIF_IN_PNG):
            if image.format == "PNG":
                _check_limits(image, data, name, PIXEL_LIMIT)
            orientation = _orientation_of(image)
        turned = orientation in _TURNED and image.format != "TIFF"  # whose sizes Pillow turns itself
        channels = 3 if image.mode in {"P", "PA"} else len(image.getbands())
        return Header(
            size=(image.width, image.height) if turned else (image.height, image.width),
            upright=orientation not in _ORIENTATIONS,
            grey=channels == 1,
            codec=str(image.format),
            channels=channels,
            bits=16 if image.mode.startswith("I;16") else 8,
        )


def _orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an open image; 1, upright, where there is none or it can't be read."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is an untrusted TIFF file; its parser may raise anything
        return 1


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """Return (height, width) in pixels, upright, by the header; errors as `header_of`."""
    return header_of(data, name).size


@contextmanager
def _opened(data: bytes, name: str) -> Generator[Image.Image]:
    """Open an image by its content; damage found in the block is an ImageError."""
    if not data:
        raise ImageError(f"{name!r} is empty (0 bytes); copy it again or remove it")
    opener = next((opener for starts, opener in _OPENERS if data.startswith(starts)), None)
    if opener is None:
        raise ImageError(f"{name!r} is no JPEG, PNG, TIFF, WebP, BMP or GIF image; convert or remove it")
    if opener is TiffImagePlugin.TiffImageFile:
        with _libtiff_as_one_line(name):
            yield opener(io.BytesIO(data))
        return
    with _damage_as_one_line(name):
        yield opener(io.BytesIO(data))


@contextmanager
def _libtiff_as_one_line(name: str) -> Generator[None]:
    """As `_damage_as_one_line`, with libtiff's own words; Pillow takes some pixels that it can't decode for black."""
    with libtiff.listening() as heard:
        try:
            with _damage_as_one_line(name):
                yield
        except ImageError as error:
            if not heard or not isinstance(error.__cause__, OSError):
                raise
        if heard:
            raise ImageError(f"{name!r} is damaged (libtiff: {heard[0]}); copy it again or remove it")


@contextmanager
def _damage_as_one_line(name: str) -> Generator[None]:
    """Turn any error of a decoder into an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # given damaged bytes, a decoder may raise anything
        reason = _ADDRESS.sub("", one_line(error))
        raise ImageError(f"{name!r} is damaged ({reason}); copy it again or remove it") from error
