"""BDD100K's own converter, by its rule, on every label file there is; and what reads the written files.

The rule (`scalabel.label.to_coco` with `det.toml`): a box is `x2 - x1 + 1` wide, `iscrowd` is 1 for crowds and for
names that are ignored, category ids are those of ten classes.
"""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nirgen.labels import Policy, Source, convert

if TYPE_CHECKING:
    from pathlib import Path


IDS = {
    "pedestrian": 1,
    "person": 1,
    "other person": 1,
    "rider": 2,
    "car": 3,
    "van": 3,
    "caravan": 3,
    "other vehicle": 3,
    "truck": 4,
    "trailer": 4,
    "bus": 5,
    "train": 6,
    "motorcycle": 7,
    "motor": 7,
    "bicycle": 8,
    "bike": 8,
    "traffic light": 9,
    "traffic sign": 10,
}
IGNORED = {"other person", "other vehicle", "trailer"}

# image, source key: category id, box, iscrowd
BY_HAND: dict[str, dict[tuple[str, str], tuple[int, list[float], int]]] = {
    "00091078-875c1f73.json": {
        ("00091078-875c1f73-0000166.jpg", "406"): (4, [491, 259, 136, 91], 0),
        ("00091078-875c1f73-0000166.jpg", "43887"): (3, [0, 383, 150, 247], 0),
        ("00091078-875c1f73-0000167.jpg", "44616"): (1, [1095, 384, 44, 106], 0),
        ("00091078-875c1f73-0000171.jpg", "91298"): (1, [194, 403, 29, 17], 1),
    },
    "b1c66a42-6f7d68ca.json": {
        ("b1c66a42-6f7d68ca-0000001.jpg", "0"): (3, [0, 348, 74, 59], 0),
        ("b1c66a42-6f7d68ca-0000001.jpg", "5481"): (2, [646, 362, 17, 38], 0),
        ("b1c66a42-6f7d68ca-0000001.jpg", "5684"): (7, [649, 386, 9, 24], 0),
        ("b1c66a42-6f7d68ca-0000006.jpg", "5684"): (7, [634, 390, 8, 22], 0),
    },
    "det_list_form.json": {
        ("913b47b8-3cf1b886.jpg", "1032908"): (9, [624.254, 290.023, 12.263, 13.389], 0),
        ("913b47b8-3cf1b886.jpg", "1032909"): (9, [518.381, 267.497, 9.266, 8.567], 0),
        ("913b47b8-3cf1b886.jpg", "1032913"): (10, [145.997, 291.417, 39.916, 13.363], 0),
        ("913b47b8-3cf1b886.jpg", "38"): (3, [441.962, 317.833, 41.547, 31.195], 0),
        ("913b47b8-3cf1b886.jpg", "39"): (3, [478.003, 318.672, 19.873, 17.967], 0),
    },
}


def write(path: Path, out: Path, policy: str, *, inclusive: bool = False) -> dict[str, Any]:
    convert([Source(path)], Policy.load(policy), bdd_inclusive=inclusive).write(out)
    return json.loads(out.read_text())


def by_key(file: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    names = {image["id"]: image["file_name"] for image in file["images"]}
    return {(names[one["image_id"]], one["source_key"]): one for one in file["annotations"]}


@pytest.mark.parametrize("name", BY_HAND)
def test_boxes_are_those_written_out_by_hand(shared_data: Path, tmp_path: Path, name: str) -> None:
    path = shared_data / "bdd100k" / "labels" / name
    found = by_key(write(path, tmp_path / "out.json", "bdd100k", inclusive=True))
    for key, (category, box, crowd) in BY_HAND[name].items():
        one = found[key]
        assert (one["category_id"], one["iscrowd"]) == (category, crowd)
        assert one["bbox"] == pytest.approx(box, abs=1.01e-3)


@pytest.mark.parametrize("name", BY_HAND)
def test_every_label_follows_the_official_rule(shared_data: Path, tmp_path: Path, name: str) -> None:
    path = shared_data / "bdd100k" / "labels" / name
    found = by_key(write(path, tmp_path / "out.json", "bdd100k", inclusive=True))
    labels = {(frame["name"], one["id"]): one for frame in json.loads(path.read_text()) for one in frame["labels"]}
    assert found.keys() == labels.keys()
    for key, label in labels.items():
        box = label["box2d"]
        assert found[key]["category_id"] == IDS[label["category"]]
        assert found[key]["iscrowd"] == (label["attributes"].get("crowd", False) or label["category"] in IGNORED)
        assert found[key]["bbox"] == pytest.approx(
            [box["x1"], box["y1"], box["x2"] - box["x1"] + 1, box["y2"] - box["y1"] + 1], abs=1.01e-3
        )


def test_instance_masks_have_boxes_around_their_polygons(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "bdd100k" / "labels" / "ins_seg.json"
    found = by_key(write(path, tmp_path / "out.json", "bdd100k", inclusive=True))
    (frame,) = json.loads(path.read_text())["frames"]
    assert len(found) == len(frame["labels"]) == 31
    for label in frame["labels"]:
        xs, ys = zip(*(vertex for poly in label["poly2d"] for vertex in poly["vertices"]), strict=True)
        one = found[frame["name"], label["id"]]
        assert one["bbox"] == pytest.approx([min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)], abs=1.01e-3)
        assert (one["category_id"], one["derived"]) == (IDS[label["category"]], "polygon")


FILES = {
    "bdd100k/labels/00091078-875c1f73.json": ("default", {"person", "car"}),
    "bdd100k/labels/b1c66a42-6f7d68ca.json": ("bdd100k", {"rider", "car", "truck", "motorcycle"}),
    "bdd100k/labels/ins_seg.json": ("default", {"person", "bicycle", "car"}),
    "bdd100k/labels/det_list_form.json": ("bdd100k", {"car", "traffic light", "traffic sign"}),
    "coco/instances_train2017.json": ("default", {"person", "bicycle", "car"}),
}


@pytest.mark.parametrize("name", FILES)
def test_truth_judged_against_itself_is_perfect_in_every_class(shared_data: Path, tmp_path: Path, name: str) -> None:
    policy, classes = FILES[name]
    out = tmp_path / "out.json"
    write(shared_data / name, out, policy)
    with redirect_stdout(StringIO()):
        truth = COCO(str(out))
        boxes = [one for one in truth.dataset["annotations"] if not one["iscrowd"]]
        judged = COCOeval(truth, truth.loadRes([{**one, "score": 1.0} for one in boxes]), "bbox")
        judged.params.maxDets = [1, 100, 1000]
        judged.evaluate()
        judged.accumulate()
    perfect = {
        truth.cats[number]["name"]
        for position, number in enumerate(judged.params.catIds)
        if (judged.eval["precision"][:, :, position, 0, -1] > 1 - 1e-9).all()
    }
    assert perfect == classes


def test_torchvision_reads_images_with_their_boxes(save_json, save, tmp_path: Path) -> None:
    from torchvision.datasets import CocoDetection

    for seed, name in enumerate(("b.png", "a/a.png", "c.png")):
        save(tmp_path / "images" / name, 20, 30, seed)
    size = {"width": 30, "height": 20}
    label = {"category": "truck", "box2d": {"x1": 1, "y1": 2, "x2": 11, "y2": 12}}
    path = save_json(
        [
            {"name": "b.png", "size": size, "labels": []},
            {"name": "a/a.png", "size": size, "labels": [label, {**label, "category": "rider"}]},
            {"name": "c.png", "size": size},
        ]
    )
    write(path, tmp_path / "out.json", "default")
    with redirect_stdout(StringIO()):
        data = CocoDetection(str(tmp_path / "images"), str(tmp_path / "out.json"))
    assert len(data) == 2
    image, targets = data[0]
    assert (image.size, [(one["category_id"], one["bbox"]) for one in targets]) == (
        (30, 20),
        [(3, [1, 2, 10, 10]), (1, [1, 2, 10, 10])],
    )
    assert data[1][1] == []
