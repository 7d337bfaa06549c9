from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import ImageError, NirgenError
from nirgen.evaluate import methods
from nirgen.evaluate.methods import Frame, from_folders, from_pairs, images_by_key, read_frame, read_grey

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList


def test_a_folders_images_are_cases_and_its_subfolders_sequences(folders) -> None:
    _, gt, rgb = folders
    cases = from_folders(gt, rgb)
    assert [(case.key, case.sequence, case.category) for case in cases] == [
        ("day/a", "day", ""),
        ("day/b", "day", ""),
        ("dusk/c", "dusk", ""),
        ("dusk/d", "dusk", ""),
    ]
    frame = read_frame(cases[0], None)
    assert frame.rgb is not None
    assert (frame.nir.shape, frame.rgb.shape) == ((40, 48), (40, 48, 3))
    np.testing.assert_array_equal(frame.nir, frame.rgb[..., 0])


def test_a_lists_pairs_are_cases_of_their_sequences(pairs: PairList) -> None:
    cases = from_pairs(pairs, "val")
    assert [(case.key, case.sequence) for case in cases] == [("e", "val/e"), ("f", "val/f")]
    assert [case.nir_sha256 for case in cases] == [pair.nir_sha256 for pair in pairs.split("val").pairs]
    frame = read_frame(cases[0], 32)
    assert frame.rgb is not None
    assert (frame.nir.shape, frame.rgb.shape) == ((32, 32), (32, 32, 3))


def test_hidden_files_and_other_files_are_no_images(folders) -> None:
    pred, _, _ = folders
    (pred / ".nirgen").mkdir()
    Image.new("L", (32, 32)).save(pred / ".nirgen/x.png")
    (pred / "manifest.parquet").touch()
    (pred / "run.json").touch()
    assert list(images_by_key(pred)) == ["day/a", "day/b", "dusk/c", "dusk/d"]


def test_a_dot_in_a_name_is_not_its_ending(tmp_path: Path) -> None:
    Image.new("L", (32, 32)).save(tmp_path / "x.jpg.png")
    assert list(images_by_key(tmp_path)) == ["x.jpg"]


def test_a_missing_folder_an_empty_one_and_two_images_of_one_name_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match=r"none: no such folder"):
        images_by_key(tmp_path / "none")
    with pytest.raises(NirgenError, match=r"no images \(\.bmp .*\); name a folder that has some"):
        images_by_key(tmp_path)
    for name in ("a.png", "a.tif"):
        Image.new("L", (32, 32)).save(tmp_path / name)
    with pytest.raises(NirgenError, match=r"a\.tif: a\.png differs in its ending alone; keep one"):
        images_by_key(tmp_path)


def test_a_real_image_without_its_photo_is_one_line(folders) -> None:
    _, gt, rgb = folders
    (rgb / "dusk/c.png").unlink()
    with pytest.raises(NirgenError, match=r"gt/dusk/c\.tif: no 'dusk/c\.\*' in .*rgb; add it there"):
        from_folders(gt, rgb)


def test_16_bit_nir_is_scaled_and_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert read_grey(tmp_path / "a.png").tolist() == [[0, 1, 128, 255]]


def test_three_equal_channels_are_one_and_unequal_ones_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (90, 90, 90)).save(tmp_path / "grey.png")
    Image.new("RGB", (32, 32), (90, 90, 120)).save(tmp_path / "colour.png")
    assert read_grey(tmp_path / "grey.png")[0, 0] == 90
    with pytest.raises(
        ImageError, match=r"colour\.png: in colour, .* \(its channels differ by 30 levels of 255\); save"
    ):
        read_grey(tmp_path / "colour.png")


def test_a_corrupt_image_is_one_line_with_its_name(folders) -> None:
    _, gt, _ = folders
    (gt / "day/a.tif").write_bytes(b"II*\0 and no more")
    with pytest.raises(ImageError, match=r"day/a\.tif' is damaged \(.*\); copy it again or remove it"):
        read_frame(from_folders(gt)[0], 64)


def test_an_image_too_small_for_the_windows_is_one_line(tmp_path: Path) -> None:
    Image.new("L", (40, 20)).save(tmp_path / "a.png")
    (case,) = from_folders(tmp_path)
    with pytest.raises(ImageError, match=r"a\.png: 40x20, but 32 pixels a side are the least .* --size 256"):
        read_frame(case, None)
    assert read_frame(case, 64).nir.shape == (64, 64)


def test_a_photo_of_another_size_is_one_line_unless_both_are_squashed(folders) -> None:
    _, gt, rgb = folders
    Image.new("RGB", (60, 40)).save(rgb / "day/a.png")
    case = from_folders(gt, rgb)[0]
    with pytest.raises(ImageError, match=r"gt/day/a\.tif: 48x40, but its photo is 60x40; squash both"):
        read_frame(case, None)
    assert read_frame(case, 64).nir.shape == (64, 64)


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


def test_grey_and_red_are_made_of_the_photo_alone(frame: Frame) -> None:
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[:] = (100, 200, 50)
    seen = Frame(frame.case, photo, frame.nir)
    assert methods.red().generate(seen)[0, 0] == 100
    assert methods.grey().generate(seen)[0, 0] == 153  # 29.9 + 117.4 + 5.7


def test_the_linear_floor_is_the_map_that_made_the_training_images(pairs) -> None:
    method = methods.linear(from_pairs(pairs, "train"), 32)
    assert "split 'train': +1.000 R " in method.about
    frame = read_frame(from_pairs(pairs, "val")[0], 32)
    np.testing.assert_array_equal(method.generate(frame), frame.nir)


def test_what_was_fitted_on_an_image_is_not_judged_on_it(pairs) -> None:
    training = from_pairs(pairs, "train")
    with pytest.raises(NirgenError, match=r"train/nir/a\.png: the model was trained on it; .* \('linear'\)"):
        methods.refuse_trained_on([methods.grey(), methods.linear(training, 32)], training)
