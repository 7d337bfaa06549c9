from __future__ import annotations

import numpy as np
import torch
from torchvision.ops import box_iou

from nirgen.labels.overlaps import LIMIT, later_copies, overlapping


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
        assert overlapping(boxes.tolist(), classes) == expected
        found += len(expected)
    assert found > 20


def test_what_overlaps_a_removed_box_only_stays() -> None:
    assert later_copies([(0, 1), (1, 2), (3, 4)]) == {1, 4}


def test_one_box_and_none_have_no_copies() -> None:
    assert overlapping([], []) == []
    assert overlapping([[0, 0, 1, 1]], ["car"]) == []
