from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path

NIRGENS_IMAGE_KEYS = {"id", "source_id"}
NIRGENS_KEYS = {"id", "image_id", "source_key", "source_category"}


def test_round_trip_keeps_every_key_that_nirgen_does_not_own(shared_data: Path, converted) -> None:
    path = shared_data / "coco" / "instances_train2017.json"
    before, after = json.loads(path.read_text()), converted(path)
    assert after["categories"] == before["categories"]
    images = {image["id"]: image for image in before["images"]}
    assert len(after["images"]) == len(images) == 80
    for image in after["images"]:
        left = {key: value for key, value in image.items() if key not in NIRGENS_IMAGE_KEYS}
        assert left == {key: value for key, value in images[image["source_id"]].items() if key != "id"}
    places = {image["id"]: image["source_id"] for image in after["images"]}
    annotations = {(one["image_id"], str(one["id"])): one for one in before["annotations"]}
    assert len(after["annotations"]) == len(annotations) == 705
    for one in after["annotations"]:
        source = annotations[places[one["image_id"]], one["source_key"]]
        left = {key: value for key, value in one.items() if key not in NIRGENS_KEYS}
        assert left == {key: value for key, value in source.items() if key not in {"id", "image_id"}}


def test_every_other_key_passes_through(save_json, converted, coco) -> None:
    values = coco(
        ("person", [1, 2, 3, 4]),
        info={"description": "mine", "year": 2020},
        licenses=[{"id": 3, "name": "CC BY", "url": "u"}],
        videos=[{"id": 1}],
    )
    values["images"][0] |= {"license": 3, "coco_url": None, "sequence": "s1", "split": "val", "attributes": {"fog": 1}}
    values["categories"][0] |= {"id": 17, "keypoints": ["nose"]}
    values["annotations"][0] |= {
        "category_id": 17,
        "keypoints": [1, 1, 2],
        "attributes": {"occluded": True},
        "score": 1,
    }
    file = converted(save_json(values))
    assert (file["info"]["description"], file["info"]["year"], file["videos"]) == ("mine", 2020, [{"id": 1}])
    assert file["licenses"] == values["licenses"]
    assert file["categories"] == [{"id": 17, "name": "person", "keypoints": ["nose"]}]
    assert file["images"] == [values["images"][0] | {"id": 1, "source_id": 7}]
    assert file["annotations"] == [
        values["annotations"][0]
        | {"id": 1, "image_id": 1, "area": 12, "iscrowd": 0, "source_key": "11", "source_category": "person"}
    ]


def test_ids_of_any_kind_become_numbers_from_one(save_json, converted, coco) -> None:
    values = coco(
        images=[{"id": name, "file_name": f"{name}.jpg", "width": 9, "height": 9} for name in ("b", "a")],
        categories=[{"id": 0, "name": "person"}],
        annotations=[{"id": number, "image_id": "b", "category_id": 0, "bbox": [0, 0, 2, 2]} for number in (0, 90)],
    )
    file = converted(save_json(values))
    assert [(image["id"], image["source_id"]) for image in file["images"]] == [(1, "a"), (2, "b")]
    assert [(one["id"], one["image_id"], one["category_id"]) for one in file["annotations"]] == [(1, 2, 1), (2, 2, 1)]
    assert [one["source_key"] for one in file["annotations"]] == ["0", "90"]


def test_segmentations_survive_a_merge_with_their_area(save_json, converted, coco) -> None:
    values = coco(("truck", [0, 0, 10, 10]), ("truck", [20, 0, 10, 10]), ("truck", [40, 0, 10, 10]))
    polygon, rle = [[0, 0, 10, 0, 10, 10]], {"size": [80, 100], "counts": [0, 8000]}
    first, second, third = values["annotations"]
    first |= {"segmentation": polygon, "area": 50.5}
    second |= {"segmentation": rle}
    third |= {"area": 3}
    file = converted(save_json(values), policy="default")
    assert [one.get("segmentation") for one in file["annotations"]] == [polygon, rle, None]
    assert [one["area"] for one in file["annotations"]] == [50.5, 100, 100]


def test_a_missing_box_is_derived_from_the_segmentation(save_json, converted, coco) -> None:
    values = coco(("car", []), ("car", []), ("car", []))
    values["annotations"][0]["segmentation"] = [[1, 2, 11, 2, 11, 22]]
    values["annotations"][1]["segmentation"] = {"size": [80, 100], "counts": [80, 3, 7917]}
    file = converted(save_json(values))
    assert [(one["bbox"], one["derived"]) for one in file["annotations"]] == [
        ([1, 2, 10, 20], "polygon"),
        ([1, 0, 1, 3], "rle"),
    ]
    assert file["info"]["nirgen"]["counts"]["lost"] == {"no box and no outline": 1}


def test_repeated_annotation_ids_go_by_their_position(save_json, converted, coco) -> None:
    values = coco(("car", [0, 0, 2, 2]), ("car", [9, 0, 2, 2]), ("car", [20, 0, 2, 2]))
    values["annotations"][2]["id"] = 11
    file = converted(save_json(values))
    assert [one["source_key"] for one in file["annotations"]] == ["@0", "12", "@2"]
    assert file["info"]["nirgen"]["counts"]["repeated_keys"] == 2


def test_without_annotations_images_are_unlabelled(save_json, converted, coco) -> None:
    values = coco(("car", [0, 0, 2, 2]))
    assert converted(save_json(values | {"annotations": []}))["unlabelled"] == []
    del values["annotations"]
    file = converted(save_json(values))
    assert (file["images"], [image["file_name"] for image in file["unlabelled"]]) == ([], ["a.jpg"])


def test_converting_again_with_identity_changes_nothing(save_json, converted, coco, tmp_path: Path) -> None:
    values = coco(("truck", [0, 0, 200, 10]), ("bus", []), info={"year": 1})
    values["annotations"][1]["segmentation"] = [[1, 2, 11, 2, 11, 22]]
    values["images"].append({"id": 3, "file_name": "c.jpg", "width": 5, "height": 5})
    bdd = save_json([{"name": "z.jpg", "size": {"width": 5, "height": 5}, "labels": None}], "bdd.json")
    once = converted(save_json(values), bdd, policy="default")
    assert len(once["unlabelled"]) == 1
    again = converted(save_json(once, "once.json"))
    assert again.keys() == once.keys()
    for key in ("images", "annotations", "categories", "unlabelled", "licenses"):
        assert again[key] == once[key]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": [{"id": 7, "file_name": name, "width": 9, "height": 9} for name in ("a.jpg", "b.jpg")]},
            "images 'a.jpg' and 'b.jpg' have the id 7",
        ),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "two categories have the id 1"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}, "2 categories are named 'a'"),
        ({"categories": [{"id": 2, "name": "a"}]}, "annotation 11 of 'a.jpg': refers to the missing category 1"),
        (
            {"annotations": [{"id": 4, "image_id": "7", "category_id": 1}]},
            "annotation 4 refers to the missing image '7'",
        ),
        ({"annotations": [{"id": 4, "category_id": 1}]}, "missing required field `image_id`"),
        (
            {"annotations": [{"id": 4, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]},
            "annotation 4 of 'a.jpg': its bbox has 3 numbers",
        ),
        ({"annotations": [{"id": 4, "image_id": 7, "category_id": 1, "bbox": "x"}]}, "Expected `array"),
        (
            {"annotations": [{"id": 4, "image_id": 7, "category_id": 1, "segmentation": [1, 2]}]},
            "has no bbox, and its segmentation is invalid",
        ),
        ({"annotations": {}}, "'annotations' violates COCO's format"),
        (
            {"images": [{"id": 7, "file_name": "a\\b.jpg", "width": 9, "height": 9}]},
            "image 7: the name 'a\\\\b.jpg' has",
        ),
        ({"images": [{"id": 7, "file_name": "a.jpg"}]}, "states no size; give the folder of the images with --images"),
        ({"images": [{"id": 7, "file_name": "a.jpg", "width": 0, "height": 4}]}, "'a.jpg' is 0x4 pixels"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(save_json, converted, coco, changes, message: str) -> None:
    with pytest.raises(NirgenError) as error:
        converted(save_json(coco(("car", [0, 0, 2, 2])) | changes))
    assert message in str(error.value)
    assert str(error.value).count("\n") == 0
