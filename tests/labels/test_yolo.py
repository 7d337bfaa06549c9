from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, save) -> Callable[..., Path]:
    """A folder of one image of 50x40 pixels, `images/train/1.jpg`, with these lines of labels."""

    def make(*lines: str, settings: str = "train: images/train\nnames: {0: person, 1: car}\n") -> Path:
        save(tmp_path / "y" / "images" / "train" / "1.jpg", 40, 50)
        (tmp_path / "y" / "labels" / "train").mkdir(parents=True, exist_ok=True)
        (tmp_path / "y" / "labels" / "train" / "1.txt").write_text("\n".join(lines))
        (tmp_path / "y" / "data.yaml").write_text(settings)
        return tmp_path / "y"

    return make


def test_fractions_become_pixels_of_the_image(folder, converted) -> None:
    file = converted(folder("1 0.5 0.5 0.2 0.1", "0.0 0.1 0.2 0.2 0.4"))
    assert file["categories"] == [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}]
    assert file["images"] == [{"id": 1, "file_name": "images/train/1.jpg", "width": 50, "height": 40, "split": "train"}]
    assert [(one["category_id"], one["bbox"]) for one in file["annotations"]] == [
        (2, [20, 18, 10, 4]),
        (1, [0, 0, 10, 16]),
    ]


def test_an_empty_text_file_says_empty_and_none_says_unlabelled(folder, converted, save) -> None:
    path = folder()
    save(path / "images" / "val" / "2.png", 20, 30)
    save(path / "card" / "classes.png")  # about the data set
    file = converted(path)
    assert [image["file_name"] for image in file["images"]] == ["images/train/1.jpg"]
    assert file["unlabelled"] == [{"file_name": "images/val/2.png", "width": 30, "height": 20, "split": "val"}]


def test_roboflow_lays_splits_outside(tmp_path: Path, converted, save) -> None:
    save(tmp_path / "y" / "valid" / "images" / "1.jpg", 40, 50)
    (tmp_path / "y" / "valid" / "labels").mkdir()
    (tmp_path / "y" / "valid" / "labels" / "1.txt").write_text("0 0.5 0.5 0.2 0.1\n")
    (tmp_path / "y" / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnames: ['car']\nnc: 1\n")
    (image,) = converted(tmp_path / "y")["images"]
    assert (image["file_name"], image["split"]) == ("valid/images/1.jpg", "val")


def test_labels_of_photos_fit_the_images_of_another_folder(folder, converted, save, tmp_path: Path) -> None:
    save(tmp_path / "nir" / "train" / "1.png", 20, 25)
    file = converted(folder("1 0.5 0.5 0.2 0.1"), images=tmp_path / "nir")
    assert (file["images"][0]["file_name"], file["annotations"][0]["bbox"]) == ("train/1.png", [10, 9, 5, 2])


def test_classes_may_stand_in_a_text_file_beside_the_images(tmp_path: Path, converted, save) -> None:
    save(tmp_path / "a.jpg", 40, 50)
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.2 0.1\n")
    (tmp_path / "classes.txt").write_text("person\ncar\n")
    file = converted(tmp_path)
    assert (file["images"][0]["file_name"], file["annotations"][0]["source_category"]) == ("a.jpg", "car")


@pytest.mark.parametrize(
    ("line", "kind"),
    [("1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5", "an oriented box"), ("1 0.1 0.1 0.5 0.1 0.5 0.5", "a segment")],
)
def test_outlines_are_refused_or_become_the_boxes_around_them(folder, converted, line: str, kind: str) -> None:
    path = folder("0 0.5 0.5 0.1 0.1", line)
    with pytest.raises(NirgenError, match=f"1.txt: line 2: {kind}, not an upright box; .* --outlines box"):
        converted(path)
    one = converted(path, outlines="box")["annotations"][1]
    assert (one["bbox"], one["derived"], one["segmentation"][0][:4]) == ([5, 4, 20, 16], "polygon", [5, 4, 25, 4])


def test_keypoints_are_left_aside(folder, converted) -> None:
    settings = "names: [person]\nkpt_shape: [2, 3]\n"
    (one,) = converted(folder("0 0.5 0.5 0.2 0.1 9 9 2 8 8 1", settings=settings))["annotations"]
    assert one["bbox"] == [20, 18, 10, 4]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.2 0.1", "1.txt: line 1: class 2 has no name"),
        ("0 20 18 10 4", "line 1: has coordinates beyond 1; YOLO's are fractions"),
        ("0 0.5 0.5 0.2", "line 1: has 4 numbers; a box has 5"),
        ("0 0.5 0.5 0.2 nan", "aren't all numbers"),
        ("car 0.5 0.5 0.2 0.1", "aren't all numbers"),
    ],
)
def test_a_broken_line_is_named(folder, converted, line: str, message: str) -> None:
    with pytest.raises(NirgenError, match=message):
        converted(folder(line))


def test_settings_without_classes_are_refused(folder, converted) -> None:
    with pytest.raises(NirgenError, match=r"data.yaml: no YOLO settings; write 'names'"):
        converted(folder(settings="names: 3\n"))
