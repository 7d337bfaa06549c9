from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from nirgen.evaluate.cases import Case, Frame
from nirgen.evaluate.pictures import Window, error_map, pictures, worst_window


def test_no_error_is_white_too_bright_is_red_too_dark_is_blue() -> None:
    real = np.full((1, 4), 100, np.uint8)
    colours = error_map(np.array([[100, 132, 68, 255]], np.uint8), real)[0].astype(int)
    assert colours[0].tolist() == [255, 255, 255]
    assert colours[1, 0] > colours[1, 2] + 20
    assert colours[2, 2] > colours[2, 0] + 20
    assert colours[3].tolist() == [178, 24, 43]


def test_the_window_is_where_the_error_is_greatest() -> None:
    real = np.zeros((64, 80), np.uint8)
    generated = real.copy()
    generated[40:50, 60:70] = 200
    generated[0, 0] = 255
    window = worst_window(generated, real)
    assert (window.height, window.width) == (16, 16)
    assert window.of(generated).sum() == 100 * 200


def test_equal_images_show_their_first_corner() -> None:
    image = np.zeros((64, 64), np.uint8)
    assert worst_window(image, image) == Window(0, 0, 16, 16)


def test_a_large_image_is_shown_smaller_and_its_zoom_pixel_by_pixel() -> None:
    nir = np.random.default_rng(0).integers(0, 256, (600, 1200), dtype=np.uint8)
    case = Case("a", "", "", Path("a.png"), None, "", lambda: (None, nir))
    drawn, window = pictures(Frame(case, None, nir), np.zeros_like(nir))
    assert [picture.title for picture in drawn] == ["real NIR", "generated", "error"]
    assert opened(drawn[0].whole).size == (512, 256)
    np.testing.assert_array_equal(np.asarray(opened(drawn[0].zoom)), window.of(nir))


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
