"""Files opened, and what they say of themselves before their pixels are decoded.

Files are opened by Pillow's classes for the formats below and not by `PIL.Image.open`, for two reasons: no other parser
ever sees a stranger's bytes, and the pixel limit is ours to set per call (Pillow's is one global variable).
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from nirgen.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

_OPENERS: tuple[tuple[tuple[bytes, ...], Callable[[io.BytesIO], Image.Image]], ...] = (
    ((b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
    ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
    ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    ((b"BM",), BmpImagePlugin.BmpImageFile),
    ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_EXIF_ORIENTATION, _ORIENTATIONS, _TURNED = 274, range(2, 9), range(5, 9)
_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation")


@dataclass(frozen=True)
class Header:
    """What an image says of itself before its pixels are decoded.

    Attributes:
        size: (height, width) in pixels, upright.
        upright: Whether the pixels are stored as they are to be seen, so that readers that know no EXIF agree.
        grey: Whether they have one channel.
        codec: Pillow's name of it, such as `JPEG`.
        channels: As stored; 3 where colours stand in a palette.
        bits: Of a sample as Pillow gives it, so 16 of grey images only.
    """

    size: tuple[int, int]
    upright: bool
    grey: bool
    codec: str
    channels: int
    bits: int


def header_of(data: bytes, name: str) -> Header:
    """Read the header of an image; its pixels aren't decoded.

    Args:
        data: The whole file.
        name: What errors call the file.

    Raises:
        ImageError: The bytes are empty, of no known kind, or their header is damaged.
    """
    opener = opener_of(data, name)
    with damage_as_one_line(name):
        image = opener(io.BytesIO(data))
    orientation = 1
    # Pillow would decode a PNG without such marks to look for them.
    if image.format != "PNG" or any(mark in data for mark in _EXIF_IN_PNG):
        orientation = orientation_of(image)
    # Pillow turns the sizes of TIFF files itself
    turned = orientation in _TURNED and image.format != "TIFF"
    channels = 3 if image.mode in {"P", "PA"} else len(image.getbands())
    return Header(
        size=(image.width, image.height) if turned else (image.height, image.width),
        upright=orientation not in _ORIENTATIONS,
        grey=channels == 1,
        codec=str(image.format),
        channels=channels,
        bits=16 if image.mode.startswith("I;16") else 8,
    )


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of an open image; 1, upright, where there is none or it can't be read."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is a stranger's TIFF file, and its parser may raise anything
        return 1


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """The size of an image by its header: (height, width) in pixels, upright.

    Raises:
        ImageError: As for `header_of`.
    """
    return header_of(data, name).size


def opener_of(data: bytes, name: str) -> Callable[[io.BytesIO], Image.Image]:
    """The class of Pillow's that reads such bytes.

    Raises:
        ImageError: There are none, or they are no image of a known kind.
    """
    if not data:
        raise ImageError(f"{name!r} is empty (0 bytes); copy it again or remove it")
    opener = next((opener for starts, opener in _OPENERS if data.startswith(starts)), None)
    if opener is None:
        raise ImageError(f"{name!r} is no JPEG, PNG, TIFF, WebP, BMP or GIF image; convert or remove it")
    return opener


@contextmanager
def damage_as_one_line(name: str) -> Generator[None]:
    """Turn whatever a decoder raises into an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # given damaged bytes, a decoder may raise anything
        reason = _ADDRESS.sub("", " ".join(str(error).split())) or type(error).__name__
        raise ImageError(f"{name!r} is damaged ({reason}); copy it again or remove it") from error
