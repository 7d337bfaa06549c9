from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nirgen.detect.truth import read_truth
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.truth import Truth


def test_all_images_of_the_split_are_read_empty_ones_too(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=3)
    truth = read_truth(folder, "test")
    assert [entry.image.key for entry in truth.entries] == [f"ranus/test/0{number}.png" for number in range(3)]
    assert [len(entry.boxes) for entry in truth.entries] == [2, 1, 0]
    assert truth.names == ("person", "bicycle", "car")
    assert all(path.is_file() for path in truth.paths())
    assert truth.dataset_sha256 == hashlib.sha256((folder / "dataset.json").read_bytes()).hexdigest()


def test_a_dataset_without_the_split_is_refused_with_the_remedy(
    made_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=0)
    with pytest.raises(NirgenError) as error:
        read_truth(folder, "test")
    assert "has no split 'test'" in str(error.value)
    assert "--split train=0.8,val=0.1,test=0.1" in str(error.value)


def test_another_split_that_is_there_is_named(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=0, test=2)
    with pytest.raises(NirgenError, match="judge on --split test"):
        read_truth(folder, "val")


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="no dataset of nirgen's"):
        read_truth(tmp_path, "test")


def test_generated_images_are_left_out_of_the_real_ones(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=3)
    _call_generated(folder, 2)
    truth = read_truth(folder, "test")
    assert truth.generated == 2
    assert [entry.image.key for entry in truth.real().entries] == ["ranus/test/02.png"]
    _call_generated(folder, 3)
    with pytest.raises(NirgenError, match="has no real images to judge detectors on"):
        read_truth(folder, "test").real()


def test_images_that_nobody_has_labelled_are_left_out(
    made_dataset: Callable[..., Path], unlabel: Callable[..., Path], tmp_path: Path
) -> None:
    folder = unlabel(made_dataset(tmp_path / "D", real=1, generated=1, test=3), "ranus/test/01.png")
    truth = read_truth(folder, "test")
    assert [entry.image.key for entry in truth.entries] == ["ranus/test/00.png", "ranus/test/02.png"]
    listed = {
        image["key"]: image["id"] for image in json.loads((folder / "annotations/test.json").read_text())["images"]
    }
    assert (truth.unlabelled, truth.left_out) == (1, {listed["ranus/test/01.png"]})
    unlabel(folder, *listed)
    with pytest.raises(NirgenError, match="nobody has labelled an image of the split 'test'"):
        read_truth(folder, "test")


def test_names_that_leave_the_dataset_are_refused(made_dataset: Callable[..., Path], tmp_path: Path) -> None:
    folder = made_dataset(tmp_path / "D", real=1, generated=1, test=3)
    path = folder / "annotations" / "test.json"
    document = json.loads(path.read_text())
    document["images"][0]["file_name"] = "../photos/00.png"
    path.write_text(json.dumps(document))
    with pytest.raises(NirgenError, match=r"has '\.\.'"):
        read_truth(folder, "test").paths()


def test_images_of_a_recording_are_drawn_together(make_truth: Callable[..., Truth]) -> None:
    truth = make_truth([], [], [], sequences=("s1", "s1", None))
    assert len(set(truth.groups("images"))) == 3
    assert truth.groups("sequences")[0] == truth.groups("sequences")[1] != truth.groups("sequences")[2]


@pytest.fixture
def unlabel() -> Callable[..., Path]:
    """Make a dataset say that nobody has labelled images of `test`."""

    def make(folder: Path, *keys: str) -> Path:
        path = next(folder.glob("provenance*"))
        table = pq.read_table(path)
        label_files = [
            None if key in keys else file
            for key, file in zip(table["key"].to_pylist(), table["label_file"].to_pylist(), strict=True)
        ]
        place = table.schema.get_field_index("label_file")
        pq.write_table(table.set_column(place, table.schema.field(place), pa.array(label_files, pa.string())), path)
        info = json.loads((folder / "dataset.json").read_text())
        info["splits"]["test"]["unlabelled"] = len(keys)
        (folder / "dataset.json").write_text(json.dumps(info))
        return folder

    return make


def _call_generated(folder: Path, count: int) -> None:
    path = folder / "annotations" / "test.json"
    document = json.loads(path.read_text())
    for image in document["images"][:count]:
        image["kind"] = "generated"
    path.write_text(json.dumps(document))
