from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import ImageError, NirgenError
from nirgen.evaluate import methods
from nirgen.evaluate.cases import Frame, from_folders, from_pairs, read_frame


@pytest.fixture
def frame(folders) -> Frame:
    _, gt, rgb = folders
    return read_frame(from_folders(gt, rgb)[0], None)


def test_a_folders_images_are_found_by_name_and_never_by_position(folders, frame: Frame) -> None:
    pred, gt, _ = folders
    Image.new("L", (48, 40)).save(pred / "day/0_first.png")
    method, others = methods.from_folder(pred, from_folders(gt), None, "pred")
    assert (method.name, method.kind, others) == ("pred", "folder", 1)
    np.testing.assert_array_equal(method.generate(frame), frame.nir + 10)


def test_a_missing_image_is_one_line(folders) -> None:
    pred, gt, _ = folders
    (pred / "day/b.png").unlink()
    with pytest.raises(NirgenError, match=r"gt/day/b\.tif: no 'day/b\.\*' in .*pred; add it there, or remove this one"):
        methods.from_folder(pred, from_folders(gt), None, "pred")


def test_an_image_of_another_size_is_one_line_unless_both_are_squashed(folders, frame: Frame) -> None:
    pred, gt, _ = folders
    Image.new("L", (50, 40)).save(pred / "day/a.png")
    cases = from_folders(gt)
    native, _ = methods.from_folder(pred, cases, None, "pred")
    with pytest.raises(
        ImageError, match=r"pred/day/a\.png: 50x40, but .*gt/day/a\.tif is 48x40; squash both .* --size"
    ):
        native.generate(frame)
    squashed, _ = methods.from_folder(pred, cases, 64, "pred")
    assert squashed.generate(read_frame(cases[0], 64)).shape == (64, 64)


def test_luma_and_red_are_made_of_the_photo_alone(frame: Frame) -> None:
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[:] = (100, 200, 50)
    seen = Frame(frame.case, photo, frame.nir)
    assert methods.red().generate(seen)[0, 0] == 100
    assert methods.luma().generate(seen)[0, 0] == 153  # 29.9 + 117.4 + 5.7


def test_the_linear_floor_is_the_map_that_made_the_training_images(pairs) -> None:
    method = methods.linear(from_pairs(pairs, "train"), 32)
    assert "split 'train': +1.000 R " in method.about
    frame = read_frame(from_pairs(pairs, "val")[0], 32)
    np.testing.assert_array_equal(method.generate(frame), frame.nir)


def test_what_was_fitted_on_an_image_is_not_judged_on_it(pairs) -> None:
    training = from_pairs(pairs, "train")
    with pytest.raises(NirgenError, match=r"train/nir/a\.png: the model was trained on it; .* \('linear'\)"):
        methods.refuse_trained_on([methods.luma(), methods.linear(training, 32)], training)
