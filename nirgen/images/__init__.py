"""The only place that opens, orients, resizes, rescales or saves pixels.

Decoding always gives (H, W, 3) uint8, sRGB in [0, 255], upright. The rules:

- The EXIF orientation is applied; colour profiles are not.
- 16-bit samples are scaled, never clipped: grey by `round(x / 257)`, colour by Pillow, which keeps the high byte.
- Alpha is composited over black (`BACKGROUND`).
- Of several frames or pages the first is taken.
- The format is recognised by the content; the file's ending only decides if a folder's listing has it.
"""

from __future__ import annotations

from nirgen.images.arrays import balance_white, pad_to_stride, resize, side_by_side, to_channels, to_grey, to_pixels
from nirgen.images.decoder import (
    BACKGROUND,
    PIXEL_LIMIT,
    SCAN_LIMIT,
    SIDE_LIMIT,
    SUFFIXES,
    Header,
    decode,
    decode_small,
    header_of,
    read,
    size_of,
    to_rgb,
)
from nirgen.images.encoder import JPEG_QUALITY, Format, Pixels, check_encodable, encode

__all__ = [
    "BACKGROUND", "JPEG_QUALITY", "PIXEL_LIMIT", "SCAN_LIMIT", "SIDE_LIMIT", "SUFFIXES", "Format",
    "Header", "Pixels",
    "balance_white", "check_encodable", "decode", "decode_small", "encode", "header_of", "pad_to_stride", "read",
    "resize", "side_by_side", "size_of", "to_channels", "to_grey", "to_pixels", "to_rgb",
]  # fmt: skip
