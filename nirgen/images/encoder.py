"""Encoding of pixels as PNG, JPEG or TIFF.

PNG is written here in a few milliseconds a megapixel, where Pillow takes tens: ISA-L compresses the zlib stream, and
each row is stored as its difference from the row above (the filter `Up`).
"""

from __future__ import annotations

import io
import struct
from typing import Literal

import numpy as np
from isal import igzip_lib, isal_zlib
from PIL import Image

from nirgen.errors import ConfigError
from nirgen.images.metadata import Metadata

Format = Literal["png", "jpg", "tif"]
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | np.ndarray[tuple[int, ...], np.dtype[np.uint16]]

JPEG_QUALITY = 95


def encode(pixels: Pixels, image_format: Format, metadata: Metadata | None = None) -> bytes:
    """Encode (H, W) uint8 or uint16, or (H, W, 3) uint8; equal pixels and metadata give equal bytes.

    JPEG has quality 95 and no chroma subsampling, TIFF is deflated. Errors as `check_encodable`.
    """
    exif = b"" if metadata is None else metadata.exif()
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    check_encodable(image_format, bit_depth=8 * pixels.itemsize, channels=channels)
    if image_format == "png":
        return encode_png(pixels, exif)
    if image_format == "tif" and metadata is not None and metadata != Metadata():
        return _encode_tiff(pixels, metadata)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    if image_format == "jpg":
        image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0, exif=exif and b"Exif\0\0" + exif)
    else:
        image.save(file, "TIFF", compression="tiff_adobe_deflate")
    return file.getvalue()


def check_encodable(image_format: str, *, bit_depth: int, channels: int) -> None:
    """Raise ConfigError for 16 bits as JPEG, or of 3 channels (which Pillow writes in no format)."""
    if bit_depth == 16 and image_format == "jpg":
        raise ConfigError("a JPEG has 8 bits: use format png or tif for 16 bits, or bit depth 8")
    if bit_depth == 16 and channels == 3:
        raise ConfigError("16-bit images are written with 1 channel: use channels 1 or bit depth 8")


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR, _UP = 0, 2, 2
_LEVEL, _MEMORY = 2, igzip_lib.MEM_LEVEL_SMALL  # of the fast settings, these give the smallest files


def encode_png(pixels: Pixels, exif: bytes = b"", *, text: tuple[bytes, bytes] | None = None) -> bytes:
    """Encode (H, W) uint8 or uint16, or (H, W, 3) uint8, as PNG; neither H nor W is 0.

    Args:
        pixels: The image.
        exif: EXIF data; empty for none.
        text: Keyword and text of a chunk `tEXt`, in Latin-1, right after the header; None for none.
    """
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])  # the difference from the row above
    kind = _GREY if pixels.ndim == 2 else _COLOUR
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    stream = igzip_lib.compress(filtered, _LEVEL, igzip_lib.COMP_ZLIB, _MEMORY)
    tags = _chunk(b"tEXt", b"\0".join(text)) if text else b""
    tags += _chunk(b"eXIf", exif) if exif else b""
    return _SIGNATURE + _chunk(b"IHDR", header) + tags + _chunk(b"IDAT", stream) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", isal_zlib.crc32(data, isal_zlib.crc32(name)))


def _encode_tiff(pixels: Pixels, metadata: Metadata) -> bytes:
    """Encode as TIFF of one deflated strip; Pillow writes no EXIF data into compressed files."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = isal_zlib.compress(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes())
    directory = metadata.directory()
    tags = {
        256: width, 257: height, 258: (8 * pixels.itemsize,) * samples, 259: _DEFLATE,
        262: _RGB if samples == 3 else _GREY_IN_TIFF, 273: 0, 277: samples, 278: height, 279: len(data),
    }  # fmt: skip
    for tag, value in tags.items():
        directory[tag] = value
    file = io.BytesIO()
    directory.save(file)
    return file.getvalue() + data


_DEFLATE, _RGB, _GREY_IN_TIFF = 8, 2, 1
