"""The only place that opens, orients, resizes, rescales or saves pixels.

What decoding gives is always the same kind of array: (H, W, 3) uint8, sRGB in [0, 255], upright. The rules:

- The EXIF orientation is applied; colour profiles are not.
- 16-bit samples are scaled, never clipped: grey ones by `round(x / 257)`, colour ones by Pillow, which keeps the
  high byte.
- Alpha is composited over `BACKGROUND`, black: what is transparent sends no light.
- Of several frames or pages the first is taken.
- The kind of a file is told by its content; its ending only says whether a folder's listing has it.

Files are opened by Pillow's classes for the formats below and not by `PIL.Image.open`, for two reasons: no other parser
ever sees a stranger's bytes, and the pixel limit is ours to set per call (Pillow's is one global variable).
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
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

from nirgen.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Format = Literal["png", "jpg", "tif"]
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | np.ndarray[tuple[int, ...], np.dtype[np.uint16]]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
PIXEL_LIMIT = 100_000_000
BACKGROUND = (0, 0, 0)
JPEG_QUALITY = 95

_OPENERS: tuple[tuple[tuple[bytes, ...], Callable[[io.BytesIO], Image.Image]], ...] = (
    ((b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
    ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImagePlugin.TiffImageFile),
    ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    ((b"BM",), BmpImagePlugin.BmpImageFile),
    ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_EXIF_ORIENTATION, _ORIENTATIONS, _TURNED = 274, range(2, 9), range(5, 9)
_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation")


def decode(data: bytes, name: str, *, pixel_limit: int = PIXEL_LIMIT) -> NDArray[np.uint8]:
    """Decode the bytes of an image file.

    Args:
        data: The whole file.
        name: What errors call the file.
        pixel_limit: Images of more pixels are refused from their header, before anything is decoded.

    Returns:
        (H, W, 3) uint8, sRGB in [0, 255], upright.

    Raises:
        ImageError: The bytes are empty, damaged, too many pixels or no image of a known kind; one line with the name
            and the remedy.
    """
    opener = _opener(data, name)
    with _damage_as_one_line(name):
        image = opener(io.BytesIO(data))
        _check_size(image.size, name, pixel_limit)
        return to_rgb(image, name)


def decode_small(data: bytes, name: str, side: int, *, pixel_limit: int = PIXEL_LIMIT) -> NDArray[np.uint8]:
    """Decode an image at a fraction of its size where its format has a quick way (JPEG), else at its own size.

    Args:
        data: The whole file.
        name: What errors call the file.
        side: Both sides of what comes out are at least as long as this, or as the image's own, in pixels.
        pixel_limit: As for `decode`.

    Returns:
        (H, W, 3) uint8, sRGB in [0, 255], upright.

    Raises:
        ImageError: As for `decode`.
    """
    opener = _opener(data, name)
    with _damage_as_one_line(name):
        image = opener(io.BytesIO(data))
        _check_size(image.size, name, pixel_limit)
        image.draft(None, (side, side))
        return to_rgb(image, name)


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
    opener = _opener(data, name)
    with _damage_as_one_line(name):
        image = opener(io.BytesIO(data))
    orientation = 1
    # Pillow would decode a PNG without such marks to look for them.
    if image.format != "PNG" or any(mark in data for mark in _EXIF_IN_PNG):
        try:
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        except Exception:  # noqa: BLE001 - as in `_upright`
            orientation = 1
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


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """The size of an image by its header: (height, width) in pixels, upright.

    Raises:
        ImageError: As for `header_of`.
    """
    return header_of(data, name).size


def _opener(data: bytes, name: str) -> Callable[[io.BytesIO], Image.Image]:
    """The class of Pillow's that reads such bytes."""
    if not data:
        raise ImageError(f"{name!r} is empty (0 bytes); copy it again or remove it")
    opener = next((opener for starts, opener in _OPENERS if data.startswith(starts)), None)
    if opener is None:
        raise ImageError(f"{name!r} is no JPEG, PNG, TIFF, WebP, BMP or GIF image; convert or remove it")
    return opener


def read(path: Path, *, pixel_limit: int = PIXEL_LIMIT) -> NDArray[np.uint8]:
    """Read and decode an image file.

    Args:
        path: The file.
        pixel_limit: As for `decode`.

    Returns:
        (H, W, 3) uint8, sRGB in [0, 255], upright.

    Raises:
        ImageError: It can't be read or decoded.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    return decode(data, str(path), pixel_limit=pixel_limit)


def to_rgb(image: Image.Image, name: str = "image") -> NDArray[np.uint8]:
    """The pixels of a Pillow image, by the rules of this module.

    Args:
        image: An image of any mode that has a stated range.
        name: What errors call the image.

    Returns:
        (H, W, 3) uint8, sRGB in [0, 255], upright.

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
    """`to_rgb` of an image that is in memory."""
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
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    if image_format == "png":
        image.save(file, "PNG", compress_level=6)
    elif image_format == "jpg":
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


def to_pixels(values: NDArray[np.floating], bit_depth: Literal[8, 16] = 8) -> Pixels:
    """Quantise intensities, rounding to the nearest level.

    Args:
        values: Any shape, float in [0, 1]; what overshoots is clamped.
        bit_depth: 8 or 16.

    Returns:
        The same shape, uint8 in [0, 255] or uint16 in [0, 65535].

    Example:
        >>> to_pixels(np.array([0.0, 0.5, 1.0])).tolist()
        [0, 128, 255]
    """
    levels = 2**bit_depth - 1
    scaled = np.rint(np.clip(values.astype(np.float64), 0, 1) * levels)
    pixels: Pixels = scaled.astype(np.uint8 if bit_depth == 8 else np.uint16)
    return pixels


def to_channels(values: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Lay out a network's output as an image of 1 or 3 channels.

    Args:
        values: (C, H, W) float32 with C of 1 or 3.
        channels: 1 or 3. Three channels become one by their mean; one becomes three by repetition.

    Returns:
        (H, W) float32 for 1 channel, (H, W, 3) for 3.
    """
    if channels == 1:
        grey: NDArray[np.float32] = values[0] if len(values) == 1 else values.mean(axis=0)
        return grey
    return np.moveaxis(np.broadcast_to(values, (3, *values.shape[1:])), 0, -1)


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One channel of an image: any of three equal ones, else the luma as JPEG defines it.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W) uint8.

    Example:
        >>> to_grey(np.array([[[7, 7, 7], [255, 0, 0]]], np.uint8)).tolist()
        [[7, 76]]
    """
    weighted = rgb[..., 0] * np.uint32(299) + rgb[..., 1] * np.uint32(587) + rgb[..., 2] * np.uint32(114)
    grey: NDArray[np.uint8] = ((weighted + 500) // 1000).astype(np.uint8)
    return grey


def pad_to_stride(rgb: NDArray[np.uint8], stride: int) -> NDArray[np.uint8]:
    """Reflect an image at its bottom and right edges up to the next multiples of the stride.

    An image smaller than its padding is reflected back and forth; a side of one pixel is repeated.

    Args:
        rgb: (H, W, 3) uint8.
        stride: In pixels, at least 1.

    Returns:
        (H', W', 3) uint8, with `rgb` at the top left.
    """
    height, width = rgb.shape[:2]
    below, right = -height % stride, -width % stride
    if not below and not right:
        return rgb
    return np.pad(rgb, ((0, below), (0, right), (0, 0)), mode="reflect")


def resize(
    rgb: NDArray[np.uint8], size: tuple[int, int], *, resample: Literal["lanczos", "bilinear"] = "lanczos"
) -> NDArray[np.uint8]:
    """Resize with an antialiased filter.

    Args:
        rgb: (H, W, 3) or (H, W) uint8.
        size: (height, width) in pixels.
        resample: Pillow's filter.

    Returns:
        (height, width, 3) or (height, width) uint8; the very input where the size is right already.
    """
    if rgb.shape[:2] == size:
        return rgb
    return np.array(Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling[resample.upper()]))


def side_by_side(
    rows: Sequence[Sequence[NDArray[np.uint8]]], *, box: tuple[int, int] = (270, 480), gap: int = 4
) -> NDArray[np.uint8]:
    """Lay out images in rows for one picture to look at.

    Args:
        rows: Rows of (H, W, 3) uint8 images of any size; at least one image in all.
        box: (height, width) in pixels that each image is fitted into, keeping its proportions.
        gap: White between and around the boxes, in pixels.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = box
    columns = max(len(row) for row in rows)
    picture = np.full((gap + len(rows) * (height + gap), gap + columns * (width + gap), 3), 255, np.uint8)
    for row_number, row in enumerate(rows):
        for column, image in enumerate(row):
            scale = min(height / image.shape[0], width / image.shape[1])
            fitted = resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))))
            top, left = gap + row_number * (height + gap), gap + column * (width + gap)
            picture[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return picture


@contextmanager
def _damage_as_one_line(name: str) -> Generator[None]:
    """Turn whatever a decoder raises into an ImageError."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # given damaged bytes, a decoder may raise anything
        reason = _ADDRESS.sub("", " ".join(str(error).split())) or type(error).__name__
        raise ImageError(f"{name!r} is damaged ({reason}); copy it again or remove it") from error


def _check_size(size: tuple[int, int], name: str, pixel_limit: int) -> None:
    width, height = size
    if width * height > pixel_limit:
        raise ImageError(
            f"{name!r} is {width}x{height} by its header, over the limit of {pixel_limit} pixels; "
            "raise the limit (--max-pixels, in Python pixel_limit) if you trust the file"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; EXIF data that can't be read says nothing about it."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is a stranger's TIFF file, and its parser may raise anything
        return image


def _grey16_range(image: Image.Image) -> tuple[int, int]:
    """The samples that mean black and white in a 16-bit grey image.

    Pillow gives those of 12-bit and of inverted TIFF files as they are stored.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0, 65535
    bits = image.tag_v2.get(_TIFF_BITS, (16,))
    white = 4095 if tuple(bits) == (12,) else 65535
    return (white, 0) if image.tag_v2.get(_TIFF_PHOTOMETRIC) == 0 else (0, white)


def _scale_grey16(samples: NDArray[np.uint16], ends: tuple[int, int]) -> NDArray[np.uint8]:
    """Map 16-bit samples to [0, 255]; `ends` are the samples of black and of white."""
    black, white = ends
    scale = max(black, white)
    values = samples.astype(np.uint32)
    if black > white:
        values = scale - values
    return ((values * 255 + scale // 2) // scale).astype(np.uint8)
