"""Image files: headers, and decoding to upright sRGB arrays.

Files are opened by Pillow's classes for the formats below and not by `PIL.Image.open`: none of its other parsers sees
untrusted bytes, and the pixel limit is set per call (Pillow's is one global variable). What Pillow doesn't read rightly
goes to tifffile and imagecodecs (see `tiff`, `jxl`, `png`), after its stated size was checked.
"""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from nirgen.errors import DamagedError, ImageError, one_line
from nirgen.files import read_bytes
from nirgen.images import jpeg, jxl, libtiff, png, tiff
from nirgen.images.colour import to_srgb
from nirgen.images.metadata import Capture, Metadata, capture_of, metadata_of
from nirgen.images.reading import Decoded, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path, PurePath

    from numpy.typing import NDArray

PIXEL_LIMIT = 100_000_000
SIDE_LIMIT = 65_500
"""Pixels of the longest side: the most that a JPEG can have, so that every format holds an output of that size."""
BACKGROUND = (0, 0, 0)


def decode(
    data: bytes,
    name: str,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    *,
    pixel_limit: int = PIXEL_LIMIT,
    admit: Callable[[tuple[int, int], int], None] | None = None,
) -> NDArray[np.uint8]:
    """Decode the bytes of an image file to (H, W, 3) uint8, sRGB in [0, 255], upright; as `decode_noted`."""
    return decode_noted(data, name, reading, pixel_limit=pixel_limit, admit=admit).rgb


def decode_noted(
    data: bytes,
    name: str,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    *,
    pixel_limit: int = PIXEL_LIMIT,
    admit: Callable[[tuple[int, int], int], None] | None = None,
) -> Decoded:
    """Decode the bytes of an image file, with what has to be said of it.

    Args:
        data: The whole file.
        name: Name of the file for errors.
        reading: Choices that the file doesn't settle.
        pixel_limit: Images of more pixels are refused by their header, before anything is decoded.
        admit: Called before anything is decoded with (height, width) by the header and the most bytes that decoding
            takes; may wait for memory, or refuse the image with an ImageError.

    Raises:
        DamagedError: The data are corrupt, and `reading` doesn't keep such images or nothing can be decoded.
        ImageError: The bytes are empty, no image of a known kind, or of too many pixels, pixels of a side
            (`SIDE_LIMIT`) or scans (`SCAN_LIMIT`).
    """
    if data.startswith(_TIFF):
        decoded = _decode_tiff(data, name, reading, pixel_limit, admit)
    elif data.startswith(jxl.STARTS):
        decoded = _decode_jxl(data, name, reading, pixel_limit, admit)
    else:
        with _opened(data, name) as image:
            _check_limits(image, data, name, pixel_limit)
            if admit is not None:
                of_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
                admit(
                    (image.height, image.width), image.width * image.height * (_JPEG_BYTES if of_jpeg else _OTHER_BYTES)
                )
            decoded = replace(_decode(image, data, name, reading), capture=_capture_of(image))
    if decoded.damage is not None and reading.damaged == "fail":
        raise DamagedError.of(name, decoded.damage)
    return decoded


def decode_small(
    data: bytes,
    name: str,
    side: int,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    *,
    pixel_limit: int = PIXEL_LIMIT,
) -> NDArray[np.uint8]:
    """Decode a JPEG at a fraction of its size, with both sides at least `side` pixels; else as `decode`."""
    if not data.startswith(b"\xff\xd8\xff"):
        return decode(data, name, reading, pixel_limit=pixel_limit)
    with _opened(data, name) as image:
        _check_limits(image, data, name, pixel_limit)
        damage, _ = jpeg.warnings_of(data) if reading.damaged == "fail" else (None, None)
        if damage is not None:
            raise DamagedError.of(name, damage)
        image.draft(None, (side, side))
        return _of_pillow(image, name, reading).rgb


def read(
    path: Path,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    *,
    pixel_limit: int = PIXEL_LIMIT,
) -> NDArray[np.uint8]:
    """Read and decode an image file; as `decode`, with ImageError if it can't be read."""
    return read_noted(path, reading, pixel_limit=pixel_limit).rgb


def read_noted(
    path: Path,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    *,
    pixel_limit: int = PIXEL_LIMIT,
) -> Decoded:
    """Read and decode an image file; as `decode_noted`, with ImageError if it can't be read."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ImageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    return decode_noted(data, str(path), reading, pixel_limit=pixel_limit)


def to_rgb(image: Image.Image, name: str = "image") -> NDArray[np.uint8]:
    """Return the pixels of a Pillow image: (H, W, 3) uint8, sRGB in [0, 255], upright.

    Raises:
        ImageError: The file it is read from is damaged; it has no pixels; or its samples are 32-bit integers or floats,
            or of a colour space that can't be converted.
    """
    return _of_pillow(image, name, Reading()).rgb


def _decode(image: Image.Image, data: bytes, name: str, reading: Reading) -> Decoded:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return _decode_jpeg(image, data, name, reading)
    if isinstance(image, PngImagePlugin.PngImageFile):
        return _decode_png(image, data, name, reading)
    return _of_pillow(image, name, reading)


def _decode_tiff(
    data: bytes, name: str, reading: Reading, pixel_limit: int, admit: Callable[[tuple[int, int], int], None] | None
) -> Decoded:
    """Decode the page of a TIFF that holds its image, by Pillow where that reads it rightly."""
    page = tiff.page_of(data, name)
    height, width = page.size
    _check_size((width, height), name, pixel_limit)
    if width * height * page.samples > _SAMPLES * max(pixel_limit, PIXEL_LIMIT):
        raise ImageError(f"{name!r} has {page.samples} bands of {width}x{height}, too many to read; cut it up")
    _check_size(page.tile[::-1], name, max(pixel_limit, PIXEL_LIMIT))
    if admit is not None:
        upright = (width, height) if page.orientation in _TURNED else (height, width)
        admit(upright, height * width * (_OTHER_BYTES + (0 if page.for_pillow else 4 * page.samples)))
    capture = _capture_of_tiff(data)
    with _damage_as_one_line(name):
        damage = tiff.check_parts(data, page, name)
    if damage is not None and (reading.damaged == "fail" or not page.for_pillow):
        raise DamagedError.of(name, damage)
    if not page.for_pillow:
        with _damage_as_one_line(name):
            decoded = _of_samples(tiff.read_samples(data, page), page, reading)
        return replace(decoded, capture=capture)
    with libtiff.listening() as heard:
        try:
            with _damage_as_one_line(name):
                image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
                image.seek(page.index)
                decoded = _of_pillow(image, name, reading)
        except ImageError as error:
            if not heard or not isinstance(error.__cause__, OSError):
                raise
            raise DamagedError.of(name, f"libtiff: {heard[0]}") from error
    # Pillow takes some pixels that libtiff can't decode for black.
    return replace(decoded, damage=f"libtiff: {heard[0]}" if heard else damage, capture=capture)


def _of_pillow(image: Image.Image, name: str, reading: Reading, *, damage: str | None = None) -> Decoded:
    """Return the pixels of a Pillow image that isn't loaded yet."""
    if 0 in image.size:
        raise ImageError(f"{name!r} has no pixels ({image.width}x{image.height}); give one that has some")
    with _damage_as_one_line(name):
        image.load()  # Pillow opens files lazily
        return _of_loaded(image, name, reading, damage)


def _of_loaded(image: Image.Image, name: str, reading: Reading, damage: str | None) -> Decoded:
    if image.mode == "I" and isinstance(image, PpmImagePlugin.PpmImageFile):  # of 16 bits
        return _scaled(np.asarray(image).astype(np.uint16)[..., np.newaxis], 65535, reading, damage=damage)
    if image.mode in {"I", "F"}:
        what = "float" if image.mode == "F" else "32-bit or signed"
        raise ImageError(f"{name!r} is {what} grey, which isn't supported; save it as 8- or 16-bit RGB")
    if image.mode.startswith("I;16"):
        samples = np.asarray(_upright(image))[..., np.newaxis]
        return _scaled(samples, 65535, reading, damage=damage)
    upright, note = to_srgb(_upright(image), image.info.get("icc_profile"))
    notes: tuple[str, ...] = () if note is None else (note,)
    try:
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            upright, note = _blended(rgba.convert("RGB"), rgba.getchannel("A"), reading)
            notes += () if note is None else (note,)
        return Decoded(np.array(upright.convert("RGB")), damage, notes)
    except ValueError as error:
        raise ImageError(f"{name!r} is {upright.mode}, which can't be converted; save it as sRGB") from error


def _blended(rgb: Image.Image, opacity: Image.Image, reading: Reading) -> tuple[Image.Image, str | None]:
    """Composite an image over the background, if its fourth channel is opacity and wanted."""
    if reading.alpha == "ignore":
        return rgb, None
    if opacity.getextrema() == (0, 0):
        return rgb, "its opacity is 0 everywhere, and is ignored"
    blended = Image.new("RGB", rgb.size, BACKGROUND)
    blended.paste(rgb, mask=opacity)
    return blended, None


def _decode_jpeg(image: JpegImagePlugin.JpegImageFile, data: bytes, name: str, reading: Reading) -> Decoded:
    """Decode by libjpeg's own interface where that gives Pillow's pixels, which it does for almost every file."""
    if image.mode in {"L", "RGB"} and 0 not in image.size and image.info.get("adobe_transform", 1) == 1:
        rgb, damage, note = jpeg.decode_plain(data)
    else:
        rgb, (damage, note) = None, jpeg.warnings_of(data)
    notes: tuple[str, ...] = () if note is None else (note,)
    if rgb is None or rgb.shape != (image.height, image.width, 3):
        if note == jpeg.NO_END_NOTE:  # Pillow would refuse it
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data + jpeg.END))
        decoded = _of_pillow(image, name, reading, damage=damage)
        return Decoded(decoded.rgb, damage, notes + decoded.notes)
    profile = image.info.get("icc_profile")
    if profile:
        grey = image.mode == "L"
        picture, note = to_srgb(Image.fromarray(rgb[..., 0] if grey else rgb), profile)
        rgb, notes = (rgb if grey else np.asarray(picture)), notes if note is None else (*notes, note)
    return Decoded(_turned(rgb, _orientation_of(image)), damage, notes)


def _decode_png(image: PngImagePlugin.PngImageFile, data: bytes, name: str, reading: Reading) -> Decoded:
    damage, note = png.damage_of(data)
    if damage is not None and reading.damaged == "fail":
        raise DamagedError.of(name, damage)
    if reading.white_level is not None and png.is_deep_colour(data):
        samples, orientation = png.decode_deep(data), _orientation_of(image)
        decoded = _scaled(samples, 65535, reading, profile=image.info.get("icc_profile"), orientation=orientation)
    else:
        decoded = _of_pillow(image, name, reading)
    brightest = decoded.brightest
    if brightest is None and png.is_deep(data):
        brightest = int(decoded.rgb.max()) / 255
    return Decoded(decoded.rgb, damage, decoded.notes if note is None else (note, *decoded.notes), brightest)


def _decode_jxl(
    data: bytes, name: str, reading: Reading, pixel_limit: int, admit: Callable[[tuple[int, int], int], None] | None
) -> Decoded:
    with _damage_as_one_line(name):
        height, width = jxl.size_of(data)
        _check_size((width, height), name, pixel_limit)
        if admit is not None:
            admit((height, width), height * width * _OTHER_BYTES)
        samples = jxl.decode(data)
        if samples.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
            raise ImageError(f"{name!r} is float JPEG XL, which isn't supported; save it as 8- or 16-bit RGB")
        deep: NDArray[np.unsignedinteger] = samples.reshape(*samples.shape[:2], -1)  # type: ignore[assignment]
        full = int(np.iinfo(deep.dtype).max)
        return _scaled(deep, full, reading, full=full)


def _of_samples(samples: NDArray[np.uint8] | NDArray[np.uint16], page: tiff.Page, reading: Reading) -> Decoded:
    """Return the pixels of a TIFF page of (H, W, samples) as stored."""
    opacity = None if page.alpha is None else samples[..., page.alpha]
    white, note = 2**page.bits - 1, page.note
    notes: tuple[str, ...] = () if note is None else (note,)
    colours = samples[..., : page.colours]
    if page.maximum is not None and page.bits > 8 and colours.max(initial=0) <= page.maximum < white:
        white = page.maximum
    chosen = np.concatenate([colours, opacity[..., np.newaxis]], axis=2) if opacity is not None else colours
    decoded = _scaled(
        chosen, white, reading,
        full=2**page.bits - 1, inverted=page.photometric == 0, profile=page.profile, orientation=page.orientation,
    )  # fmt: skip
    return Decoded(decoded.rgb, None, notes + decoded.notes, decoded.brightest)


def _scaled(
    samples: NDArray[np.unsignedinteger],
    white: int,
    reading: Reading,
    *,
    full: int = 65535,
    inverted: bool = False,
    profile: bytes | None = None,
    orientation: int = 1,
    damage: str | None = None,
) -> Decoded:
    """Scale (H, W, 1 to 4) samples to 8 bits; the second of two and the last of four are opacity, `full` opaque.

    Grey is rounded; colour of 16 bits keeps its high byte, as by Pillow, unless its white is stated.
    """
    count = samples.shape[2] - (samples.shape[2] in {2, 4})
    colours, deep = samples[..., :count], full > 255
    white = (reading.white_level or white) if deep else white
    brightest = int(colours.max(initial=0)) / white if deep else None
    if deep and count == 3 and white == 65535 and not inverted:
        levels = (colours >> 8).astype(np.uint8)
    elif deep or inverted or full != 255:
        levels = _scale(np.minimum(colours, white), white, inverted=inverted)
    else:
        levels = np.ascontiguousarray(colours, np.uint8)
    picture, note = to_srgb(Image.fromarray(levels if count == 3 else levels[..., 0]), profile)
    notes: tuple[str, ...] = () if note is None else (note,)
    if samples.shape[2] > count:
        opacity = Image.fromarray(_scale(samples[..., -1], full))
        picture, note = _blended(picture.convert("RGB"), opacity, reading)
        notes += () if note is None else (note,)
    return Decoded(_turned(np.array(picture.convert("RGB")), orientation), damage, notes, brightest)


def _scale(samples: NDArray[np.unsignedinteger], white: int, *, inverted: bool = False) -> NDArray[np.uint8]:
    values = samples.astype(np.uint32)
    if inverted:
        values = white - values
    return ((values * 255 + white // 2) // white).astype(np.uint8)


def _turned(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn (H, W, 3) upright by its EXIF orientation."""
    if orientation not in _ORIENTATIONS:
        return rgb
    if orientation in _TURNED:
        rgb = rgb.transpose(1, 0, 2)
    rows, columns = -1 if orientation in {3, 4, 7, 8} else 1, -1 if orientation in {2, 3, 6, 7} else 1
    return np.ascontiguousarray(rgb[::rows, ::columns])


def _check_limits(image: Image.Image, data: bytes, name: str, pixel_limit: int) -> None:
    """Refuse an image by its header, before anything is allocated for its pixels."""
    _check_size(image.size, name, pixel_limit)
    if isinstance(image, JpegImagePlugin.JpegImageFile) and jpeg.count_scans(data) > jpeg.SCAN_LIMIT:
        raise ImageError(
            f"{name!r} has over {jpeg.SCAN_LIMIT} scans, which take minutes to decode; save it as baseline JPEG"
        )


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


_HEIC = {".heic", ".heif", ".hif"} if find_spec("pi_heif") else set[str]()
SUFFIXES = frozenset({
    ".apng", ".avif", ".bmp", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx",
    ".jxl", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp", *_HEIC,
})  # fmt: skip
"""Endings of files that a folder's listing has, in lower case; those of HEIC with the extra `heic` alone."""
PASSED_FOLDERS = frozenset({"@eaDir", "__MACOSX", "#recycle", "$RECYCLE.BIN", "System Volume Information"})
"""Folders in which systems keep thumbnails, metadata and waste; like hidden ones, they are passed over."""


def is_listed(path: PurePath) -> bool:
    """Return True if the listing of a folder has a file, by its path relative to the folder.

    Example:
        >>> from pathlib import PurePath
        >>> [is_listed(PurePath(name)) for name in ("a/b.JPG", "a/b.txt", ".a/b.jpg", "@eaDir/b.jpg")]
        [True, False, False, False]
    """
    passed = any(part.startswith(".") or part in PASSED_FOLDERS for part in path.parts)
    return not passed and path.suffix.lower() in SUFFIXES


def _open_heif(file: io.BytesIO) -> Image.Image:
    import pi_heif

    image: Image.Image = pi_heif.HeifImageFile(file)
    return image


_OPENERS: tuple[tuple[tuple[bytes, ...], Callable[[io.BytesIO], Image.Image]], ...] = (
    ((b"\xff\xd8\xff",), JpegImagePlugin.JpegImageFile),
    ((b"\x89PNG\r\n\x1a\n",), PngImagePlugin.PngImageFile),
    ((b"RIFF",), WebPImagePlugin.WebPImageFile),
    ((b"BM",), BmpImagePlugin.BmpImageFile),
    ((b"GIF87a", b"GIF89a"), GifImagePlugin.GifImageFile),
    ((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), Jpeg2KImagePlugin.Jpeg2KImageFile),
    ((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), PpmImagePlugin.PpmImageFile),
)
_BRANDS: tuple[tuple[frozenset[bytes], Callable[[io.BytesIO], Image.Image]], ...] = (
    (frozenset({b"avif", b"avis"}), AvifImagePlugin.AvifImageFile),
    (frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}), _open_heif),
)
# The most bytes that decoding takes, for each pixel: a JPEG's coefficients and result; Pillow's image, its copies with
# and without alpha, and the array.
_JPEG_BYTES, _OTHER_BYTES = 14, 28
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SAMPLES = 4  # of a pixel, which the limit of pixels is about
_TOO_MUCH_TEXT = "MAX_TEXT_"  # Pillow's limit of a PNG's metadata
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|cannot handle|unknown (raw|pixel) mode|not configured", re.IGNORECASE
)
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
    bits: int  # per sample: 16 for those of more than 8


def header_of(data: bytes, name: str) -> Header:
    """Read the header of an image; ImageError if it is empty, of no known kind, or damaged."""
    if data.startswith(_TIFF):
        page = tiff.page_of(data, name)
        palette = page.photometric == tiff.PALETTE
        return Header(
            size=page.size[::-1] if page.orientation in _TURNED else page.size,
            upright=page.orientation not in _ORIENTATIONS,
            grey=page.colours == 1 and page.alpha is None and not palette,
            codec="TIFF",
            channels=3 if palette else page.samples,
            bits=16 if page.bits > 8 else 8,
        )
    if data.startswith(jxl.STARTS):
        with _damage_as_one_line(name):
            return Header(jxl.size_of(data), upright=True, grey=False, codec="JXL", channels=3, bits=8)
    with _opened(data, name) as image:
        orientation = 1
        # Pillow would decode a PNG without such marks to look for them.
        if image.format != "PNG" or any(mark in data for mark in _EXIF_IN_PNG):
            if image.format == "PNG":
                _check_limits(image, data, name, PIXEL_LIMIT)
            orientation = _orientation_of(image)
        turned = orientation in _TURNED
        channels = 3 if image.mode in {"P", "PA"} else len(image.getbands())
        return Header(
            size=(image.width, image.height) if turned else (image.height, image.width),
            upright=orientation not in _ORIENTATIONS,
            grey=channels == 1,
            codec=str(image.format),
            channels=channels,
            bits=16 if image.mode.startswith("I;16") or (image.format == "PNG" and png.is_deep(data)) else 8,
        )


def _orientation_of(image: Image.Image) -> int:
    """EXIF orientation of an open image; 1, upright, where there is none or it can't be read."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is an untrusted TIFF file; its parser may raise anything
        return 1


def metadata_in(data: bytes, name: str) -> Metadata:
    """Return the tags that an output can take from its source; none if it has none, or they can't be read."""
    try:
        if data.startswith(_TIFF):
            exif = Image.Exif()
            exif.load_from_fp(io.BytesIO(data))
            return metadata_of(exif)
        with _opened(data, name) as image:
            return metadata_of(image.getexif())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is an untrusted TIFF file; its parser may raise anything
        return Metadata()


def _capture_of(image: Image.Image) -> Capture | None:
    """Return time and place by EXIF data, where there are some."""
    if not image.info.get("exif"):
        return None
    try:
        return capture_of(image.getexif())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - EXIF data is an untrusted TIFF file; its parser may raise anything
        return None


def _capture_of_tiff(data: bytes) -> Capture | None:
    exif = Image.Exif()
    try:
        exif.load_from_fp(io.BytesIO(data))
        return capture_of(exif)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - its parser may raise anything
        return None


def size_of(data: bytes, name: str) -> tuple[int, int]:
    """Return (height, width) in pixels, upright, by the header; errors as `header_of`."""
    return header_of(data, name).size


@contextmanager
def _opened(data: bytes, name: str) -> Generator[Image.Image]:
    """Open an image, but no TIFF, by its content; damage found in the block is an ImageError."""
    if not data:
        raise ImageError(f"{name!r} is empty (0 bytes); copy it again or remove it")
    opener = next((opener for starts, opener in _OPENERS if data.startswith(starts)), None)
    if data[4:8] == b"ftyp":
        opener = next((opener for brands, opener in _BRANDS if data[8:12] in brands), None)
    if opener is None:
        raise ImageError(
            f"{name!r} is no JPEG, PNG, TIFF, WebP, BMP, GIF, AVIF, HEIC, JPEG 2000, JPEG XL or PNM image; convert or "
            "remove it"
        )
    with _damage_as_one_line(name):
        try:
            image = opener(io.BytesIO(data))
        except ValueError as error:
            if _TOO_MUCH_TEXT not in str(error):
                raise
            image = opener(io.BytesIO(png.without_texts(data)))
        except ImportError as error:
            raise ImageError(f"{name!r} is HEIC, which needs another package; pip install 'nirgen[heic]'") from error
        yield image


@contextmanager
def _damage_as_one_line(name: str) -> Generator[None]:
    """Turn any error of a decoder into an ImageError; of damage only if it isn't about a kind that isn't supported."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # given damaged bytes, a decoder may raise anything
        reason = _ADDRESS.sub("", one_line(error))
        if _UNSUPPORTED.search(reason):
            raise ImageError(
                f"{name!r} is of a kind that isn't supported ({reason}); save it as 8- or 16-bit RGB"
            ) from error
        raise DamagedError.of(name, reason) from error
