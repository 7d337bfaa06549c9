from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import ImageError, NirgenError
from nirgen.evaluate import methods
from nirgen.evaluate.folders import images_by_key, read_grey
from nirgen.evaluate.methods import Frame, from_folders, from_pairs, read_frame

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
    with pytest.raises(NirgenError, match=r"no images \(\.apng .*\); name a folder that has some"):
        images_by_key(tmp_path)
    for name in ("a.png", "a.tif"):
        Image.new("L", (32, 32)).save(tmp_path / name)
    with pytest.raises(NirgenError, match=r"a\.tif: a\.png differs in its ending alone; keep one"):
        images_by_key(tmp_path)


def test_a_real_image_without_its_photo_is_one_line(folders) -> None:
    _, gt, rgb = folders
    (rgb / "dusk/c.png").unlink()
    with pytest.raises(
        NirgenError, match=r"gt/dusk/c\.tif: no 'dusk/c\.\*' in .*rgb \(nor dusk/c_real_A, dusk/c_input_label\); add it"
    ):
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
    with pytest.raises(
        NirgenError, match=r"gt/day/b\.tif: no 'day/b\.\*' in .*pred \(nor .*\); add it there, or remove this one"
    ):
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


def write_all(folder: Path, images: dict[str, np.ndarray]) -> Path:
    for name, pixels in images.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def plain(level: int, height: int = 40, width: int = 48) -> np.ndarray:
    return np.full((height, width), level, np.uint8)


@pytest.mark.parametrize(
    "form", ["{}_fake_B.png", "{}_fake.png", "{}_synthesized_image.jpg", "{}/output_0.png", "{}.png"]
)
def test_images_are_found_under_the_names_that_other_systems_write(tmp_path: Path, form: str) -> None:
    real = write_all(tmp_path / "gt", {"a.png": plain(10), "day/b.png": plain(20)})
    made = {form.format("a"): plain(110), form.format("day/b"): plain(120)}
    pred = write_all(tmp_path / "pred", made)
    cases = from_folders(real)
    method, others = methods.from_folder(pred, cases, None, "pred")
    assert others == 0
    assert [method.generate(read_frame(case, None))[0, 0] for case in cases] == [110, 120]


def test_a_results_folder_of_pix2pix_has_all_three_images_of_a_scene(tmp_path: Path) -> None:
    photo = np.stack([plain(10), plain(20), plain(30)], axis=2)
    images = {"a_real_A.png": photo, "a_real_B.png": plain(50), "a_fake_B.png": plain(60)}
    images |= {"b_real_A.png": photo, "b_real_B.png": plain(70), "b_fake_B.png": plain(80)}
    folder = write_all(tmp_path / "results", images)
    cases = from_folders(folder, folder)
    method, others = methods.from_folder(folder, cases, None, "results")
    frames = [read_frame(case, None) for case in cases]
    assert ([case.key for case in cases], others) == (["a", "b"], 0)
    assert [(frame.photo[0, 0].tolist(), frame.nir[0, 0]) for frame in frames] == [
        ([10, 20, 30], 50),
        ([10, 20, 30], 70),
    ]
    assert [method.generate(frame)[0, 0] for frame in frames] == [60, 80]


def test_further_samples_of_an_image_are_not_counted_as_strangers(tmp_path: Path) -> None:
    real = write_all(tmp_path / "gt", {"a.png": plain(10)})
    pred = write_all(tmp_path / "pred", {"a/output_0.png": plain(1), "a/output_1.png": plain(2), "x.png": plain(3)})
    assert methods.from_folder(pred, from_folders(real), None, "pred")[1] == 1


def test_two_images_that_could_be_meant_and_a_folder_too_high_are_one_line(tmp_path: Path) -> None:
    cases = from_folders(write_all(tmp_path / "gt", {"a.png": plain(10)}))
    both = write_all(tmp_path / "both", {"a.png": plain(1), "a_fake_B.png": plain(2)})
    with pytest.raises(NirgenError, match=r"both/a\.png: a_fake_B\.png could belong to a\.png as well; keep one"):
        methods.from_folder(both, cases, None, "both")
    high = write_all(tmp_path / "high", {"images/a_fake_B.png": plain(2)})
    with pytest.raises(
        NirgenError, match=r"gt/a\.png: no 'a\.\*' in .*high, but 'images' in it has one; name .*high/images$"
    ):
        methods.from_folder(high, cases, None, "high")
    none = write_all(tmp_path / "none", {"b.png": plain(2)})
    with pytest.raises(NirgenError, match=r"none \(nor a_fake_B, a_fake, a_synthesized_image, a/output_0\); add it"):
        methods.from_folder(none, cases, None, "none")


def test_real_images_whose_names_look_generated_are_matched_by_their_own(tmp_path: Path) -> None:
    cases = from_folders(write_all(tmp_path / "gt", {"a.png": plain(10), "a_fake.png": plain(20)}))
    pred = write_all(tmp_path / "pred", {"a.png": plain(11), "a_fake.png": plain(21)})
    method, _ = methods.from_folder(pred, cases, None, "pred")
    assert [method.generate(read_frame(case, None))[0, 0] for case in cases] == [11, 21]


def test_unequal_channels_of_a_generated_image_are_averaged_and_remembered(tmp_path: Path) -> None:
    cases = from_folders(write_all(tmp_path / "gt", {"a.png": plain(10), "b.png": plain(20)}))
    colour = np.stack([plain(10), plain(20), plain(60)], axis=2)
    pred = write_all(tmp_path / "pred", {"a.png": colour, "b.png": plain(20)})
    method, _ = methods.from_folder(pred, cases, None, "pred")
    assert [method.generate(read_frame(case, None))[0, 0] for case in cases] == [30, 20]
    assert method.averaged == {"a"}


def test_truth_and_pred_say_whose_size_images_are_compared_at(tmp_path: Path) -> None:
    real = write_all(tmp_path / "gt", {"a.png": plain(10)})
    rgb = write_all(tmp_path / "rgb", {"a.png": np.zeros((60, 64, 3), np.uint8)})
    pred = write_all(tmp_path / "pred", {"a.png": plain(7, 80, 100)})
    for size, shape in (("truth", (40, 48)), ("pred", (80, 100))):
        cases = methods.sized_by(pred, from_folders(real, rgb))
        frame = read_frame(cases[0], size)
        method, _ = methods.from_folder(pred, cases, size, "pred")
        assert (frame.nir.shape, frame.photo.shape[:2], method.generate(frame).shape) == (shape, shape, shape)
