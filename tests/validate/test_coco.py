from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.errors import NirgenError
from nirgen.validate.coco import NOWHERE, read_coco
from nirgen.validate.findings import Findings

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path):
    findings = Findings()
    return read_coco(path, "train", path.parent, findings), findings.sorted()


def test_a_sound_file_becomes_columns(coco, store) -> None:
    file, findings = read(store(coco))
    assert findings == ()
    assert file.images.names == ("1.png", "2.png", "3.png")
    assert file.images.widths.tolist() == [48, 48, 48]
    assert file.annotations.images.tolist() == [0, 0, 1, 1, 2]
    assert file.annotations.categories.tolist() == [0, 2, 1, 2, 2]
    assert file.annotations.xywh[4].tolist() == [10.5, 8.25, 12, 10]
    assert file.annotations.crowd.tolist() == [False, False, False, True, False]
    assert file.categories.names == ("person", "bicycle", "car")
    assert file.box(4) == "train.json: annotation 5 of '3.png': [10.5, 8.25, 12, 10]"


def test_what_can_not_be_used_leaves_a_gap_in_its_column_only(coco, store) -> None:
    coco["annotations"][1] |= {"id": "two", "bbox": [1, 2, 3], "area": None}
    file, findings = read(store(coco))
    assert {finding.check: finding.examples for finding in findings} == {
        "bad-id": ("train.json: annotation at position 1: id 'two'",),
        "bad-box": ("train.json: annotation at position 1: bbox [1, 2, 3]",),
        "bad-area": ("train.json: annotation at position 1: area None",),
    }
    assert np.isnan(file.annotations.xywh[1]).all()
    assert file.annotations.images[1] == 0
    assert file.annotation(1) == "train.json: annotation at position 1 of '1.png'"


def test_text_ids_still_refer_to_their_image(coco, store) -> None:
    coco["images"][0]["id"] = "one"
    for annotation in coco["annotations"][:2]:
        annotation["image_id"] = "one"
    file, findings = read(store(coco))
    assert [(finding.check, finding.count) for finding in findings] == [("bad-id", 3)]
    assert file.annotations.images.tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("value", [None, [7], {"a": 1}, True, 1.5])
def test_what_is_no_id_refers_to_nothing(coco, store, value: object) -> None:
    coco["annotations"][0]["image_id"] = value
    coco["images"][0]["id"] = 9
    file, findings = read(store(coco))
    assert file.annotations.images[0] == NOWHERE
    assert findings[0].check == "bad-id"


def test_nan_is_found_as_no_json_and_as_no_box(coco, store) -> None:
    coco["annotations"][0]["bbox"][2] = float("nan")
    _, findings = read(store(coco))
    assert [finding.check for finding in findings] == ["lax-json", "bad-box"]


def test_an_entry_that_is_no_object_lacks_all_keys(coco, store) -> None:
    coco["annotations"].append(None)
    _, findings = read(store(coco))
    assert findings[0].examples == (
        "train.json: annotation at position 5: no id, image_id, category_id, bbox, area, iscrowd",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "no JSON"),
        ("", "no JSON"),
        ("[]", "no COCO annotations"),
        ('{"images": []}', "no COCO annotations"),
        ('{"images": 1, "annotations": []}', "no COCO annotations"),
        ('{"images": [], "annotations": [{"id": "\\ud800"}]}', "no JSON"),
    ],
)
def test_what_is_no_annotation_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(NirgenError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match=r"can't be read \(No such file or directory\); name a COCO annotation file"):
        read(tmp_path / "a.json")


def test_a_byte_order_mark_is_found(coco, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(coco), encoding="utf-8-sig")
    file, findings = read(tmp_path / "a.json")
    assert [finding.check for finding in findings] == ["lax-json"]
    assert len(file.annotations) == 5
