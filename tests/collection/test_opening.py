from __future__ import annotations

import pytest

from nirgen.collection import open_collection
from nirgen.dataset.build import build
from nirgen.errors import NirgenError
from nirgen.labels import Category


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
