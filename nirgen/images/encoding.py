"""Pixels into bytes."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image

from nirgen.errors import ConfigError
from nirgen.images.png import encode_png

Format = Literal["png", "jpg", "tif"]
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | np.ndarray[tuple[int, ...], np.dtype[np.uint16]]

JPEG_QUALITY = 95


def encode(pixels: Pixels, image_format: Format) -> bytes:
    """Encode an image; the same pixels give the same bytes, without metadata.

    Args:
        pixels: (H, W) uint8 or uint16, or (H, W, 3) uint8.
        image_format: `png`, `jpg` (quality 95, no chroma subsampling) or `tif` (deflate).

    Returns:
        The file's bytes.

    Raises:
        ConfigError: The format can't hold such pixels (see `check_encodable`).
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    check_encodable(image_format, bit_depth=8 * pixels.itemsize, channels=channels)
    if image_format == "png":
        return encode_png(pixels)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    if image_format == "jpg":
        image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(file, "TIFF", compression="tiff_adobe_deflate")
    return file.getvalue()


def check_encodable(image_format: str, *, bit_depth: int, channels: int) -> None:
    """Refuse what no file can hold.

    Raises:
        ConfigError: 16 bits as JPEG, or 16 bits of 3 channels (which Pillow writes in no format).
    """
    if bit_depth == 16 and image_format == "jpg":
        raise ConfigError("a JPEG has 8 bits: use format png or tif for 16 bits, or bit depth 8")
    if bit_depth == 16 and channels == 3:
        raise ConfigError("16-bit images are written with 1 channel: use channels 1 or bit depth 8")
