from __future__ import annotations

import json
from pathlib import Path

import pytest

from nirgen.collection.roots import find_rgb, recorded_inputs, rgb_roots, translated_from


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": 3}', '{"inputs": {"a": 3}}', "{}"])
def test_a_damaged_run_json_names_no_inputs(tmp_path, text) -> None:
    (tmp_path / "run.json").write_text(text)
    assert recorded_inputs(tmp_path) == {}


def test_sources_that_were_named_come_before_those_of_the_translation(tmp_path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"source": "/photos"}))
    assert rgb_roots({"folder": str(tmp_path), "sources": None}) == (Path("/photos"),)
    assert rgb_roots({"folder": str(tmp_path), "sources": "/moved"}) == (Path("/moved"),)


def test_partners_are_sought_beside_the_list_and_in_the_folder() -> None:
    assert rgb_roots({"folder": "/ranus/nir", "pairs": "/lists/pairs.csv"}) == (Path("/lists"), Path("/ranus/nir"))


def test_real_images_without_a_list_have_no_roots(tmp_path) -> None:
    assert rgb_roots({"folder": str(tmp_path), "labels": "x", "pairs": None}) == ()
    assert translated_from(tmp_path) is None


def test_an_image_is_found_in_the_first_folder_that_has_it(tmp_path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second/a.jpg").touch()
    roots = (tmp_path / "first", tmp_path / "second")
    assert find_rgb(roots, "a.jpg") == tmp_path / "second/a.jpg"
    assert find_rgb(roots, "b.jpg") is None
    assert find_rgb(roots, None) is None
