from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from nirgen import images

# sRGB's curve and white with the primaries of a wider space (Adobe RGB's green), as chromaticities x, y, Y.
CORNERS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128], [255, 255, 255]]], np.uint8)


def profile(kind: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(kind)).tobytes()


def lab_image() -> Image.Image:
    return Image.fromarray(np.full((4, 4, 3), 128, np.uint8))


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def wide_profile() -> bytes:
    """An sRGB profile whose red and green colorants are exchanged."""
    data = bytearray(profile("sRGB"))
    count = int.from_bytes(data[128:132])
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "JPEG"])
def test_colours_are_converted_from_their_profile_to_srgb(image_format):
    options = {"quality": 100, "subsampling": 0} if image_format == "JPEG" else {}
    picture = Image.fromarray(CORNERS.repeat(16, axis=0).repeat(16, axis=1))
    data = saved(picture, image_format, icc_profile=wide_profile(), **options)
    found = images.decode_noted(data, "a")
    assert found.notes == ()
    centres = found.rgb[8, 8::16].astype(int)
    expected = np.array([[0, 255, 0], [255, 0, 0], [0, 0, 255], [128, 128, 128], [255, 255, 255]])
    assert np.abs(centres - expected).max() <= 3


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_srgb_itself_changes_no_pixel(photo, image_format):
    plain = saved(Image.fromarray(photo(32, 48)), image_format)
    tagged = saved(Image.fromarray(photo(32, 48)), image_format, icc_profile=profile("sRGB"))
    assert np.array_equal(images.decode(tagged, "a"), images.decode(plain, "a"))


def test_opacity_outlives_a_profile():
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 51))
    assert images.decode(saved(picture, "PNG", icc_profile=wide_profile()), "a")[0, 0].tolist() == [0, 51, 0]


@pytest.mark.parametrize(
    ("mode", "icc", "note"),
    [
        ("RGB", b"no profile", "its colour profile can't be read, and is ignored"),
        ("RGB", profile("LAB"), "its colour profile, for LAB, is ignored"),
        ("L", profile("sRGB"), "its colour profile, for RGB, is ignored"),
    ],
)
def test_profiles_that_fit_no_colour_are_ignored_with_a_note(mode, icc, note):
    picture = Image.new(mode, (8, 8), 77 if mode == "L" else (10, 200, 30))
    found = images.decode_noted(saved(picture, "PNG", icc_profile=icc), "a")
    assert found.notes == (note,)
    assert found.rgb[0, 0].tolist() == ([77] * 3 if mode == "L" else [10, 200, 30])
