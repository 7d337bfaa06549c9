from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from nirgen import images
from nirgen.translate.manifest import read_manifest


@pytest.fixture
def photos(tmp_path, save):
    for number in range(3):
        save(tmp_path / f"photos/{number % 2}/{number}.jpg", seed=number)
    return tmp_path / "photos"


@pytest.fixture
def generated(tmp_path, photos, save):
    for path in photos.rglob("*.jpg"):
        name = path.relative_to(photos).with_suffix("")
        save(tmp_path / "made" / f"{name}_fake_B.png", seed=int(name.name) + 10, grey=True)
        save(tmp_path / "made" / f"{name}_real_A.png", seed=int(name.name))
    return tmp_path / "made"


@pytest.fixture
def adopt(nirgen):
    return lambda *words: nirgen("adopt", *words, "--name", "pix2pix of May", "--licence", "CC0-1.0")


def test_results_of_another_system_become_a_translation_folder(adopt, tmp_path, photos, generated):
    out = tmp_path / "nir"
    done = adopt(photos, generated, out)
    assert done[0] == 0
    assert f"{out}: 3 adopted, 0 done already" in done[1]
    manifest = read_manifest(out)
    assert [(row.source, row.output) for row in manifest.rows] == [
        ("0/0.jpg", "0/0.png"),
        ("0/2.jpg", "0/2.png"),
        ("1/1.jpg", "1/1.png"),
    ]
    assert (manifest.model["provenance"], manifest.model["licence"]) == ("made elsewhere by pix2pix of May", "CC0-1.0")
    for row in manifest.rows:
        made = generated / row.source.replace(".jpg", "_fake_B.png")
        assert np.array_equal(images.read(out / row.output), images.read(made))
    again = adopt(photos, generated, out)
    assert f"{out}: 0 adopted, 3 done already" in again[1]


def test_the_same_images_give_the_same_bytes(adopt, tmp_path, photos, generated):
    for name in ("a", "b"):
        assert adopt(photos, generated, tmp_path / name)[0] == 0
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.p*") if path.is_file())
    assert len(names) == 4
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_an_adopted_folder_is_built_into_a_dataset_and_explained(nirgen, adopt, tmp_path, photos, generated):
    assert adopt(photos, generated, tmp_path / "nir")[0] == 0
    labels = tmp_path / "labels.json"
    entries = [{"id": n, "file_name": f"{n % 2}/{n}.jpg", "width": 30, "height": 20} for n in range(3)]
    boxes = [{"id": n + 1, "image_id": n, "category_id": 1, "bbox": [2, 3, 9, 8], "area": 72} for n in range(3)]
    document = {"images": entries, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
    labels.write_text(json.dumps(document))
    words = (tmp_path / "d", "--generated", f"p2p={tmp_path / 'nir'}:{labels}", "--yes")
    assert nirgen("build-dataset", *words)[0] == 0
    validated = nirgen("validate", tmp_path / "d")
    assert "error" not in validated[1].replace("0 errors", "").replace("no errors", "")
    explained = nirgen("explain", tmp_path / "d", "p2p/0/0.jpg")
    assert "pix2pix of May" in explained[1]
    assert "CC0-1.0" in explained[1]


def test_an_image_of_another_size_fails_unless_it_is_resized(adopt, tmp_path, photos, generated, save):
    save(generated / "0/0_fake_B.png", 40, 60, seed=5, grey=True)
    done = adopt(photos, generated, tmp_path / "nir")
    assert done[0] == 3
    wanted = (
        "0_fake_B.png: 60x40 pixels, but its source has 30x20; if it shows the whole source, resize it with --resize"
    )
    assert wanted in done[2]
    assert "2 adopted, 0 done already, 1 failed" in done[1]
    assert adopt(photos, generated, tmp_path / "nir", "--resize")[0] == 0
    assert images.read(tmp_path / "nir/0/0.png").shape == (20, 30, 3)


def test_colour_becomes_the_mean_of_its_channels_and_is_noted(adopt, tmp_path, save):
    save(tmp_path / "photos/a.png")
    (tmp_path / "made").mkdir()
    Image.fromarray(np.full((20, 30, 3), (30, 60, 120), np.uint8)).save(tmp_path / "made/a.png")
    done = adopt(tmp_path / "photos", tmp_path / "made", tmp_path / "nir")
    assert "note: 1 image: generated in colour: mean of its channels" in done[1]
    assert (images.read(tmp_path / "nir/a.png") == 70).all()


def test_images_without_a_partner_are_named(adopt, tmp_path, photos, generated, save):
    (generated / "0/0_fake_B.png").unlink()
    save(generated / "9_nir.png", grey=True)
    done = adopt(photos, generated, tmp_path / "nir")
    assert done[0] == 0
    assert "note: 1 of SRC have no generated image: 0/0.jpg" in done[1]
    assert "note: 1 of GENERATED have no source: 9_nir.png" in done[1]


def test_endings_of_names_can_be_given(adopt, tmp_path, save):
    save(tmp_path / "photos/a.png")
    save(tmp_path / "made/a_nir.png", seed=3, grey=True)
    refused = adopt(tmp_path / "photos", tmp_path / "made", tmp_path / "nir")
    assert refused[0] == 1
    assert "no image has the name of one in" in refused[2]
    assert "what is added to the names with --ending" in refused[2]
    assert not (tmp_path / "nir").exists()
    assert adopt(tmp_path / "photos", tmp_path / "made", tmp_path / "nir", "--ending", "_nir")[0] == 0


def test_two_images_for_one_source_are_refused(adopt, tmp_path, photos, generated, save):
    save(generated / "0/0.png", grey=True)
    done = adopt(photos, generated, tmp_path / "nir")
    assert done[0] == 1
    assert "0_fake_B.png could belong to 0/0.jpg too; keep one of them" in done[2]


def test_other_generated_images_are_not_mixed_into_a_folder(adopt, tmp_path, photos, generated, save):
    assert adopt(photos, generated, tmp_path / "nir")[0] == 0
    save(generated / "0/0_fake_B.png", seed=77, grey=True)
    done = adopt(photos, generated, tmp_path / "nir")
    assert done[0] == 1
    assert "another" in done[2]
    assert adopt(photos, generated, tmp_path / "nir", "--redo")[0] == 0
    assert np.array_equal(images.read(tmp_path / "nir/0/0.png"), images.read(generated / "0/0_fake_B.png"))


def test_a_damaged_image_becomes_a_row(adopt, tmp_path, photos, generated):
    path = generated / "0/0_fake_B.png"
    path.write_bytes(path.read_bytes()[:100])
    done = adopt(photos, generated, tmp_path / "nir")
    assert done[0] == 3
    assert str(path) in done[2]
