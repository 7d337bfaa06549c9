"""TIFF files are read by their tags, or refused by the name of what they hold."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile

from nirgen import images
from nirgen.errors import DamagedError, ImageError

RGB = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
NIR = np.random.default_rng(4).integers(0, 256, (24, 32, 1), np.uint8)
RGBN = np.concatenate([RGB, NIR], axis=2)
GREY_OF_NIR = np.repeat(NIR, 3, axis=2)
WITHOUT_LAST = "of its 4 bands the first three are read as red, green, blue"


def tiff(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **{"photometric": "rgb", "metadata": None, **options})
    return file.getvalue()


def planes(samples: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(samples, -1, 0))


def deep(samples: np.ndarray) -> np.ndarray:
    return samples.astype(np.uint16) * 257


SOUND = {
    "16-bit planes": (tiff(planes(deep(RGB)), planarconfig="separate"), RGB, None),
    "16-bit planes, big-endian": (tiff(planes(deep(RGB)), planarconfig="separate", byteorder=">"), RGB, None),
    "16-bit planes, deflated": (tiff(planes(deep(RGB)), planarconfig="separate", compression="zlib"), RGB, None),
    "16-bit planes, LZW": (tiff(planes(deep(RGB)), planarconfig="separate", compression="lzw"), RGB, None),
    "16-bit tiles with predictor": (tiff(deep(RGB), tile=(16, 16), compression="lzw", predictor=2), RGB, None),
    "16 bits": (tiff(deep(RGB)), RGB, None),
    "grey with two bands, GDAL's colour": (tiff(RGB, photometric="minisblack", planarconfig="contig"), RGB, None),
    "the same in 16 bits": (tiff(deep(RGB), photometric="minisblack", planarconfig="contig"), RGB, None),
    "the same in planes": (tiff(planes(RGB), photometric="minisblack", planarconfig="separate"), RGB, None),
    "four bands": (tiff(RGBN, photometric="minisblack", planarconfig="contig"), RGB, WITHOUT_LAST),
    "four 16-bit planes": (tiff(planes(deep(RGBN)), planarconfig="separate", extrasamples=[0]), RGB, WITHOUT_LAST),
    "four 8-bit planes": (tiff(planes(RGBN), planarconfig="separate", extrasamples=[0]), RGB, WITHOUT_LAST),
    "RGB and NIR": (tiff(RGBN, extrasamples=[0]), RGB, WITHOUT_LAST),
    "white is zero in 16 bits": (tiff(65535 - deep(NIR)[..., 0], photometric="miniswhite"), GREY_OF_NIR, None),
    "12 of 16 bits, stated": (
        tiff(
            np.rint(NIR[..., 0] / 255 * 4095).astype(np.uint16),
            photometric="minisblack",
            extratags=[(281, 3, 1, 4095, True)],
        ),
        GREY_OF_NIR,
        None,
    ),
    "a reduced image first": (None, RGB, None),
    "JPEG 2000": (tiff(RGB, compression="jpeg2000"), RGB, None),
    "WebP": (tiff(RGB, compression="webp"), RGB, None),
    "JPEG XL": (tiff(RGB, compression="jpegxl", compressionargs={"lossless": True}), RGB, None),
    "zstd": (tiff(RGB, compression="zstd"), RGB, None),
}  # fmt: skip


def reduced_first() -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(RGB, photometric="rgb", metadata=None)
    return file.getvalue()


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_give_their_pixels(name):
    data, expected, note = SOUND[name]
    found = images.decode_noted(data or reduced_first(), "a.tif")
    assert np.array_equal(found.rgb, expected)
    assert found.notes == (() if note is None else (note,))
    header = images.header_of(data or reduced_first(), "a.tif")
    assert (header.size, header.codec) == ((24, 32), "TIFF")


MOSAIC = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, b"\0\1\1\2", True)]
REFUSED = {
    "float RGB": tiff(RGB.astype(np.float32)),
    "float grey": tiff(NIR[..., 0].astype(np.float32), photometric="minisblack"),
    "signed grey of 8 bits": tiff(NIR[..., 0].astype(np.int8), photometric="minisblack"),
    "signed grey of 16 bits": tiff(NIR[..., 0].astype(np.int16), photometric="minisblack"),
    "complex grey": tiff(NIR[..., 0].astype(np.complex64), photometric="minisblack"),
    "grey with samples of 32 bits": tiff(NIR[..., 0].astype(np.uint32), photometric="minisblack"),
    "the raw mosaic of a sensor": tiff(deep(NIR)[..., 0], photometric="cfa", extratags=MOSAIC),
    "16-bit CMYK with 4 samples": tiff(deep(RGBN), photometric="separated"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_supported_is_refused_by_its_name(what):
    with pytest.raises(ImageError) as caught:
        images.decode(REFUSED[what], "a.tif")
    assert str(caught.value) == f"'a.tif' is {what}, which isn't supported; save it as 8- or 16-bit RGB"
    assert not isinstance(caught.value, DamagedError)


def test_a_raw_file_of_a_camera_is_refused_by_its_name():
    data = tiff(RGB, subfiletype=1, extratags=[(50706, 1, 4, b"\1\4\0\0", True)])
    with pytest.raises(ImageError, match=r"^'a\.dng' is a DNG raw file, which isn't supported; develop it to a JPEG"):
        images.decode(data, "a.dng")


def test_a_truncated_file_of_planes_is_damaged():
    for options in ({}, {"compression": "zlib"}):
        data = tiff(planes(deep(RGB)), planarconfig="separate", **options)
        with pytest.raises(DamagedError, match=r"^'a\.tif' is damaged \(.*\); copy it again or remove it$"):
            images.decode(data[: len(data) - 200], "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_planes_are_turned_as_pillow_turns_pixels(orientation):
    by_plane = tiff(planes(deep(RGB)), planarconfig="separate", extratags=[(274, 3, 1, orientation, True)])
    by_pixel = tiff(RGB, extratags=[(274, 3, 1, orientation, True)])
    assert np.array_equal(images.decode(by_plane, "a"), images.decode(by_pixel, "a"))
    assert images.size_of(by_plane, "a") == images.size_of(by_pixel, "a") == images.decode(by_pixel, "a").shape[:2]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opacity_is_what_the_tags_and_the_user_say_it_is(dtype):
    scale = 257 if dtype == np.uint16 else 1
    half = np.concatenate([RGB, np.full((24, 32, 1), 51, np.uint8)], axis=2).astype(dtype) * scale
    none = np.concatenate([RGB, np.zeros((24, 32, 1), np.uint8)], axis=2).astype(dtype) * scale
    blended = images.decode(tiff(half, extrasamples=["unassalpha"]), "a")
    assert np.abs(blended.astype(int) - RGB / 5).max() <= 1
    ignoring = images.Reading(alpha="ignore")
    assert np.array_equal(images.decode(tiff(half, extrasamples=["unassalpha"]), "a", ignoring), RGB)
    found = images.decode_noted(tiff(none, extrasamples=["unassalpha"]), "a")
    assert np.array_equal(found.rgb, RGB)
    assert found.notes == ("its opacity is 0 everywhere, and is ignored",)


def test_grey_with_opacity_in_16_bits_is_blended():
    samples = np.stack([np.full((8, 8), 65535), np.full((8, 8), 13107)], axis=2).astype(np.uint16)
    data = tiff(samples, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    assert images.decode(data, "a").tolist() == np.full((8, 8, 3), 51).tolist()


@pytest.mark.parametrize("count", [1, 3])
def test_the_white_level_scales_samples_of_fewer_significant_bits(count):
    ramp = np.array([0, 2048, 4095, 5000], np.uint16)[np.newaxis, :, np.newaxis].repeat(count, axis=2)
    data = tiff(ramp if count == 3 else ramp[..., 0], photometric="rgb" if count == 3 else "minisblack")
    found = images.decode_noted(data, "a", images.Reading(white_level=4095))
    assert found.rgb[0, :, 0].tolist() == [0, 128, 255, 255]
    assert found.brightest == pytest.approx(5000 / 4095)
    assert images.decode_noted(data, "a").brightest == pytest.approx(5000 / 65535)


def test_a_stated_maximum_below_the_samples_is_no_white():
    data = tiff(np.array([[0, 65535]], np.uint16), photometric="minisblack", extratags=[(281, 3, 1, 1, True)])
    assert images.decode(data, "a")[0, :, 0].tolist() == [0, 255]


def test_the_white_level_leaves_8_bits_alone():
    assert np.array_equal(images.decode(tiff(RGB), "a", images.Reading(white_level=100)), RGB)


def test_a_part_that_is_larger_by_its_own_header_is_refused_before_it_is_decoded():
    data = bytearray(tiff(RGB, compression="jpeg2000"))
    at = data.index(b"\xff\x51") + 6  # width and height of the codestream
    data[at : at + 8] = (60_000).to_bytes(4) * 2
    with pytest.raises(DamagedError, match=r"damaged \(a part of it is 60000x60000 by its own header\)"):
        images.decode(bytes(data), "a")


@pytest.mark.parametrize("name", ["16-bit planes", "16-bit tiles with predictor", "zstd"])
def test_a_part_without_data_is_damage_or_left_out_and_never_black(name):
    data = bytearray(SOUND[name][0])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        counts, offsets = (tags.get(279) or tags[325], tags.get(273) or tags[324])
    data[counts.valueoffset : counts.valueoffset + 4] = bytes(4)
    with pytest.raises(DamagedError, match=r"damaged \(its data end before the parts that it lists\)"):
        images.decode(bytes(data), "a")
    data[offsets.valueoffset : offsets.valueoffset + 4] = bytes(4)
    with pytest.raises(ImageError, match="'a' is a TIFF with parts left out, which isn't supported; fill them, or cut"):
        images.decode(bytes(data), "a")
