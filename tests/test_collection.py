from __future__ import annotations

import shutil

import pytest

from nirgen.collection import open_collection
from nirgen.dataset.build import build
from nirgen.errors import NirgenError
from nirgen.labels import Category
from nirgen.translate.run import translate_folder


def test_a_dataset_is_known_by_its_plan(dataset_inputs, plan_dataset, tmp_path) -> None:
    plan = plan_dataset(dataset_inputs())
    build(plan, tmp_path / "D")
    collection = open_collection(tmp_path / "D")
    assert (collection.kind, collection.name, collection.count) == ("dataset", "D", 6)
    assert collection.digest == plan.digest
    assert collection.origins == ("bdd", "ranus")
    assert collection.categories[2] == Category(3, "car", "thing")


def test_a_translation_folder_is_known_by_its_manifest(dataset_inputs, tmp_path) -> None:
    dataset_inputs()
    collection = open_collection(tmp_path / "bdd/nir")
    assert (collection.kind, collection.name, collection.count) == ("translation", "nir", 3)
    assert (collection.origins, collection.categories) == (("nir",), ())
    assert len(collection.digest) == 64


def test_a_folder_that_is_neither_is_refused(tmp_path) -> None:
    with pytest.raises(NirgenError, match=r"neither a dataset \(no dataset.json\) nor translated"):
        open_collection(tmp_path)
    with pytest.raises(NirgenError, match="not there; name a folder that 'nirgen build-dataset' or 'nirgen translate'"):
        open_collection(tmp_path / "gone")


def test_sources_of_no_origin_are_refused(dataset_inputs, tmp_path) -> None:
    dataset_inputs()
    with pytest.raises(NirgenError, match="has no origin 'bdd'; its origins: nir"):
        open_collection(tmp_path / "bdd/nir", {"bdd": tmp_path})


def test_sources_that_are_not_there_are_refused(dataset_inputs, tmp_path) -> None:
    dataset_inputs()
    with pytest.raises(NirgenError, match="no folder; name that of the RGB images of 'nir'"):
        open_collection(tmp_path / "bdd/nir", {"nir": tmp_path / "gone"})


@pytest.fixture
def translation(save, red, tmp_path):
    save(tmp_path / "rgb/a.jpg")
    save(tmp_path / "rgb/night/b.jpg", 24, 40, seed=1)
    (tmp_path / "rgb/broken.jpg").write_bytes(b"no image")
    translate_folder(tmp_path / "rgb", tmp_path / "nir", model=red)
    return tmp_path / "nir"


def test_rows_that_are_done_are_items_without_boxes(translation, tmp_path, red) -> None:
    items = list(open_collection(translation).items())
    assert [item.key for item in items] == ["nir/a.jpg", "nir/night/b.jpg"]
    item = items[1]
    assert (item.path, item.rgb) == (translation / "night/b.png", tmp_path / "rgb/night/b.jpg")
    assert (item.width, item.height, item.generated, item.model_id) == (40, 24, True, red.id)
    assert (item.id, item.split, item.boxes, item.origin) == (None, None, (), "nir")


def test_sources_that_have_moved_can_be_named(translation, tmp_path) -> None:
    shutil.move(tmp_path / "rgb", tmp_path / "photos")
    assert [item.rgb for item in open_collection(translation).items()] == [None, None]
    items = list(open_collection(translation, {"nir": tmp_path / "photos"}).items())
    assert items[0].rgb == tmp_path / "photos/a.jpg"


def test_a_translation_that_has_not_ended_is_refused(translation) -> None:
    (translation / ".nirgen").mkdir(exist_ok=True)
    (translation / ".nirgen/journal.jsonl").touch()
    with pytest.raises(NirgenError, match="its translation hasn't ended; finish it with the same 'nirgen translate'"):
        open_collection(translation)
