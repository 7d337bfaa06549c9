from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError
from nirgen.labels import LabelFile, Policy, Source, convert, open_labels

if TYPE_CHECKING:
    from pathlib import Path


def test_any_format_opens_as_its_labels_file_would(save_json, coco, tmp_path: Path) -> None:
    path, out = save_json(coco(("truck", [0, 0, 5, 5]), ("dog", [1, 1, 5, 5]))), tmp_path / "out.json"
    convert([Source(path)], Policy.load("paper")).write(out)
    opened, read = open_labels(path, "paper"), LabelFile.read(out)
    assert (opened.path, opened.sha256) == (path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (opened.categories, opened.counts, opened.policy) == (read.categories, read.counts, "paper")
    assert [list(map(bytes, image.annotations)) for image in opened.images] == [
        list(map(bytes, image.annotations)) for image in read.images
    ]


def test_a_labels_file_stays_as_it_is(save_json, coco, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    convert([Source(save_json(coco(("dog", [0, 0, 5, 5]))))], Policy.load("identity")).write(out)
    opened = open_labels(out, "default")
    assert (opened.policy, [one.name for one in opened.categories]) == ("identity", ["dog"])
    assert opened.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()


def test_a_folder_is_known_by_the_hashes_of_its_files(save_json, tmp_path: Path) -> None:
    path = save_json([{"name": "a.jpg", "labels": []}], "folder/a.json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = hashlib.sha256(f"{digest}  a.json\n".encode()).hexdigest()
    assert open_labels(tmp_path / "folder").sha256 == expected


def test_nothing_can_not_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="not there"):
        open_labels(tmp_path / "none.json")
