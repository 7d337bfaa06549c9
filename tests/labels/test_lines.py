from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path

CAR = "Car 0.50 2 -1.57 10 20 40.5 50 1.5 1.6 3.9 1 2 30 -1.6"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def test_kitti_has_a_box_by_its_corners(converted, tmp_path: Path) -> None:
    write(tmp_path / "label_2" / "000000.txt", CAR, "DontCare -1 -1 -10 60 20 50 30 -1 -1 -1 -1000 -1000 -1000 -10")
    write(tmp_path / "label_2" / "000001.txt")
    file = converted(tmp_path / "label_2", size=(375, 1242), policy="default")
    assert [(image["file_name"], image["width"]) for image in file["images"]] == [("000000", 1242), ("000001", 1242)]
    car, region = file["annotations"]
    assert (car["bbox"], car["iscrowd"], car["attributes"]) == (
        [10, 20, 30.5, 30],
        0,
        {"truncated": 0.5, "occluded": 2},
    )
    assert (region["bbox"], region["iscrowd"]) == ([50, 20, 10, 10], 1)
    counts = file["info"]["nirgen"]["counts"]
    assert (counts["swapped"], counts["empty"]) == (1, 1)


def test_kaist_has_a_box_by_its_size_and_images_in_a_folder_for_each_camera(converted, tmp_path: Path, save) -> None:
    save(tmp_path / "im" / "set00" / "V000" / "visible" / "I00000.jpg", 60, 80)
    save(tmp_path / "im" / "set00" / "V000" / "lwir" / "I00000.jpg", 60, 80)
    lines = ("% bbGt version=3", "person 10 20 5 12 1 0 0 0 0 0 0", "people 40 20 5 12 0 0 0 0 0 1 0")
    write(tmp_path / "l" / "set00" / "V000" / "I00000.txt", *lines)
    file = converted(tmp_path / "l", images=tmp_path / "im", policy="default")
    assert (file["images"][0]["file_name"], file["images"][0]["sequence"]) == (
        "set00/V000/visible/I00000.jpg",
        "set00/V000",
    )
    assert [(one["bbox"], one["iscrowd"]) for one in file["annotations"]] == [
        ([10, 20, 5, 12], 0),
        ([40, 20, 5, 12], 1),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2 0.1", "line 1: a line of YOLO's; give the folder that holds data.yaml or classes.txt"),
        ("Car 1 2 3", "line 1: has 4 columns; KITTI's labels have 15"),
        (CAR.replace("40.5", "wide"), "line 1: .* aren't all numbers"),
    ],
)
def test_a_broken_line_is_named(converted, tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(NirgenError, match=message):
        converted(write(tmp_path / "a.txt", line), size=(80, 100))


def test_sizes_are_needed(converted, tmp_path: Path) -> None:
    with pytest.raises(
        NirgenError, match=r"a.txt: states no size; give the folder of the images with --images, or --size"
    ):
        converted(write(tmp_path / "a.txt", CAR))
