from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from nirgen.labels.annotations import EXAMPLES, LIMIT, clip, later_copies, overlapping


@pytest.mark.parametrize(
    ("box", "cut", "clipped"),
    [
        ((10, 20, 30, 40), [10, 20, 30, 40], False),
        ((0.12345, 0.98765, 10.1, 10.1), [0.123, 0.988, 10.1, 10.1], False),
        ((-5, -6, 10, 10), [0, 0, 5, 4], True),
        ((95, 75, 10, 10), [95, 75, 5, 5], True),
        ((-10, -10, 500, 500), [0, 0, 100, 80], True),
        ((90, 0, 10.0004, 80.0004), [90, 0, 10, 80], False),
        ((99.9996, 0, 0.0004, 10), [100, 0, 0, 10], False),
        ((120, 0, 5, 5), [120, 0, -20, 5], True),
    ],
)
def test_a_box_is_cut_at_the_border(box, cut, clipped: bool) -> None:
    assert clip(box, width=100, height=80) == (cut, clipped)


def test_a_cut_box_has_the_area_of_what_is_left(save_json, coco, converted) -> None:
    values = coco(("car", [90, 70, 20, 20]))
    values["annotations"][0] |= {"area": 311, "segmentation": [[90, 70, 110, 70, 110, 90]]}
    file = converted(save_json(values))
    one = file["annotations"][0]
    assert (one["bbox"], one["area"], one["segmentation"]) == ([90, 70, 10, 10], 100, [[90, 70, 110, 70, 110, 90]])
    assert one["clipped"] is True
    assert converted(save_json(file))["annotations"] == file["annotations"]  # it stays so
    counts = file["info"]["nirgen"]["counts"]
    assert (counts["clipped"], counts["examples"]["clipped"]) == (1, ["a.jpg#11 (car)"])


def test_boxes_without_a_size_or_outside_are_left_out_and_counted(save_json, coco, converted) -> None:
    boxes = [[10, 10, 0, 5], [10, 10, 5, 0], [100, 0, 5, 5], [0, -9, 5, 9], [0, 0, 1, 1]]
    boxes += [[200, 200, 5, 5], [10, 10, 0.01, 0.01]]
    file = converted(save_json(coco(*[("car", box) for box in boxes])))
    assert [one["source_key"] for one in file["annotations"]] == ["15"]
    counts = file["info"]["nirgen"]["counts"]
    assert counts["lost"] == {"no width or height": 3, "outside the image": 3}
    assert counts["examples"]["outside the image"] == ["a.jpg#13 (car)", "a.jpg#14 (car)", "a.jpg#16 (car)"]
    assert counts["names"] == [{"name": "car", "labels": 7, "became": "car", "written": 1}]


def test_copies_after_a_merge_are_reported_and_stay(save_json, coco, converted) -> None:
    file = converted(save_json(coco(("truck", [0, 0, 50, 40]), ("bus", [1, 0, 50, 40]))), policy="default")
    counts = file["info"]["nirgen"]["counts"]
    assert len(file["annotations"]) == 2
    assert (counts["duplicates"], counts["duplicates_removed"]) == (1, 0)
    assert counts["examples"]["duplicates"] == ["a.jpg#11 and #12 (car)"]
    assert (
        converted(save_json(coco(("truck", [0, 0, 50, 40]), ("person", [1, 0, 50, 40]))), policy="default")["info"][
            "nirgen"
        ]["counts"]["duplicates"]
        == 0
    )


def test_the_later_copy_is_left_out_on_request(save_json, coco, converted) -> None:
    path = save_json(coco(("truck", [0, 0, 50, 40]), ("car", [60, 0, 9, 9]), ("bus", [1, 0, 50, 40])))
    file = converted(path, policy="default", drop_duplicates=True)
    assert [one["source_category"] for one in file["annotations"]] == ["truck", "car"]
    counts = file["info"]["nirgen"]["counts"]
    assert (counts["duplicates"], counts["duplicates_removed"], counts["classes"]["car"]["boxes"]) == (1, 1, 2)
    assert {one["name"]: one["written"] for one in counts["names"]} == {"truck": 1, "car": 1, "bus": 0}


def test_regions_to_ignore_are_no_copies(save_json, coco, counts) -> None:
    path = save_json(coco(("truck", [0, 0, 50, 40]), ("trailer", [0, 0, 50, 40])))
    found = counts(path, policy="default")
    assert (found["duplicates"], found["classes"]["car"]) == (0, {"boxes": 1, "ignored": 1})


def test_pairs_are_those_of_torchvision() -> None:
    random = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        boxes = random.integers((0, 0, 20, 20), (12, 12, 32, 32), (30, 4))
        classes = random.choice(["car", "person"], 30).tolist()
        corners = torch.tensor(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)).double()
        expected = [
            (first, second)
            for first, second in torch.argwhere(box_iou(corners, corners) > LIMIT).tolist()
            if first < second and classes[first] == classes[second]
        ]
        found_here = overlapping(boxes.tolist(), classes)
        assert (found_here.total, found_here.all, found_here.pairs) == (len(expected), True, expected[:EXAMPLES])
        found += len(expected)
    assert found > 20


def test_what_overlaps_a_removed_box_only_stays() -> None:
    boxes = [[0, 0, 100, 10], [5, 0, 100, 10], [10, 0, 100, 10], [200, 0, 9, 9], [200, 0, 9, 9], [200, 0, 9, 9]]
    assert overlapping(boxes, ["car"] * 6).pairs == [(0, 1), (1, 2), (3, 4), (3, 5), (4, 5)]
    assert later_copies(boxes, ["car"] * 6) == ({1, 4, 5}, True)
    assert later_copies(boxes, ["car", "bus"] * 3) == ({5}, True)


def test_the_boxes_that_stay_are_those_of_comparing_each_with_all_that_stay() -> None:
    random = np.random.default_rng(0)
    some = random.uniform([0, 0, 20, 20], [50, 50, 60, 60], (60, 4))
    boxes = np.concatenate([some, some + random.uniform(-2, 2, some.shape), some])
    corners = torch.tensor(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))
    same = box_iou(corners, corners) > LIMIT
    stay: list[int] = []
    for position in range(len(boxes)):
        if not same[position, stay].any():
            stay.append(position)
    assert 60 <= len(stay) < 120
    assert later_copies(boxes.tolist(), ["car"] * 180) == ({*range(180)} - {*stay}, True)


def test_equal_boxes_are_counted_and_removed_without_comparing_all_with_all() -> None:
    boxes = [[3.0, 4.0, 50.0, 40.0]] * 15_000 + [[3.0, 4.0, 50.0, 41.0]] * 2
    found = overlapping(boxes, ["car"] * 15_002)
    assert (found.total, found.all) == (15_000 * 14_999 // 2 + 2 * 15_000 + 1, True)
    assert found.pairs == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]
    assert later_copies(boxes, ["car"] * 15_002) == ({*range(1, 15_002)}, True)


def test_near_boxes_beyond_number_are_removed_and_counted_in_part(save_json, coco, converted) -> None:
    path = save_json(coco(*[("car", [10, 10, 50 + number / 1000, 40]) for number in range(1500)]))
    file = converted(path, drop_duplicates=True)
    counts = file["info"]["nirgen"]["counts"]
    assert [one["source_key"] for one in file["annotations"]] == ["11"]
    assert 900_000 < counts["duplicates"] < 1500 * 1499 // 2
    assert counts["notes"] == [
        "'a.jpg' has so many boxes of a class near each other that not all were compared: there may be more duplicates"
    ]


@pytest.mark.parametrize(
    ("box", "boxes"),
    [
        ([1e308, 0, 1e308, 5], []),
        ([-1e308, 0, 5, 5], []),
        ([0, 1e308, 5, -1e308], [[0, 0, 5, 80]]),
        ([0, 0, 1e308, 1e308], [[0, 0, 100, 80]]),
    ],
)
def test_boxes_of_any_size_are_cut_or_left_out(save_json, coco, converted, box, boxes) -> None:
    assert [one["bbox"] for one in converted(save_json(coco(("car", box))))["annotations"]] == boxes


def test_one_box_and_none_have_no_copies() -> None:
    assert overlapping([], []) == (0, True, [])
    assert overlapping([[0, 0, 1, 1]], ["car"]) == (0, True, [])
