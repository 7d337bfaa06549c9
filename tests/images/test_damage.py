"""What decoders say of corrupt data is damage; what leaves the pixels whole is a note."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import DamagedError, ImageError

KEEP = images.Reading(damaged="keep")


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def without_a_sector(data: bytes) -> bytes:
    """A JPEG of which 300 bytes, more than a block takes, of the last scan are lost."""
    middle = (data.rfind(b"\xff\xda") + len(data)) // 2
    return data[:middle] + data[middle + 300 :]


@pytest.fixture
def picture(photo) -> Image.Image:
    return Image.fromarray(photo(24, 32)).resize((256, 192), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}, {"orientation": 6}],
    ids=["plain", "progressive", "grey", "cmyk", "turned"],
)
def test_a_jpeg_with_a_lost_sector_is_damaged_in_libjpeg_s_words_and_may_be_kept(picture, options):
    exif = Image.Exif()
    exif[0x0112] = options.pop("orientation", 1)
    data = without_a_sector(saved(picture.convert(options.pop("mode", "RGB")), "JPEG", exif=exif, **options))
    with pytest.raises(
        DamagedError, match=r"'a\.jpg' is damaged \(Corrupt JPEG data: .*\); copy it again or remove it"
    ):
        images.decode(data, "a.jpg")
    with pytest.raises(DamagedError):
        images.decode_small(data, "a.jpg", 64)
    kept = images.decode_noted(data, "a.jpg", KEEP)
    assert kept.damage is not None
    assert kept.damage.startswith("Corrupt JPEG data")
    with Image.open(io.BytesIO(data)) as pillow:
        turned = {6: Image.Transpose.ROTATE_270}.get(exif[0x0112])
        whole = pillow.convert("RGB") if turned is None else pillow.convert("RGB").transpose(turned)
        assert np.array_equal(kept.rgb, np.asarray(whole))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_that_lacks_its_end_marker_alone_is_sound(picture, mode, progressive):
    data = saved(picture.convert(mode), "JPEG", progressive=progressive)
    found = images.decode_noted(data[:-2], "a")
    assert (found.damage, found.notes) == (None, ("its end marker is missing",))
    assert np.array_equal(found.rgb, images.decode(data, "a"))


def test_a_progressive_jpeg_that_lacks_its_last_scan_is_damaged(picture):
    data = saved(picture, "JPEG", progressive=True)
    with pytest.raises(DamagedError, match=r"damaged \(Premature end of JPEG file\)"):
        images.decode(data[: data.rfind(b"\xff\xda")], "a")


def test_stray_bytes_between_segments_do_not_hide_damage_and_are_none(picture):
    good, bad = (
        data[:20] + b"\0\0\0" + data[20:] for data in (saved(picture, "JPEG"), without_a_sector(saved(picture, "JPEG")))
    )
    found = images.decode_noted(good, "a")
    assert found.damage is None
    assert found.notes == ("its segments: Corrupt JPEG data: 3 extraneous bytes before marker 0xdb",)
    assert np.array_equal(found.rgb, images.decode(saved(picture, "JPEG"), "a"))
    with pytest.raises(DamagedError, match="premature end of data segment"):
        images.decode(bad, "a")


def test_a_wrong_checksum_of_png_pixels_is_damage(picture):
    data = bytearray(saved(picture, "PNG"))
    end = data.rindex(b"IEND") - 4
    data[end - 1] ^= 1  # the last byte of the checksum of the last IDAT
    with pytest.raises(DamagedError, match=r"'a' is damaged \(IDAT: CRC error\)"):
        images.decode(bytes(data), "a")
    kept = images.decode_noted(bytes(data), "a", KEEP)
    assert kept.damage == "IDAT: CRC error"
    assert np.array_equal(kept.rgb, np.asarray(picture))


def test_a_png_that_lacks_its_end_alone_is_sound(picture):
    found = images.decode_noted(saved(picture, "PNG")[:-12], "a")
    assert (found.damage, found.notes) == (None, ("its end is missing",))
    assert np.array_equal(found.rgb, np.asarray(picture))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_large_metadata_of_a_png_do_not_lose_its_pixels(picture, kind):
    text = zlib.compress(b"a" * 70_000_000)
    content = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind] + text
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    data = saved(picture, "PNG")
    assert np.array_equal(images.decode(data[:33] + chunk + data[33:], "a"), np.asarray(picture))


def test_a_strip_of_a_tiff_that_is_a_damaged_jpeg_is_damage(picture):
    data = saved(picture, "TIFF", compression="jpeg")
    with Image.open(io.BytesIO(data)) as image:
        start = image.tag_v2[273][0]
    good = data[:start] + data[start:]
    middle = start + (image.tag_v2[279][0]) // 2
    bad = data[:middle] + bytes(60) + data[middle + 60 :]
    assert images.decode_noted(good, "a").damage is None
    with pytest.raises(DamagedError, match=r"'a' is damaged \((libtiff: .*|Corrupt JPEG data: .*)\)"):
        images.decode(bad, "a")


def test_an_unsupported_kind_is_not_called_damaged(picture):
    data = bytearray(saved(picture, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12  # bits of a sample
    with pytest.raises(
        ImageError, match=r"'a' is of a kind that isn't supported \(cannot handle 12-bit layers\)"
    ) as caught:
        images.decode(bytes(data), "a")
    assert not isinstance(caught.value, DamagedError)
