"""TIFF files by their tags: the page that holds the image, what its samples are, and those that Pillow can't read.

Pillow guesses a mode, reads 16-bit planes as interleaved, and calls sound files damaged that it doesn't know. What
isn't known here is refused by its own name.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, Jpeg2KImagePlugin, JpegImagePlugin, WebPImagePlugin

from nirgen.errors import DamagedError, ImageError, one_line
from nirgen.images import jpeg, jxl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import tifffile
    from numpy.typing import NDArray

_PAGES = 64  # that are looked through for one that isn't a reduced image
_UNSIGNED, _SIGNED, _FLOAT, _VOID = 1, 2, 3, 4
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, PALETTE, _MASK, _CMYK, _YCBCR, _RAW, _LINEAR_RAW = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    32803,
    34892,
)
_ALPHA, _ALPHA_MULTIPLIED = 2, 1  # of the tag ExtraSamples
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, PALETTE: 1, _CMYK: 4, _YCBCR: 3}  # samples, without extra
_REFUSED = {
    _MASK: "a transparency mask", _RAW: "the raw mosaic of a sensor", _LINEAR_RAW: "raw samples of a sensor",
    8: "in CIE L*a*b* colour", 9: "in ICC L*a*b* colour", 10: "in ITU L*a*b* colour",
    32844: "in LogL colour", 32845: "in LogLuv colour",
}  # fmt: skip
# Compressions that Pillow's libtiff has; and those that tifffile reads, with imagecodecs.
_BY_PILLOW = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34925, 50000})
_BY_TIFFFILE = frozenset({
    1, 5, 7, 8, 32773, 32946, 33005, 34712, 34925, 50000, 50001, 50002, 52546,
})  # fmt: skip
_DNG_VERSION, _SUBFILE, _OLD_SUBFILE, _MAXIMUM, _PROFILE = 50706, 254, 255, 281, 34675
_JPEG, _JPEG_TABLES = 7, 347

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it reports what its exceptions say


@dataclass(frozen=True)
class Page:
    """The page of a TIFF file that holds the image, by its tags."""

    index: int
    size: tuple[int, int]  # (height, width) in pixels, as stored
    bits: int  # of a sample
    photometric: int | None  # interpretation; None if the tag is missing
    planar: bool
    samples: int
    extra: tuple[int, ...]  # kinds of the samples beyond the colours
    compression: int
    orientation: int
    tile: tuple[int, int]  # (height, width) in pixels; 1 for strips
    maximum: int | None  # sample of white that the file states
    profile: bytes | None  # ICC

    @property
    def colours(self) -> int:
        """Samples of a pixel that are its colour: 1 or 3, or those of a kind that Pillow reads."""
        base = _COLOURS[_BLACK_IS_ZERO if self.photometric is None else self.photometric]
        opacities = sum(kind in {_ALPHA, _ALPHA_MULTIPLIED} for kind in self.extra)
        # GDAL writes the bands of satellites and drones as grey with extra samples.
        bands = self.photometric in {None, _BLACK_IS_ZERO} and self.samples - opacities >= 3
        return 3 if bands else base

    @property
    def alpha(self) -> int | None:
        """Index of the sample that is tagged as opacity; None if there is none."""
        first = self.samples - len(self.extra)
        found = (first + at for at, kind in enumerate(self.extra) if kind in {_ALPHA, _ALPHA_MULTIPLIED})
        return next(found, None)

    @property
    def note(self) -> str | None:
        """Remark on bands that aren't read; None if there are none."""
        left = self.samples - self.colours - (self.alpha is not None)
        if left <= 0:
            return None
        read = "the first is read" if self.colours == 1 else "the first three are read as red, green, blue"
        return f"of its {self.samples} bands {read}"

    @property
    def for_pillow(self) -> bool:
        """Return True if Pillow reads the page, and rightly."""
        plain = self.bits <= 8 and not (self.planar and self.samples > 1) and self.compression in _BY_PILLOW
        known = self.photometric is not None and self.colours == _COLOURS[self.photometric]
        return plain and known and len(self.extra) <= 1 and self.samples == self.colours + (self.alpha is not None)


def page_of(data: bytes, name: str) -> Page:
    """Read the tags of the page that holds the image: the first one that isn't a reduced image or a mask.

    Raises:
        ImageError: The file is damaged, or holds samples of a kind that isn't supported.
    """
    try:
        return _page_of(data, name)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # given damaged bytes, a decoder may raise anything
        raise DamagedError.of(name, one_line(error)) from error


def _page_of(data: bytes, name: str) -> Page:
    with _opened(data) as file:
        if not len(file.pages):
            raise DamagedError.of(name, "it has no page")
        first = file.pages.first
        if _DNG_VERSION in first.tags:
            raise _refusal(name, "a DNG raw file", "develop it to a JPEG or TIFF")
        for index in range(_PAGES):
            try:
                page = file.pages[index]
            except IndexError:
                break
            if not _is_reduced(page):
                return _described(index, page, name)
    raise _refusal(name, "a TIFF of reduced images alone", "save the full image")


def _opened(data: bytes) -> tifffile.TiffFile:
    import tifffile

    return tifffile.TiffFile(io.BytesIO(data))


def _is_reduced(page: Any) -> bool:
    return bool(_tag(page, _SUBFILE, 0) & 0b101) or _tag(page, _OLD_SUBFILE, 1) == 2


def _tag(page: Any, code: int, default: Any) -> Any:
    tag = page.tags.get(code)
    return default if tag is None or tag.value is None else tag.value


def _described(index: int, page: Any, name: str) -> Page:
    bits, kinds = (_numbers(page, code, default) for code, default in ((258, 1), (339, _UNSIGNED)))
    photometric = page.tags.get(262) and int(page.tags[262].value)
    samples, planar = int(_tag(page, 277, 1)), _tag(page, 284, 1) == 2
    extra, compression = _numbers(page, 338, ()), int(_tag(page, 259, 1))
    what = "RGB" if samples >= 3 and photometric != _CMYK else "grey"
    kind = max(kinds, key=lambda each: each not in {_UNSIGNED, _VOID})
    if photometric in _REFUSED:
        raise _refusal(name, _REFUSED[photometric])
    if kind not in {_UNSIGNED, _VOID}:
        raise _refusal(
            name, f"{_KINDS.get(kind, 'complex')} {what}" + (f" of {bits[0]} bits" if kind == _SIGNED else "")
        )
    if len(set(bits)) != 1 or bits[0] not in {1, 2, 4, 8, 10, 12, 14, 16}:
        raise _refusal(name, f"{what} with samples of {', '.join(map(str, sorted(set(bits))))} bits")
    found = Page(
        index=index,
        size=(int(page.imagelength), int(page.imagewidth)),
        bits=bits[0],
        photometric=photometric,
        planar=planar,
        samples=samples,
        extra=extra,
        compression=compression,
        orientation=int(_tag(page, 274, 1)),
        tile=(int(_tag(page, 323, 1)), int(_tag(page, 322, 1))),
        maximum=max(_numbers(page, _MAXIMUM, ()), default=None),
        profile=_tag(page, _PROFILE, None),
    )
    if photometric not in {None, *_COLOURS} or samples < found.colours:
        raise _refusal(name, f"a TIFF of {samples} samples with photometric interpretation {photometric}")
    if not found.for_pillow:
        _check_supported(found, what, name)
    return found


_KINDS = {_SIGNED: "signed", _FLOAT: "float"}


def _check_supported(page: Page, what: str, name: str) -> None:
    """Refuse what neither Pillow nor `read_samples` reads."""
    if page.photometric not in {None, _WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB}:
        kind = {PALETTE: "palette", _CMYK: "CMYK", _YCBCR: "YCbCr"}[page.photometric]
        raise _refusal(name, f"{page.bits}-bit {kind} with {page.samples} samples")
    if page.bits < 8:
        raise _refusal(name, f"{what} with {page.samples} samples of {page.bits} bits")
    if page.compression not in _BY_TIFFFILE:
        raise _refusal(name, f"{page.bits}-bit {what} with TIFF compression {page.compression}")


def _numbers(page: Any, code: int, default: int | tuple[int, ...]) -> tuple[int, ...]:
    value = _tag(page, code, default)
    return tuple(int(each) for each in value) if isinstance(value, (tuple, list)) else (int(value),)


def _refusal(name: str, what: str, remedy: str = "save it as 8- or 16-bit RGB") -> ImageError:
    return ImageError(f"{name!r} is {what}, which isn't supported; {remedy}")


def check_parts(data: bytes, page: Page, name: str) -> str | None:
    """Return damage of the strips or tiles of a page, in one line, or None; ImageError if some are left out.

    Of those that are compressed as JPEG, libjpeg's warnings are damage, which Pillow's libtiff keeps to itself.
    """
    with _opened(data) as file:
        found: Any = file.pages[page.index]
        tables = bytes(_tag(found, _JPEG_TABLES, b""))[:-2]
        for offset, count in zip(found.dataoffsets, found.databytecounts, strict=True):
            if not offset and not count:  # as GDAL does, which takes them for unknown
                raise _refusal(name, "a TIFF with parts left out", "fill them, or cut them off")
            stated = page.compression != 1 or not page.for_pillow  # else Pillow reads what it needs, and no more
            if not count or (stated and offset + count > len(data)):
                return "its data end before the parts that it lists"
            if page.compression == _JPEG:
                part = data[offset : offset + count]
                damage, _ = jpeg.warnings_of(tables + part[2:] if tables else part)
                if damage is not None:
                    return damage
    return None


def read_samples(data: bytes, page: Page) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read the samples of a page that isn't for Pillow: (H, W, samples), not turned; errors of any kind if damaged."""
    with _opened(data) as file:
        found: Any = file.pages[page.index]
        for offset, count in zip(found.dataoffsets, found.databytecounts, strict=True):
            _check_part(data[offset : offset + count], page)
        array = found.asarray()
    shape = (page.samples, *page.size) if page.planar and page.samples > 1 else (*page.size, page.samples)
    samples = array.reshape(shape)
    return np.moveaxis(samples, 0, -1) if page.planar and page.samples > 1 else samples  # type: ignore[no-any-return]


def _check_part(part: bytes, page: Page) -> None:
    """Refuse a strip or tile whose own header states more pixels than the page has for it."""
    if page.compression in _JPEG_XL:
        height, width = jxl.size_of(part)
    elif page.compression in _OPENERS:
        with _OPENERS[page.compression](io.BytesIO(part)) as image:
            width, height = image.size
    else:
        return
    if height * width > max(page.size[0], page.tile[0]) * max(page.size[1], page.tile[1]):
        raise ValueError(f"a part of it is {width}x{height} by its own header")


_JPEG_XL = frozenset({50002, 52546})
_OPENERS: Mapping[int, Callable[[io.BytesIO], Image.Image]] = {
    _JPEG: JpegImagePlugin.JpegImageFile,
    33005: Jpeg2KImagePlugin.Jpeg2KImageFile,
    34712: Jpeg2KImagePlugin.Jpeg2KImageFile,
    50001: WebPImagePlugin.WebPImageFile,
}
