"""The only place that opens, orients, resizes, rescales or saves pixels.

Decoding always gives (H, W, 3) uint8, sRGB in [0, 255], upright. The rules:

- The EXIF orientation is applied, and colour profiles are converted to sRGB.
- 16-bit samples are scaled, never clipped: grey by `round(x / 257)`, colour by its high byte; or by the white level
  that the file or the caller states.
- A channel that is tagged as alpha is composited over black (`BACKGROUND`), unless it is 0 everywhere or unwanted.
- Of several frames or pages the first is taken that isn't a reduced image.
- What the decoder says of corrupt data is an error, unless the caller keeps such images.
- The format is recognised by the content; the file's ending only decides if a folder's listing has it.
"""

from __future__ import annotations

from nirgen.images.arrays import balance_white, pad_to_stride, resize, to_channels, to_grey, to_pixels
from nirgen.images.decoder import (
    BACKGROUND,
    PASSED_FOLDERS,
    PIXEL_LIMIT,
    SIDE_LIMIT,
    SUFFIXES,
    Header,
    decode,
    decode_noted,
    decode_small,
    header_of,
    is_listed,
    metadata_in,
    read,
    read_noted,
    size_of,
    to_rgb,
)
from nirgen.images.encoder import JPEG_QUALITY, Format, Pixels, check_encodable, encode
from nirgen.images.metadata import Capture, Metadata
from nirgen.images.reading import DARK_NOTE, DARK_SHARE, Decoded, Reading, Readings, Remarks
from nirgen.images.sheet import (
    PREVIEW,
    SHEET_WIDTH,
    SheetRow,
    contact_sheet,
    encode_preview,
    fit,
    is_preview,
    preview_mark,
)

__all__ = [
    "BACKGROUND", "DARK_NOTE", "DARK_SHARE", "JPEG_QUALITY", "PASSED_FOLDERS", "PIXEL_LIMIT", "PREVIEW",
    "SHEET_WIDTH", "SIDE_LIMIT", "SUFFIXES",
    "Capture", "Decoded", "Format", "Header", "Metadata", "Pixels", "Reading", "Readings", "Remarks", "SheetRow",
    "balance_white", "check_encodable", "contact_sheet", "decode", "decode_noted", "decode_small", "encode",
    "encode_preview", "fit", "header_of", "is_listed", "is_preview", "metadata_in", "pad_to_stride",
    "preview_mark", "read", "read_noted", "resize", "size_of", "to_channels", "to_grey",
    "to_pixels", "to_rgb",
]  # fmt: skip
