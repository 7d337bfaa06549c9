from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.labels import LabelFile


BOX = {"x1": 10.0, "y1": 20.0, "x2": 30.5, "y2": 60.0}


def frame(*labels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "a.jpg", "labels": list(labels), **more}


def label(**more: Any) -> dict[str, Any]:
    return {"id": "5", "category": "car", "box2d": BOX, **more}


def test_a_list_of_frames(save_json, converted) -> None:
    path = save_json(
        [
            frame(
                label(attributes={"occluded": True, "trafficLightColor": "NA"}, score=0.5, index=None),
                attributes={"weather": "clear", "scene": "highway", "timeofday": "night"},
                videoName="a-video",
                timestamp=10000,
                url=None,
            )
        ]
    )
    file = converted(path)
    assert file["images"] == [
        {
            "id": 1,
            "file_name": "a.jpg",
            "width": 1280,
            "height": 720,
            "sequence": "a-video",
            "attributes": {"weather": "clear", "scene": "highway", "timeofday": "night"},
            "timestamp": 10000,
        }
    ]
    assert file["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [10.0, 20.0, 20.5, 40.0],
            "area": 820.0,
            "iscrowd": 0,
            "source_key": "5",
            "source_category": "car",
            "attributes": {"occluded": True, "trafficLightColor": "NA"},
            "score": 0.5,
        }
    ]


def test_frames_with_a_config_have_its_size_unless_their_own(save_json, converted) -> None:
    config = {"imageSize": {"width": 640, "height": 360}, "categories": []}
    frames = [frame(label()), frame(label(), name="b.jpg", size={"width": 320, "height": 180})]
    images = converted(save_json({"frames": frames, "groups": None, "config": config}))["images"]
    assert [(image["width"], image["height"]) for image in images] == [(640, 360), (320, 180)]


def test_a_file_of_2018_for_one_image(save_json, converted) -> None:
    objects = [
        {"id": 0, "category": "bike", "attributes": {"occluded": False}, "box2d": BOX},
        {"id": 1, "category": "area/drivable", "poly2d": [[0, 400, "L"], [90, 400, "L"], [90, 500, "L"]]},
        {"id": 2, "category": "lane/road curb", "poly2d": [[0, 400, "L"], [9, 40, "C"], [9, 50, "C"], [7, 7, "C"]]},
    ]
    path = save_json(
        {
            "name": "0000f77c-6257be58",
            "attributes": {"scene": "tunnel"},
            "frames": [{"timestamp": 1, "objects": objects}],
        }
    )
    file = converted(path)
    assert file["images"][0]["file_name"] == "0000f77c-6257be58"
    assert (file["images"][0]["attributes"], file["images"][0]["timestamp"]) == ({"scene": "tunnel"}, 1)
    assert "frames" not in file["images"][0]
    bike, area = file["annotations"]
    assert (bike["source_key"], bike["source_category"], bike["bbox"]) == ("0", "bike", [10.0, 20.0, 20.5, 40.0])
    assert (area["bbox"], area["derived"]) == ([0.0, 400.0, 90.0, 100.0], "polygon")
    assert file["info"]["nirgen"]["counts"]["lost"] == {"no box and no closed outline": 1}
    by_default = converted(path, policy="default")
    assert [one["source_category"] for one in by_default["annotations"]] == ["bike"]
    assert by_default["info"]["nirgen"]["counts"]["lost"] == {}


def test_a_list_of_2018_has_curves_in_objects(save_json, converted) -> None:
    lane = {"vertices": [[0, 0], [4, 4]], "types": "LL", "closed": False}
    area = {"vertices": [[0, 0], [40, 0], [40, 40]], "types": "LLL", "closed": True}
    file = converted(
        save_json(
            [frame({"category": "lane", "poly2d": [lane]}, {"category": "drivable area", "poly2d": [area]}, label())]
        ),
        policy="default",
    )
    assert [one["source_key"] for one in file["annotations"]] == ["5"]


def test_a_folder_of_files_of_any_form_is_one_source(save_json, converted, tmp_path: Path) -> None:
    save_json([frame(label())], "labels/video1.json")
    save_json({"name": "b", "frames": [{"objects": [label()]}]}, "labels/b.json")
    assert [image["file_name"] for image in converted(tmp_path / "labels")["images"]] == ["a.jpg", "b"]


@pytest.mark.parametrize("missing", [{}, {"labels": None}])
def test_a_frame_without_labels_is_unlabelled(save_json, converted, missing) -> None:
    file = converted(save_json([{"name": "b.jpg", "labels": []}, {"name": "a.jpg", **missing}]))
    assert [image["file_name"] for image in file["images"]] == ["b.jpg"]
    assert file["unlabelled"] == [{"file_name": "a.jpg", "width": 1280, "height": 720}]
    assert (file["info"]["nirgen"]["counts"]["empty"], file["info"]["nirgen"]["counts"]["unlabelled"]) == (1, 1)


def test_attributes_with_a_capital_are_the_same(save_json, converted) -> None:
    file = converted(save_json([frame(label(attributes={"Occluded": True, "Truncated": False, "Crowd": True}))]))
    assert file["annotations"][0]["attributes"] == {"occluded": True, "truncated": False, "crowd": True}
    assert file["annotations"][0]["iscrowd"] == 1


def test_a_box_is_derived_from_polygon_or_mask_where_there_is_none(save_json, converted) -> None:
    square = {"vertices": [[5, 6], [15, 6], [15, 26]], "types": "LLL", "closed": True}
    rle = {"size": [40, 30], "counts": [41, 2, 38, 2, 1117]}  # rows 1 and 2 of columns 1 and 2
    labels = label(box2d=None, poly2d=[square], rle=rle), label(id="6", box2d=None, rle=rle)
    file = converted(save_json([frame(*labels, size={"width": 30, "height": 40})]))
    drawn, masked = file["annotations"]
    assert (drawn["bbox"], drawn["segmentation"], drawn["derived"]) == (
        [5, 6, 10, 20],
        [[5, 6, 15, 6, 15, 26]],
        "polygon",
    )
    assert (masked["bbox"], masked["segmentation"], masked["derived"]) == ([1, 1, 2, 2], rle, "rle")


def test_inclusive_boxes_are_a_pixel_larger_and_derived_ones_are_not(save_json, converted) -> None:
    square = {"vertices": [[5, 6], [15, 6], [15, 26]], "types": "LLL", "closed": True}
    path = save_json([frame(label(), label(id="6", box2d=None, poly2d=[square]))])
    file = converted(path, bdd_inclusive=True)
    assert [one["bbox"] for one in file["annotations"]] == [[10, 20, 21.5, 41], [5, 6, 10, 20]]
    assert "boxes are x2 - x1 + 1 wide" in file["info"]["nirgen"]["counts"]["notes"][0]


def test_an_assumed_size_is_said_and_a_box_outside_disproves_it(save_json, converted, counts) -> None:
    fits = save_json([frame(label(box2d={"x1": 0, "y1": 0, "x2": 1281.9, "y2": 721}))])
    assert counts(fits)["notes"] == ["images state no size: BDD100K's 1280x720 is assumed"]
    outside = save_json([frame(label(box2d={"x1": 0, "y1": 0, "x2": 1282.5, "y2": 700}))])
    with pytest.raises(NirgenError, match=r"frame 'a.jpg': states no size, .* \(1282.5, 700\).* --images, or --size"):
        converted(outside)
    assert converted(outside, size=(1080, 1920))["images"][0]["width"] == 1920


def test_the_folder_of_images_knows_sizes_and_endings(save_json, converted, save, tmp_path: Path) -> None:
    save(tmp_path / "images" / "train" / "b.png", 30, 40)
    path = save_json([{"name": "b", "frames": [{"objects": [label(box2d={"x1": 1, "y1": 1, "x2": 90, "y2": 9})]}]}])
    file = converted(path, images=tmp_path / "images")
    assert file["images"][0] == {"id": 1, "file_name": "train/b.png", "width": 40, "height": 30}
    assert file["annotations"][0]["bbox"] == [1, 1, 39, 8]


def test_images_that_were_made_smaller_are_told_by_boxes_beyond_them(
    save_json, converted, save, tmp_path: Path
) -> None:
    for name in ("a.jpg", "b.jpg"):
        save(tmp_path / "images" / name, 180, 320)
    far = label(box2d={"x1": 900, "y1": 500, "x2": 1200, "y2": 700})
    file = converted(save_json([frame(label()), frame(far, name="b.jpg")]), images=tmp_path / "images")
    assert [(image["width"], image["height"]) for image in file["images"]] == [(1280, 720)] * 2
    assert [one["bbox"] for one in file["annotations"]] == [[10, 20, 20.5, 40], [900, 500, 300, 200]]
    assert "boxes reach beyond those in the folder" in file["info"]["nirgen"]["counts"]["notes"][0]
    near = converted(save_json([frame(label()), frame(label(), name="b.jpg")]), images=tmp_path / "images")
    assert near["images"][0]["width"] == 320


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([frame(label(box2d={**BOX, "x1": "left"}))], "labels[0].box2d.x1 is a text, not a number"),
        ([frame(label(), name="../a.jpg")], "has '..'"),
        ([{"name": "a", "frames": [{}, {}]}], "has 2 frames, but one name"),
        (
            [frame({"category": "car", "box2d": None, "rle": {"counts": 3}})],
            "its rle is an object without size and counts",
        ),
        (
            [frame({"category": "car", "poly2d": [{"vertices": [[1, 2]], "types": "LL"}]})],
            "lacks a type or two coordinates for a vertex",
        ),
        ([frame(label()), frame(label())], "'a.jpg' is twice in"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said_in_a_line(save_json, converted, frames, message: str) -> None:
    with pytest.raises(NirgenError) as error:
        converted(save_json(frames))
    assert message in str(error.value)
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize(
    ("attributes", "crowd"),
    [({"crowd": 1}, 1), ({"crowd": True}, 1), ({"ignored": True}, 1), ({"crowd": False, "ignored": 0}, 0)],
)
def test_crowds_and_ignored_labels_are_regions_to_ignore(save_json, converted, attributes, crowd: int) -> None:
    assert converted(save_json([frame(label(attributes=attributes))]))["annotations"][0]["iscrowd"] == crowd


@pytest.mark.parametrize(("inclusive", "box"), [(False, [10, 20, 40, 20]), (True, [10, 20, 41, 21])])
def test_exchanged_corners_are_put_right(save_json, converted, inclusive: bool, box: list[float]) -> None:
    path = save_json([frame(label(box2d={"x1": 50, "y1": 40, "x2": 10, "y2": 20}))])
    file = converted(path, bdd_inclusive=inclusive)
    assert ([one["bbox"] for one in file["annotations"]], file["info"]["nirgen"]["counts"]["swapped"]) == ([box], 1)


def test_names_that_repeat_across_videos_get_that_of_their_video(save_json, converted) -> None:
    frames = [frame(label(), videoName=video) for video in ("a", "b")]
    file = converted(save_json(frames))
    assert [(image["file_name"], image["sequence"]) for image in file["images"]] == [("a/a.jpg", "a"), ("b/a.jpg", "b")]
    assert "names repeat across videos, so images are named videoName/name" in file["info"]["nirgen"]["counts"]["notes"]
    assert converted(save_json(frames[:1]))["images"][0]["file_name"] == "a.jpg"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([{"name": "a.jpg", "category": "car", "bbox": [1, 2, 3, 4]}], "a flat list of detections"),
        ([{"id": 1, "name": "person"}, {"id": 2, "name": "car"}], "a list of names, such as 'person', not of images"),
    ],
)
def test_other_lists_of_objects_with_names_are_refused(save_json, converted, values, message: str) -> None:
    with pytest.raises(NirgenError, match=message):
        converted(save_json(values))


def test_a_stray_file_in_a_folder_is_named(save_json, converted, tmp_path: Path) -> None:
    save_json([frame(label())], "labels/a.json")
    stray = save_json({"images": []}, "labels/b.json")
    with pytest.raises(NirgenError, match=f"{stray}: no BDD100K labels"):
        converted(tmp_path / "labels")


def test_official_forms_agree_on_polygons(shared_data: Path, converted: Callable[..., Any]) -> None:
    folder = shared_data / "bdd100k" / "labels"
    ours = {one["source_key"]: one for one in converted(folder / "det_list_form.json", policy="bdd100k")["annotations"]}
    theirs = {one["scalabel_id"]: one for one in converted(folder / "det_coco_form.json")["annotations"]}
    assert set(theirs) == {"38", "39", "40", "43"}
    for key, one in theirs.items():
        assert ours[key]["segmentation"] == one["segmentation"]


def test_curves_follow_the_masks_that_bdd100k_drew_of_them(shared_data: Path, tmp_path: Path) -> None:
    from pycocotools import mask

    from nirgen.labels import annotation, open_labels

    overlaps = []
    for name in ("00091078-875c1f73.json", "b1c66a42-6f7d68ca.json"):
        path = shared_data / "bdd100k" / "labels" / name
        drawn = _rles(path)
        file: LabelFile = open_labels(path, "identity")
        for image in file.images:
            for one in map(annotation, image.annotations):
                ours = mask.merge(mask.frPyObjects(one["segmentation"], 720, 1280))
                overlaps.append(mask.iou([ours], [drawn[image.file_name, one["source_key"]]], [0])[0, 0])
    assert len(overlaps) == 254
    assert sum(overlaps) / len(overlaps) > 0.92  # 0.910 if control points are taken for vertices


def _rles(path: Path) -> dict[tuple[str, str], Any]:
    import json

    return {
        (frame["name"], one["id"]): {**one["rle"], "counts": one["rle"]["counts"].encode()}
        for frame in json.loads(path.read_text())
        for one in frame["labels"]
    }
