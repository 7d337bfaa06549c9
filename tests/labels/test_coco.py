from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError
from nirgen.labels import Category, LabelFile

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
        (
            {
                "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}],
                "annotations": [{"image_id": 7, "category_id": number, "bbox": [0, 0, 2, 2]} for number in (1, 2)],
            },
            "2 categories are named 'a'",
        ),
        ({"categories": [{"id": 2, "name": "a"}]}, "annotation 11 of 'a.jpg': refers to the missing category 1"),
        (
            {"annotations": [{"id": 4, "image_id": "x", "category_id": 1}]},
            "annotation 4 refers to the missing image 'x'",
        ),
        ({"annotations": [{"id": 4, "category_id": 1}]}, "image_id is missing"),
        (
            {"annotations": [{"id": 4, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]},
            "annotation 4 of 'a.jpg': its bbox has 3 numbers",
        ),
        ({"annotations": [{"id": 4, "image_id": 7, "category_id": 1, "bbox": "x"}]}, "bbox is a text, not a list"),
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
        ({"images": [{"id": 7, "file_name": "a.jpg", "width": -3, "height": 4}]}, "'a.jpg' is -3x4 pixels"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(save_json, converted, coco, changes, message: str) -> None:
    with pytest.raises(NirgenError) as error:
        converted(save_json(coco(("car", [0, 0, 2, 2])) | changes))
    assert message in str(error.value)
    assert str(error.value).count("\n") == 0


def test_null_reads_as_absent(save_json, converted, coco, tmp_path: Path) -> None:
    values = coco(("car", [0, 0, 2, 2]), info=None, licenses=None, videos=None)
    values["categories"][0]["supercategory"] = None
    values["images"][0] |= {"license": None, "attributes": None, "sequence": None}
    values["annotations"][0] |= {"segmentation": None, "attributes": None, "area": None, "iscrowd": None}
    file = converted(save_json(values))
    assert (file["categories"], "videos" in file, file["licenses"]) == ([{"id": 1, "name": "car"}], False, [])
    assert (file["annotations"][0]["area"], file["annotations"][0]["iscrowd"]) == (4, 0)
    values = json.loads(json.dumps(file))
    values["categories"][0]["supercategory"] = None  # as older versions wrote it
    assert LabelFile.read(save_json(values, "old.json")).categories == (Category(1, "car", ""),)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 11.0, "image_id": 7.0, "category_id": 1.0},
        {"id": "11", "image_id": "7", "category_id": "1"},
        {"bbox": ["1", "2", "3.5", "4"], "iscrowd": "0", "area": "14"},
        {"iscrowd": False},
        {"iscrowd": 0.0},
    ],
)
def test_a_whole_number_in_another_type_is_that_number(save_json, converted, coco, changes) -> None:
    values = coco(("car", [1, 2, 3.5, 4]))
    expected = converted(save_json(values))["annotations"]
    values["annotations"][0] |= changes
    values["images"][0] |= {"width": 100.0, "height": "80"}
    file = converted(save_json(values))
    assert file["annotations"] == expected
    assert (file["images"][0]["width"], file["images"][0]["height"]) == (100, 80)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [1, 2, None, 4]}, "bbox[2] is empty, not a number"),
        ({"image_id": 7.5}, "image_id is a number, not a whole number or a text"),
        ({"bbox": [1, 2, "wide", 4]}, "bbox[2] is a text, not a number"),
    ],
)
def test_what_is_no_number_is_named_with_its_key(save_json, converted, coco, changes, message: str) -> None:
    values = coco(("car", [1, 2, 3.5, 4]))
    values["annotations"][0] |= changes
    with pytest.raises(NirgenError) as error:
        converted(save_json(values))
    assert message in str(error.value)


def test_without_annotations_and_classes_images_are_unlabelled(save_json, converted, coco) -> None:
    file = converted(save_json(coco() | {"annotations": [], "categories": []}))
    assert (file["images"], [image["file_name"] for image in file["unlabelled"]]) == ([], ["a.jpg"])


@pytest.mark.parametrize(
    "annotation", [{"bbox": []}, {"bbox": [5, 5, 0, 9]}, {"bbox": [900, 0, 5, 5]}, {"bbox": None, "segmentation": [[]]}]
)
def test_an_image_whose_only_label_has_no_usable_box_is_no_negative(save_json, converted, coco, annotation) -> None:
    values = coco(("car", [0, 0, 2, 2]))
    values["annotations"][0] |= annotation
    file = converted(save_json(values))
    counts = file["info"]["nirgen"]["counts"]
    assert (file["images"], [image["file_name"] for image in file["unlabelled"]]) == ([], ["a.jpg"])
    assert (counts["unlabelled"], counts["unusable"], counts["empty"]) == (1, 1, 0)
    values["annotations"].append(values["annotations"][0] | {"id": 12, "bbox": [1, 1, 5, 5]})
    assert len(converted(save_json(values))["images"]) == 1  # another label can be used


def test_exchanged_corners_are_put_right_and_counted(save_json, converted, coco) -> None:
    file = converted(save_json(coco(("car", [50, 40, -40, -20]), ("car", [60, 10, 5, 5]))))
    assert [one["bbox"] for one in file["annotations"]] == [[10, 20, 40, 20], [60, 10, 5, 5]]
    assert file["info"]["nirgen"]["counts"]["swapped"] == 1


def test_an_area_larger_than_its_box_is_computed_anew(save_json, converted, coco) -> None:
    values = coco(("car", [0, 0, 10, 10]), ("car", [20, 0, 10, 10]), ("car", [40, 0, 10, 10]), ("car", [60, 0, 10, 10]))
    for one, area in zip(values["annotations"], (8000, 100.9, 60, 0), strict=True):
        one |= {"area": area, "segmentation": [[0, 0, 9, 0, 9, 9]]}
    file = converted(save_json(values))
    assert [one["area"] for one in file["annotations"]] == [100, 100.9, 60, 100]
    assert file["info"]["nirgen"]["counts"]["areas"] == 1


@pytest.mark.parametrize(
    ("keys", "crowd"),
    [
        ({"iscrowd": 1}, 1),
        ({"iscrowd": True}, 1),
        ({"ignore": 1}, 1),
        ({"ignored": "true"}, 1),
        ({"attributes": {"is_crowd": True}}, 1),
        ({"attributes": {"Ignored": 1}}, 1),
        ({"ignore": 0, "attributes": {"crowd": False, "ignored": "0"}}, 0),
    ],
)
def test_crowds_and_regions_to_ignore_are_known_by_every_spelling(save_json, converted, coco, keys, crowd) -> None:
    values = coco(("car", [0, 0, 9, 9]))
    values["annotations"][0] |= keys
    assert converted(save_json(values))["annotations"][0]["iscrowd"] == crowd


def test_a_rotated_box_becomes_the_upright_one_around_it_once(save_json, converted, coco) -> None:
    values = coco(("car", [20, 30, 40, 10]), ("car", [20, 30, 40, 10]))
    values["annotations"][0]["attributes"] = {"rotation": 90.0}
    values["annotations"][1]["attributes"] = {"rotation": 0}
    file = converted(save_json(values))
    turned, upright = file["annotations"]
    assert (turned["bbox"], turned["derived"]) == ([35, 15, 10, 40], "rotated box")
    assert (upright["bbox"], "derived" in upright) == ([20, 30, 40, 10], False)
    assert file["info"]["nirgen"]["counts"]["derived"] == {"rotated box": 1}
    assert converted(save_json(file))["annotations"] == file["annotations"]
    del file["info"]  # as in a built dataset
    assert converted(save_json(file))["annotations"][0]["bbox"] == [35, 15, 10, 40]


@pytest.mark.parametrize(
    ("segmentation", "kept", "counted"),
    [
        ([[]], None, 0),
        ([[0, 0, 9, 0, 9, 9], []], [[0, 0, 9, 0, 9, 9]], 0),
        ([0, 0, 9, 0, 9, 9], [[0, 0, 9, 0, 9, 9]], 0),
        ([[0, 0, 9, 0, 9, 9], [1, 2]], [[0, 0, 9, 0, 9, 9]], 1),
        ([[0, None, 9, 0, 9, 9]], None, 1),
        ("text", None, 1),
        ({"size": [80, 100], "counts": "garbage!"}, None, 1),
        ({"size": [80, 100], "counts": [1, -3, 8002]}, None, 1),
        ({"size": [8, 10], "counts": [80]}, None, 1),
        ({"size": [80, 100], "counts": [5, 7995]}, {"size": [80, 100], "counts": [5, 7995]}, 0),
    ],
)
def test_a_segmentation_beside_a_box_is_kept_if_it_can_be_drawn(
    save_json, converted, coco, segmentation, kept, counted: int
) -> None:
    values = coco(("car", [0, 0, 9, 9]))
    values["annotations"][0]["segmentation"] = segmentation
    file = converted(save_json(values))
    assert file["annotations"][0].get("segmentation") == kept
    assert file["info"]["nirgen"]["counts"]["segmentations"] == counted


@pytest.mark.parametrize(("points", "kept"), [([1, 2, 2], True), ([None, 2, 3], False), ([1, 2], False), ("x", False)])
def test_keypoints_that_are_no_triples_are_left_out(save_json, converted, coco, points, kept: bool) -> None:
    values = coco(("car", [0, 0, 9, 9]))
    values["annotations"][0]["keypoints"] = points
    file = converted(save_json(values))
    assert ("keypoints" in file["annotations"][0]) is kept
    assert file["info"]["nirgen"]["counts"]["keypoints"] == (not kept)


def test_boxes_that_all_look_like_corners_are_noted_with_the_remedy(save_json, converted, coco) -> None:
    path = save_json(coco(("car", [60, 40, 90, 70]), ("car", [10, 20, 30, 40])))
    (note,) = converted(path)["info"]["nirgen"]["counts"]["notes"]
    assert "all 2 boxes look like x1, y1, x2, y2" in note
    assert "nirgen labels --boxes xyxy" in note
    file = converted(path, boxes="xyxy")
    assert [one["bbox"] for one in file["annotations"]] == [[60, 40, 30, 30], [10, 20, 20, 20]]
    assert file["info"]["nirgen"]["counts"]["notes"] == []
    beside = save_json(coco(("car", [60, 40, 90, 70]), ("car", [50, 20, 30, 40])))
    assert converted(beside)["info"]["nirgen"]["counts"]["notes"] == []


def test_a_size_of_zero_is_that_of_the_image(save_json, converted, coco, save, tmp_path: Path) -> None:
    save(tmp_path / "im" / "a.jpg", 48, 64)
    values = coco(("car", [0, 0, 9, 9]))
    values["images"][0] |= {"width": 0, "height": 0}
    image = converted(save_json(values), images=tmp_path / "im")["images"][0]
    assert (image["width"], image["height"]) == (64, 48)
    with pytest.raises(NirgenError, match="image 7: states no size; give the folder of the images"):
        converted(save_json(values))


def test_a_class_without_labels_goes_where_another_has_its_name(save_json, converted, coco) -> None:
    values = coco(("people", [0, 0, 9, 9]))
    values["categories"].insert(0, {"id": 0, "name": "people", "supercategory": "none"})
    file = converted(save_json(values))
    assert file["categories"] == [{"id": 1, "name": "people"}]
    assert file["info"]["nirgen"]["counts"]["notes"] == [
        "category 0 is left out: no label has it, and another one is named 'people'"
    ]


def test_a_name_twice_is_refused_with_both_entries(save_json, converted, coco) -> None:
    values = coco(("car", [0, 0, 9, 9]))
    values["images"].append(values["images"][0] | {"id": 9})
    with pytest.raises(NirgenError, match=r"'a.jpg' is twice in .*labels.json, as image 7 and as image 9; remove one"):
        converted(save_json(values))


@pytest.mark.parametrize(
    ("annotation", "task"), [({"caption": "a man"}, "captions"), ({"segments_info": []}, "panoptic segmentation")]
)
def test_cocos_files_of_other_tasks_are_named(save_json, converted, coco, annotation, task: str) -> None:
    with pytest.raises(NirgenError, match=f"COCO's labels of {task}, which have no boxes; give those of instances"):
        converted(save_json(coco() | {"annotations": [{"id": 1, "image_id": 7, **annotation}]}))
