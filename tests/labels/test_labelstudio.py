from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path


def region(kind: str = "rectanglelabels", **value: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "type": kind,
        "original_width": 200,
        "original_height": 100,
        "value": {**value, kind: ["car"]},
    }


def task(*regions: dict[str, Any], image: str = "/data/upload/1/0a1b2c3d-a.jpg", **more: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"image": image}, "annotations": [{"id": 1, "result": list(regions)}], **more}


BOX = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}


@pytest.mark.parametrize(
    ("drawn", "box", "derived"),
    [
        (region(**BOX), [20, 20, 60, 40], None),
        (region(**(BOX | {"x": 50, "rotation": 90})), [60, 20, 40, 60], "rotated box"),
        (region("polygonlabels", points=[[10, 20], [20, 20], [20, 60]]), [20, 20, 20, 40], "polygon"),
        (region("ellipselabels", x=50, y=50, radiusX=5, radiusY=10, rotation=0), [90, 40, 20, 20], "ellipse"),
    ],
)
def test_a_region_in_percent_becomes_a_box(save_json, converted, drawn, box, derived) -> None:
    file = converted(save_json([task(drawn, {"type": "choices", "value": {"choices": ["night"]}})]))
    assert file["images"] == [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100, "source_id": 5}]
    (one,) = file["annotations"]
    assert (one["bbox"], one.get("derived"), one["source_key"]) == (box, derived, "r1")


def test_the_short_form_is_read(save_json, converted) -> None:
    drawn = {**BOX, "rectanglelabels": ["car"], "original_width": 200, "original_height": 100}
    path = save_json([{"id": 5, "image": "s3://bucket/a.jpg", "label": [drawn], "annotator": 1}])
    assert converted(path)["annotations"][0]["bbox"] == [20, 20, 60, 40]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/1/0a1b2c3d-a.jpg", "a.jpg"),
        ("/data/local-files/?d=folder/my%20image.jpg", "my image.jpg"),
        ("https://example.org/x/0a1b2c3d-a.jpg?token=1", "0a1b2c3d-a.jpg"),
    ],
)
def test_the_address_names_the_image(save_json, converted, address: str, name: str) -> None:
    assert converted(save_json([task(region(**BOX), image=address)]))["images"][0]["file_name"] == name


def test_a_task_that_nobody_has_done_is_unlabelled(save_json, converted, save, tmp_path: Path) -> None:
    save(tmp_path / "im" / "a.jpg", 40, 50)
    skipped = [{"id": 1, "was_cancelled": True, "result": []}]
    path = save_json([task(annotations=skipped)])
    assert [image["file_name"] for image in converted(path, images=tmp_path / "im")["unlabelled"]] == ["a.jpg"]
    assert [image["file_name"] for image in converted(save_json([task()]), images=tmp_path / "im")["images"]] == [
        "a.jpg"
    ]


def test_what_has_no_box_is_counted(save_json, converted) -> None:
    counts = converted(save_json([task(region("brushlabels", rle=[1, 2]))]))["info"]["nirgen"]["counts"]
    assert (counts["lost"], counts["unusable"]) == ({"brush, which has no box": 1}, 1)


@pytest.mark.parametrize("broken", [task(region(**(BOX | {"x": "left"}))), {"data": 3}, 7])
def test_a_broken_task_is_named(save_json, converted, broken) -> None:
    with pytest.raises(NirgenError, match=r"labels.json: task .*not a task of Label Studio"):
        converted(save_json([task(region(**BOX)), broken]))
