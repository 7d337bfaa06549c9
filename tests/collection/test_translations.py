from __future__ import annotations

import shutil

import pytest

from nirgen.collection import open_collection
from nirgen.errors import NirgenError
from nirgen.translate.run import translate_folder


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
