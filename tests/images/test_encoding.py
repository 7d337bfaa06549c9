from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ConfigError


@pytest.mark.parametrize("image_format", ["png", "tif"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_lossless_outputs_come_back_as_they_were(image_format, kind):
    pixels = np.arange(12, dtype=kind).reshape(3, 4) * (np.iinfo(kind).max // 12)
    with Image.open(io.BytesIO(images.encode(pixels, image_format))) as image:
        assert image.mode == ("L" if kind is np.uint8 else "I;16")
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("image_format", ["png", "tif"])
def test_three_channels_come_back_as_they_were(photo, image_format):
    with Image.open(io.BytesIO(images.encode(photo(), image_format))) as image:
        assert np.array_equal(np.asarray(image), photo())


@pytest.mark.parametrize("image_format", ["png", "jpg", "tif"])
def test_encoding_twice_gives_the_same_bytes(photo, image_format):
    assert images.encode(photo(), image_format) == images.encode(photo(), image_format)


def test_a_16_bit_jpeg_is_refused():
    with pytest.raises(ConfigError, match="a JPEG has 8 bits"):
        images.encode(np.zeros((2, 2), np.uint16), "jpg")


def test_16_bit_colour_is_refused():
    with pytest.raises(ConfigError, match="16-bit images are written with 1 channel"):
        images.encode(np.zeros((2, 2, 3), np.uint16), "png")
