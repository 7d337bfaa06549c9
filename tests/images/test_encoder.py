from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.errors import ConfigError
from nirgen.images.encoder import encode_png


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


@pytest.mark.parametrize(
    ("shape", "kind", "mode"),
    [((20, 30), np.uint8, "L"), ((20, 30, 3), np.uint8, "RGB"), ((20, 30), np.uint16, "I;16"), ((1, 1), np.uint8, "L"),
     ((1, 7, 3), np.uint8, "RGB"), ((300, 1), np.uint16, "I;16")],
)  # fmt: skip
def test_pillow_reads_the_pixels_that_were_written(shape, kind, mode):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        image.verify()
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert (image.mode, image.size) == (mode, (shape[1], shape[0]))
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("view", [np.flipud, np.fliplr, np.transpose, lambda pixels: pixels[::2, 1::3]])
def test_the_layout_in_memory_does_not_matter(view):
    pixels = view(np.random.default_rng(0).integers(0, 65536, (16, 24), dtype=np.uint16))
    assert encode_png(pixels) == encode_png(pixels.copy())


def test_a_photograph_takes_no_more_bytes_than_pillow_s_fast_level(shared_data):
    path = min((shared_data / "bdd100k" / "images").rglob("*.jpg"))
    with Image.open(path) as image:
        grey = image.convert("L")
    file = io.BytesIO()
    grey.save(file, "PNG", compress_level=1)
    assert len(encode_png(np.asarray(grey))) <= len(file.getvalue())
