from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError
from nirgen.labels import Category, LabelFile, annotation, box_counts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def labels(**changes: Any) -> dict[str, Any]:
    known = {"area": 1, "source_key": "7", "source_category": "car"}
    values = {
        "info": {"nirgen": {"schema": 1, "version": "0", "policy": "default", "inputs": [], "counts": {"images": 2}}},
        "licenses": [{"id": 1, "name": "CC"}],
        "categories": [{"id": 1, "name": "person", "supercategory": "human"}, {"id": 2, "name": "car"}],
        "images": [
            {"id": 2, "file_name": "b.jpg", "width": 9, "height": 8},
            {"id": 1, "file_name": "a.jpg", "width": 9, "height": 8, "sequence": "s", "split": "val", "source_id": 4},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1], "iscrowd": 0, **known},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [1, 0, 1, 1], "iscrowd": 0, **known},
            {"id": 3, "image_id": 1, "category_id": 1, "bbox": [2, 0, 1, 1], "iscrowd": 1, **known},
        ],
        "unlabelled": [{"file_name": "c.jpg"}],
    }
    return values | changes


def test_a_file_is_read_with_its_annotations_at_their_images(save_json: Callable[..., Path]) -> None:
    path = save_json(labels())
    file = LabelFile.read(path)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert file.categories == (Category(1, "person", "human"), Category(2, "car", ""))
    assert (file.policy, file.counts, file.unlabelled) == ("default", {"images": 2}, ("c.jpg",))
    assert file.licenses == ({"id": 1, "name": "CC"},)
    first, second = file.images
    assert (first.file_name, first.sequence, first.split, first.extra) == ("a.jpg", "s", "val", {"source_id": 4})
    assert [annotation(raw)["bbox"][0] for raw in first.annotations] == [0, 1, 2]
    assert (second.file_name, second.sequence, second.annotations) == ("b.jpg", None, ())


def test_regions_to_ignore_are_not_counted(save_json: Callable[..., Path]) -> None:
    assert box_counts(LabelFile.read(save_json(labels())).images[0]) == {2: 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"info": {}}, "not written by 'nirgen labels'; convert it first: nirgen labels"),
        ({"info": {"nirgen": {"schema": 2, "policy": "", "inputs": [], "counts": {}}}}, "has schema 2"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "width": "9", "height": 8}]}, "not written by 'nirgen labels'"),
        ({"images": [{"id": 1, "file_name": "../a", "width": 9, "height": 8}], "annotations": []}, "has '..'"),
        ({"images": labels()["images"][:1] * 2, "annotations": []}, "two images have the id 2"),
        ({"unlabelled": [{"file_name": "/a.jpg"}]}, "is absolute"),
        ({"annotations": [labels()["annotations"][0] | {"bbox": [1, 2, 3]}]}, "not written by 'nirgen labels'"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "width": 0, "height": 8}]}, "not written by 'nirgen labels'"),
        ({"categories": []}, "annotation 1 refers to image 1 and category 2, one of which is missing"),
    ],
)
def test_what_is_no_labels_file_is_refused(save_json: Callable[..., Path], changes, message: str) -> None:
    path = save_json(labels(**changes))
    with pytest.raises(NirgenError) as error:
        LabelFile.read(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_missing_and_a_torn_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="can't be read"):
        LabelFile.read(tmp_path / "none.json")
    torn = tmp_path / "torn.json"
    torn.write_text(json.dumps(labels())[:-20])
    with pytest.raises(NirgenError, match="damaged"):
        LabelFile.read(torn)
    with pytest.raises(NirgenError, match="not written by"):
        LabelFile.parse(b"[]", torn)


def test_an_image_whose_name_ends_lines_has_no_labels(save_json: Callable[..., Path]) -> None:
    images = [{"id": n, "file_name": name, "width": 9, "height": 8} for n, name in enumerate(["a\u2028.jpg", "b.jpg"])]
    file = LabelFile.read(save_json(labels(images=images, annotations=[])))
    assert [image.file_name for image in file.images] == ["b.jpg"]


@pytest.mark.parametrize("value", ["1e400", "[" * 2000 + "]" * 2000, '"\\ud800"'])
def test_a_damaged_annotation_is_one_line_when_it_is_needed(save_json: Callable[..., Path], value: str) -> None:
    path = save_json(labels())
    path.write_text(path.read_text().replace('"bbox": [0, 0, 1, 1]', f'"bbox": [0, 0, 1, 1], "other": {value}'))
    with pytest.raises(NirgenError, match="damaged"):
        list(map(annotation, LabelFile.read(path).images[0].annotations))
