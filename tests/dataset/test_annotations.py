from __future__ import annotations

from dataclasses import replace

from nirgen.dataset.annotations import image_entries, label_images


def test_ids_are_from_one_over_all_splits_in_the_order_of_the_keys(small_plan) -> None:
    found = list(label_images(small_plan))
    assert [labelled.id for labelled in found] == [1, 2, 3, 4, 5, 6, 7]
    boxes = [box.coco for labelled in found for box in labelled.boxes]
    assert [(box["id"], box["image_id"], box["key"]) for box in boxes] == [
        (1, 1, "bdd/a.jpg#10"),
        (2, 1, "bdd/a.jpg#3"),
        (3, 1, "bdd/a.jpg#7"),
        (4, 4, "bdd/n/d.jpg#1"),
        (5, 5, "ranus/01/a.png#1"),
        (6, 6, "ranus/02/b.png#2"),
        (7, 6, "ranus/02/b.png#3"),
        (8, 6, "ranus/02/b.png#4"),
        (9, 7, "ranus/03/c.jpg#5"),
    ]


def test_boxes_of_a_generated_image_have_its_size(small_plan) -> None:
    truck = next(label_images(small_plan)).boxes[2]
    assert truck.coco == {
        "id": 3,
        "image_id": 1,
        "category_id": 3,
        "bbox": [5.0, 10.0, 15.5, 5.5],  # half of [10, 20, 31, 11]
        "area": 85.25,
        "iscrowd": 0,
        "key": "bdd/a.jpg#7",
        "source_category": "truck",
    }
    assert (truck.source_key, truck.steps) == ("7", ("class truck -> car", "scaled 0.5x0.5"))


def test_what_was_done_is_told_in_order(small_plan) -> None:
    steps = {box.coco["key"]: box.steps for labelled in label_images(small_plan) for box in labelled.boxes}
    assert steps["bdd/a.jpg#3"] == ("class train -> car", "region to ignore", "scaled 0.5x0.5")
    assert steps["ranus/01/a.png#1"] == ("box from mask",)
    assert steps["ranus/02/b.png#2"] == ()


def test_a_box_that_scaling_leaves_nothing_of_is_named(small_plan) -> None:
    labelled = list(label_images(small_plan))[2]
    assert (labelled.boxes, labelled.dropped) == ([], ["bdd/n/c.jpg#@0"])


def test_keys_of_the_source_stay(small_plan, with_image, labelled_as) -> None:
    labels = labelled_as(
        "a.jpg",
        (30, 20),
        [{"source_key": "1", "category_id": 1, "bbox": [0, 0, 2, 2], "track": 5, "key": "theirs"}],
        coco_url="u",
        license=3,
        kind="theirs",
    )
    plan = with_image(small_plan, 0, labels=replace(labels, attributes={"weather": "clear"}), sequence="s")
    assert next(image_entries(plan, "train", {(0, 3): 9})) == {
        "id": 1,
        "file_name": "images/bdd/a.png",
        "width": 30,
        "height": 20,
        "key": "bdd/a.jpg",
        "origin": "bdd",
        "kind": "generated",
        "sequence": "s",
        "attributes": {"weather": "clear"},
        "coco_url": "u",
        "license": 9,
    }
    box = next(label_images(plan)).boxes[0].coco
    assert (box["track"], box["key"]) == (5, "bdd/a.jpg#1")


def test_an_image_without_a_label_entry_is_marked(small_plan, with_image) -> None:
    plan = with_image(small_plan, 1, labels=None)
    entries = list(image_entries(plan, "train", {}))
    assert [entry.get("unlabelled") for entry in entries] == [None, True, None, None, None]
