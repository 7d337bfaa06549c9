from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from nirgen.dataset.build import build
from nirgen.dataset.folder import Looked, altered, foreign, is_dataset, look_at, read_dataset
from nirgen.errors import ImageError, NirgenError
from nirgen.files import seal, unseal
from nirgen.progress import in_threads, or_error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def dataset(small_plan, tmp_path):
    return build(small_plan, tmp_path / "d").out


def change(dataset, **values: object) -> None:
    path = dataset / "dataset.json"
    path.write_text(json.dumps(seal(unseal(json.loads(path.read_text())) | values)))


def test_a_dataset_says_what_it_holds(dataset, small_plan) -> None:
    info = read_dataset(dataset)
    assert is_dataset(dataset)
    assert (info.folder, info.digest, info.categories) == (dataset, small_plan.digest, small_plan.categories)
    assert info.splits["val"]["boxes"] == {"person": 1, "bicycle": 1, "car": 1}
    everything = {path.relative_to(dataset).as_posix() for path in dataset.rglob("*") if path.is_file()}
    assert set(info.files) == everything - {"dataset.json", "run.json"}
    assert list(altered(info)) == []
    assert list(foreign(info)) == []


def test_missing_and_altered_files_are_found(dataset) -> None:
    image = dataset / "images/bdd/a.png"
    image.unlink()
    (dataset / "annotations/val.json").write_text("{}")
    seen = []
    assert list(altered(read_dataset(dataset), lambda *word: seen.append(word))) == [
        "annotations/val.json",
        "images/bdd/a.png",
    ]
    assert seen[-1] == ("check", len(seen), len(seen))


def test_files_of_others_are_found(dataset) -> None:
    (dataset / "images/bdd/mine.png").touch()
    (dataset / "link").symlink_to("..")
    assert sorted(foreign(read_dataset(dataset))) == ["images/bdd/mine.png", "link"]


def test_a_dataset_of_another_schema_is_refused(dataset) -> None:
    change(dataset, schema=2)
    with pytest.raises(NirgenError, match="has schema 2, and this nirgen reads 1; build the dataset again"):
        read_dataset(dataset)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', "\xff"])
def test_a_damaged_dataset_is_one_line(dataset, text: str) -> None:
    (dataset / "dataset.json").write_text(text, encoding="latin-1")
    with pytest.raises(NirgenError, match=r"dataset\.json: damaged or of another program"):
        read_dataset(dataset)


def test_a_file_outside_of_a_dataset_is_none_of_its_own(dataset) -> None:
    change(dataset, files={"../x": "0"})
    with pytest.raises(NirgenError, match=r"the name '\.\./x' has '\.\.'"):
        read_dataset(dataset)


def test_another_folder_is_no_dataset(tmp_path) -> None:
    assert not is_dataset(tmp_path)
    with pytest.raises(NirgenError, match="no dataset of nirgen's"):
        read_dataset(tmp_path)


def test_results_come_in_the_order_of_the_files_and_errors_are_results(save, tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{seed}.png", seed=seed) for seed in range(40)]
    paths[7].write_text("no image")
    paths[9].unlink()
    told: list[tuple[str, int, int]] = []
    results = list(in_threads(or_error(look_at, ImageError), paths, "look", lambda *step: told.append(step)))
    assert [isinstance(result, ImageError) for result in results] == [number in {7, 9} for number in range(40)]
    data = paths[3].read_bytes()
    assert results[3] == Looked(hashlib.sha256(data).hexdigest(), len(data), (20, 30), form=("PNG", 3))
    assert told == [("look", done, 40) for done in range(1, 41)]


def test_a_file_that_is_only_hashed_need_not_be_an_image(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert look_at(tmp_path / "a", with_size=False) == Looked(hashlib.sha256(b"abc").hexdigest(), 3)
