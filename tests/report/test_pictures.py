from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest

from nirgen.dataset.drawing import crop, window_around
from nirgen.labels.file import Category
from nirgen.report.pictures import Painter, class_colours

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.dataset.read import Image


COLOURS = {"car": "#3cbe5a", "person": "#ffbe00"}


def pixels_of(uri: str) -> np.ndarray:
    assert uri.startswith("data:image/jpeg;base64,")
    with PIL.Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image)


@pytest.fixture
def at_hand(item: Callable[..., Image], save_scene: Callable[..., Path], tmp_path: Path) -> Image:
    boxes = [("person", 70, 8, 10, 30), ("car", 20, 16, 40, 32), ("ignore", 0, 0, 8, 8)]
    nir, rgb = save_scene(tmp_path / "nir.png", 1), save_scene(tmp_path / "rgb.png", 1, colour=True)
    return item("bdd/a", boxes, path=nir, rgb=rgb)


def test_a_picture_is_reduced_and_its_boxes_stay_in_pixels_of_the_image(at_hand: Image) -> None:
    picture = Painter(COLOURS).nir(at_hand, 48, ["fidelity 0.10", "", ""])
    assert picture is not None
    assert picture.size == (32, 48)
    assert pixels_of(picture.uri).shape == (32, 48)
    assert picture.full == (64, 96)
    assert [(box.title, box.colour, box.ignored, box.x) for box in picture.outlines] == [
        ("car", "#3cbe5a", False, 20),
        ("person, fidelity 0.10", "#ffbe00", False, 70),
        ("car, region to ignore", "#969696", True, 0),
    ]


def test_a_picture_is_never_enlarged(at_hand: Image) -> None:
    picture = Painter(COLOURS).rgb(at_hand, 960)
    assert picture is not None
    assert pixels_of(picture.uri).shape == (64, 96, 3)


def test_a_crop_shows_the_box_and_what_is_around_it(at_hand: Image) -> None:
    ((nir, rgb),) = Painter(COLOURS).crops(at_hand, [1])
    assert nir is not None
    assert rgb is not None
    assert nir.size == (64, 84)
    (outline,) = nir.outlines
    assert (outline.x, outline.y, outline.width, outline.height) == (pytest.approx(20), pytest.approx(16), 40, 32)
    inside = pixels_of(nir.uri)[20:44, 24:56]
    assert inside.mean() > 150 > pixels_of(nir.uri)[:, :12].mean()


def test_a_crop_is_as_large_as_a_distant_object_needs_to_be_seen_in_its_place(item: Callable[..., Image]) -> None:
    window = window_around((50, 30, 2, 2), (64, 96))
    left, top, right, bottom = window
    assert ((right - left) * 96, (bottom - top) * 64) == (pytest.approx(48), pytest.approx(48))


def test_a_window_at_the_border_still_has_a_pixel(item: Callable[..., Image]) -> None:
    window = window_around((500, 500, 2, 2), (64, 96))
    assert crop(np.zeros((64, 96), np.uint8), window).size == 1


def test_a_file_that_is_gone_has_no_picture_and_one_that_is_damaged_is_named(
    item: Callable[..., Image], tmp_path: Path
) -> None:
    painter = Painter(COLOURS)
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert painter.nir(item("bdd/gone", path=tmp_path / "gone.png"), 96, []) is None
    assert painter.unreadable == set()
    assert painter.nir(item("bdd/bad", path=tmp_path / "bad.png"), 96, []) is None
    assert painter.rgb(item("bdd/none"), 96) is None
    assert painter.unreadable == {"bdd/bad"}


def test_the_colours_of_the_classes_are_those_of_the_datasets_card() -> None:
    assert class_colours([Category(1, "person"), Category(3, "car")]) == {"person": "#ffbe00", "car": "#3cbe5a"}


def test_each_of_many_classes_has_a_colour_of_its_own() -> None:
    colours = class_colours([Category(number, f"class {number}") for number in range(1, 81)])
    assert len(set(colours.values())) == 80
