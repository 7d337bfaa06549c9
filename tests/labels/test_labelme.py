from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path


def file_of(*shapes: dict[str, Any], **more: Any) -> dict[str, Any]:
    path = "..\\\\im\\\\a.jpg".replace("\\\\", "\\")
    return {"version": "5.3.1", "shapes": list(shapes), "imagePath": path, "imageHeight": 80, "imageWidth": 100, **more}


def shape(kind: str, *points: list[float], **more: Any) -> dict[str, Any]:
    return {"label": "person", "shape_type": kind, "points": list(points), **more}


@pytest.mark.parametrize(
    ("drawn", "box", "derived"),
    [
        (shape("rectangle", [40, 50], [10, 20]), [10, 20, 30, 30], None),
        (shape("rectangle", [10, 20], [40, 20], [40, 50], [10, 50]), [10, 20, 30, 30], None),
        (shape("polygon", [1, 2], [11, 2], [11, 22]), [1, 2, 10, 20], "polygon"),
        (shape("circle", [50, 40], [53, 44]), [45, 35, 10, 10], "circle"),
        (shape("mask", [1, 2], [5, 8], mask="iVBOR"), [1, 2, 4, 6], "mask"),
    ],
)
def test_a_shape_becomes_a_box(save_json, converted, drawn, box, derived) -> None:
    file = converted(save_json(file_of(drawn), "sub/a.json"))
    assert file["images"] == [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 80}]
    (one,) = file["annotations"]
    assert (one["bbox"], one.get("derived"), one["iscrowd"]) == (box, derived, 0)


def test_flags_and_groups_stay(save_json, converted) -> None:
    drawn = shape("rectangle", [1, 2], [9, 9], flags={"crowd": True}, group_id=3)
    (one,) = converted(save_json(file_of(drawn)))["annotations"]
    assert (one["iscrowd"], one["group_id"], one["attributes"]) == (1, 3, {"crowd": True})


def test_points_and_lines_have_no_box(save_json, converted) -> None:
    file = converted(save_json(file_of(shape("point", [1, 2]), shape("linestrip", [1, 2], [3, 4], [5, 6]))))
    assert (file["images"], len(file["unlabelled"])) == ([], 1)
    assert file["info"]["nirgen"]["counts"]["lost"] == {
        "a linestrip of 3 point(s), which has no box": 1,
        "a point of 1 point(s), which has no box": 1,
    }


def test_a_folder_has_a_file_for_each_image_and_strangers_are_named(save_json, converted, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_json(file_of(shape("rectangle", [1, 2], [9, 9]), imagePath=f"{name}.jpg"), f"l/x/{name}.json")
    assert [image["file_name"] for image in converted(tmp_path / "l")["images"]] == ["x/a.jpg", "x/b.jpg"]
    save_json({"images": []}, "l/x/c.json")
    with pytest.raises(NirgenError, match=r"c.json: not labelme's JSON"):
        converted(tmp_path / "l")


def test_a_size_that_is_null_is_that_of_the_image(save_json, converted, save, tmp_path: Path) -> None:
    save(tmp_path / "im" / "a.jpg", 40, 50)
    path = save_json(file_of(shape("rectangle", [1, 2], [9, 9]), imageHeight=None, imageWidth=None))
    (image,) = converted(path, images=tmp_path / "im")["images"]
    assert (image["width"], image["height"]) == (50, 40)
