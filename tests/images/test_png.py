from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nirgen.images.png import encode_png


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
