from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.evaluate.folders import images_by_key
from nirgen.pairs.listing import list_images
from nirgen.translate.manifest import iter_rows
from nirgen.translate.preview import write_preview
from nirgen.translate.run import translate_folder


def paint(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 16, 3), level, np.uint8)).save(path)


@pytest.fixture
def translated(tmp_path, red):
    """Translate 40 dark photos of one folder, in which one is bright, and two photos of other folders."""
    for number in range(40):
        paint(tmp_path / f"photos/drive/{number:02}.png", 250 if number == 33 else 40)
    for name in ("park/1.png", "yard/1.png"):
        paint(tmp_path / "photos" / name, 40)
    translate_folder(tmp_path / "photos", tmp_path / "nir", model=red)
    return tmp_path / "nir"


@pytest.fixture
def shown(monkeypatch):
    """The captions of the sheets that are drawn."""
    drawn = []
    draw = images.contact_sheet

    def record(rows, **settings):
        drawn.append([row.captions for row in rows])
        return draw(rows, **settings)

    monkeypatch.setattr(images, "contact_sheet", record)
    return drawn


def test_the_choice_is_spread_over_folders(translated, shown):
    write_preview(translated, translated.parent / "photos", model="red")
    (captions,) = shown
    assert len(captions) == 6
    assert {source.split("/")[0] for source, _ in captions} == {"drive", "park", "yard"}
    assert all(source == output for source, output in captions)


def test_the_choice_is_spread_over_brightness(tmp_path, red, shown):
    for number in range(12):
        paint(tmp_path / f"photos/{number:02}.png", (220 if number == 7 else 10) + number)
    translate_folder(tmp_path / "photos", tmp_path / "nir", model=red)
    write_preview(tmp_path / "nir", tmp_path / "photos", model="red")
    assert {"07.png", "00.png", "11.png"} <= {source for source, _ in shown[0]}


def test_a_preview_is_the_same_for_the_same_folder_and_no_image_of_it(translated, red, tmp_path):
    photos = tmp_path / "photos"
    file = write_preview(translated, photos, model="red")
    assert file == translated / "preview.png"
    first, images_before = file.read_bytes(), [row.output for row in iter_rows(translated)]
    summary = translate_folder(photos, translated, model=red)
    assert (summary.unchanged, summary.stray) == (42, 0)
    file.unlink()
    write_preview(translated, photos, model="red")
    assert file.read_bytes() == first
    assert [row.output for row in iter_rows(translated)] == images_before
    assert len(list_images(translated)) == len(images_by_key(translated)) == 42


def test_a_preview_is_drawn_anew_only_for_other_images(translated, red, tmp_path, shown):
    photos = tmp_path / "photos"
    for _ in range(2):
        write_preview(translated, photos, model="red")
    assert len(shown) == 1
    paint(photos / "new/1.png", 120)
    translate_folder(photos, translated, model=red)
    write_preview(translated, photos, model="red")
    assert len(shown) == 2


def test_a_preview_that_lacks_an_image_is_drawn_anew(translated, tmp_path, shown):
    photos = tmp_path / "photos"
    (translated / "park/1.png").rename(tmp_path / "1.png")
    write_preview(translated, photos, model="red")
    (tmp_path / "1.png").rename(translated / "park/1.png")
    for _ in range(2):
        write_preview(translated, photos, model="red")
    assert [("park/1.png", "park/1.png") in captions for captions in shown] == [False, True]


def test_an_image_or_a_strange_file_is_never_replaced_by_a_preview(tmp_path, red):
    paint(tmp_path / "photos/preview.jpg", 99)
    translate_folder(tmp_path / "photos", tmp_path / "nir", model=red)
    before = (tmp_path / "nir/preview.png").read_bytes()
    assert write_preview(tmp_path / "nir", tmp_path / "photos", model="red") is None
    assert (tmp_path / "nir/preview.png").read_bytes() == before
    assert set(images_by_key(tmp_path / "nir")) == {"preview"}


def test_a_photo_that_becomes_preview_png_takes_the_preview_s_place(tmp_path, red):
    paint(tmp_path / "photos/a.jpg", 99)
    translate_folder(tmp_path / "photos", tmp_path / "nir", model=red)
    write_preview(tmp_path / "nir", tmp_path / "photos", model="red")
    paint(tmp_path / "photos/preview.jpg", 99)
    summary = translate_folder(tmp_path / "photos", tmp_path / "nir", model=red)
    assert (summary.translated, summary.unchanged, summary.stray) == (1, 1, 0)
    assert images.read(tmp_path / "nir/preview.png").shape == (12, 16, 3)


def test_photos_that_are_gone_are_left_out_and_without_any_there_is_no_preview(translated, tmp_path, shown):
    photos = tmp_path / "photos"
    (photos / "park/1.png").unlink()
    write_preview(translated, photos, model="red", file=tmp_path / "look.png")
    assert "park/1.png" not in {source for source, _ in shown[0]}
    write_preview(translated, photos, model="red")
    photos.rename(tmp_path / "elsewhere")
    (translated / "preview.png").write_bytes(images.encode_preview(np.zeros((2, 2, 3), np.uint8), "old"))
    assert write_preview(translated, photos, model="red") is None
    assert not (translated / "preview.png").exists()
