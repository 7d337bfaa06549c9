from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from nirgen.dataset.annotations import label_images
from nirgen.dataset.build import build
from nirgen.dataset.card import draw_classes
from nirgen.dataset.contents import Contents
from nirgen.dataset.drawing import COLOURS
from nirgen.dataset.examples import Examples
from nirgen.dataset.plan import Leak
from nirgen.dataset.store import Placed


def card_of(plan, folder) -> str:
    build(plan, folder / "d")
    return (folder / "d/README.md").read_text(encoding="utf-8")


def test_the_card_counts_images_and_boxes(small_plan, tmp_path) -> None:
    text = card_of(small_plan, tmp_path)
    assert "7 near-infrared images with boxes of person, bicycle, car: 4 generated from RGB images, 3 taken" in text
    assert (
        "| split | images | generated | real | empty | person | bicycle | car | to ignore |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| train | 5 | 4 | 1 | 2 | 1 | 1 | 2 | 1 |\n"
        "| val | 1 | 0 | 1 | 0 | 1 | 1 | 1 | 0 |\n"
        "| test | 1 | 0 | 1 | 0 | 0 | 0 | 0 | 1 |\n"
    ) in text
    assert "| bdd | generated | 4 | 0 | 0 |\n| ranus | real | 1 | 1 | 1 |\n" in text


def test_the_card_says_what_was_merged_ignored_and_dropped(small_plan, tmp_path) -> None:
    text = card_of(small_plan, tmp_path)
    assert "| person | person (1), rider (1) |\n| bicycle | bicycle (2) |\n| car | car (2), truck (1) |\n" in text
    assert "| regions to ignore | train (2) |\n" in text
    assert (
        "- Labels of bdd: bdd.json, policy default. Dropped: traffic light (4). Without a usable box: no width" in text
    )
    assert "Images with regions to ignore and no boxes: 1, such as ranus/03/c.jpg." in text
    assert "left after scaling were dropped: 1, such as bdd/n/c.jpg#@0." in text
    assert "| bdd | 2 | failed to be translated | x\\|y.jpg, z.jpg |\n" in text


def test_of_many_dropped_names_the_first_few_are_told(small_plan, tmp_path) -> None:
    names = [{"name": f"n{number:02}", "labels": 30 - number, "became": "dropped"} for number in range(20)]
    ranus = replace(small_plan.label_files[1], counts={"names": names})
    text = card_of(replace(small_plan, label_files=(small_plan.label_files[0], ranus)), tmp_path)
    assert "Dropped: n00 (30), n01 (29), " in text
    assert "n14 (16), 5 others (65)." in text  # 15 + 14 + 13 + 12 + 11


def test_the_card_states_the_licences_of_all_parts(make_small_plan, tmp_path) -> None:
    plan = make_small_plan(tmp_path / "in", licence="CC BY-NC 4.0")
    plan = replace(plan, generators=(replace(plan.generators[0], licence="research only"),))
    text = card_of(plan, tmp_path)
    assert yaml.safe_load(text.split("---")[1])["license_name"] == "CC BY-NC 4.0"
    assert "| model abcdef12, which made 'bdd' | research only (restricts use) |\n" in text
    assert "| images and labels of 'bdd' (bdd.json) | **not stated** |\n" in text
    assert "| images and labels of 'ranus' (ranus.json) | CC BY 4.0 |\n" in text
    assert "**Parts restrict what the dataset may be used for**" in text


def test_the_card_names_leaks_that_were_allowed(make_small_plan, tmp_path) -> None:
    plan = make_small_plan(tmp_path / "in", allow_leak=True)
    leaks = [Leak("file", f"ranus/02/b{number}.png", "val", "bdd/a.jpg") for number in range(25)]
    text = card_of(replace(plan, leaks=tuple(leaks)), tmp_path)
    assert "**Images of validation or test that training has seen: 25.**" in text
    assert text.count("| file | bdd/a.jpg |") == 20
    assert "The other 5 are in `dataset.json`." in text


def test_the_card_says_where_unlabelled_images_are_taken_for_empty(small_plan, with_image, tmp_path) -> None:
    text = card_of(with_image(small_plan, 1, labels=None), tmp_path)
    assert "**Images that nobody has labelled are here as images without objects: 1.**" in text


@pytest.mark.parametrize(
    ("files", "words"),
    [("symlink", "Images are symbolic links"), ("hardlink", "Images may be hard links"), ("copy", None)],
)
def test_the_card_says_what_the_images_share_with_their_sources(make_small_plan, tmp_path, files, words) -> None:
    text = card_of(make_small_plan(tmp_path / "in", files=files), tmp_path)
    assert ("links" in text) is (words is not None)
    assert words is None or words in text


def test_names_can_not_break_a_table(small_plan, with_image, tmp_path) -> None:
    text = card_of(with_image(small_plan, 6, key="ranus/a|b`<i>.jpg"), tmp_path)
    assert "such as ranus/a\\|b\\`\\<i>.jpg." in text


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_examples_are_images_with_annotations_of_both_kinds(small_plan) -> None:
    assert Examples.of(small_plan).wanted == {
        *("bdd/a.jpg", "bdd/n/c.jpg", "bdd/n/d.jpg"),
        *("ranus/01/a.png", "ranus/02/b.png", "ranus/03/c.jpg"),
    }


def test_there_are_six_examples_spread_over_all_images(small_plan) -> None:
    generated, real = small_plan.images[0], small_plan.images[5]
    many = [replace(generated, key=f"bdd/{number:02}") for number in range(20)]
    few = [replace(real, key=f"ranus/{number:02}") for number in range(2)]
    plan = replace(small_plan, images=(*many, *few))
    assert Examples.of(plan).wanted == {"bdd/00", "bdd/06", "bdd/13", "bdd/19", "ranus/00", "ranus/01"}


def test_examples_are_of_as_many_recordings_as_there_are(small_plan) -> None:
    generated = small_plan.images[0]
    sizes = {"a": 1, "b": 30, "c": 2, "d": 3}
    names = [(sequence, number) for sequence, size in sizes.items() for number in range(size)]
    many = [replace(generated, key=f"bdd/{each}{number:02}", sequence=each) for each, number in names]
    assert Examples.of(replace(small_plan, images=tuple(many))).wanted == {
        *("bdd/a00", "bdd/b00", "bdd/b29", "bdd/c00", "bdd/d00", "bdd/d02")
    }
    several = [replace(generated, key=f"bdd/{number:02}", sequence=str(number // 2)) for number in range(40)]
    shown = Examples.of(replace(small_plan, images=tuple(several))).wanted
    assert sorted(int(key[-2:]) // 2 for key in shown) == [0, 4, 8, 11, 15, 19]
    folders = [replace(generated, key=f"bdd/{each}/{number}", sequence=None) for each in "xyz" for number in range(9)]
    shown = Examples.of(replace(small_plan, images=tuple(folders))).wanted
    assert sorted(key.split("/")[1] for key in shown) == list("xxyyzz")


def test_boxes_are_drawn_where_they_are(small_plan, tmp_path) -> None:
    build(small_plan, tmp_path / "d")
    picture = np.asarray(Image.open(tmp_path / "d/card/examples.png"))
    assert picture.shape[1] == 12 + 4 * 320 + 3 * 6 + 12
    # bdd/n/d.jpg, the third of the first row, has a bicycle at [1, 1, 10, 5] of 30x20, shown 320/30 as large
    left, top, scale = 12 + 2 * (320 + 6), 12, 320 / 30
    y, x = round(top + 3.5 * scale), round(left + scale)
    assert tuple(picture[y, x]) == COLOURS[2]
    assert tuple(picture[y, x + 20]) != COLOURS[2]


def test_an_example_is_beside_its_rgb_image_if_that_is_as_it_was(small_plan, with_image, tmp_path) -> None:
    (tmp_path / "rgb/n").mkdir(parents=True)
    given = small_plan.config.generated[0].model_copy(update={"sources": tmp_path / "rgb"})
    plan = replace(small_plan, config=small_plan.config.model_copy(update={"generated": (given,)}))
    for position, name in ((0, "a.jpg"), (3, "n/d.jpg")):
        Image.fromarray(np.full((20, 30, 3), (200, 30, 30), np.uint8)).save(tmp_path / "rgb" / name)
        digest = hashlib.sha256((tmp_path / "rgb" / name).read_bytes()).hexdigest()
        plan = with_image(plan, position, source_sha256=digest if name == "a.jpg" else "6" * 64)
    build(plan, tmp_path / "d")
    picture = np.asarray(Image.open(tmp_path / "d/card/examples.png")).astype(int)
    red = (picture[..., 0] - picture[..., 1] > 100).mean(axis=0)
    assert red[12 + 20 : 12 + 300].min() > 0.2  # the first column, of bdd/a.jpg's photo
    assert red[12 + 2 * 326 + 20 : 12 + 2 * 326 + 300].max() < 0.2  # n/d.jpg has changed


def test_the_same_counts_give_the_same_histogram(small_plan) -> None:
    contents = Contents()
    for labelled in label_images(small_plan):
        contents.add(labelled, Placed("0" * 64, 10, "copy"))
    first, second = (draw_classes(contents, small_plan.categories) for _ in range(2))
    assert first == second
    assert opened(first).shape[1] > opened(first).shape[0]


def test_a_dataset_without_annotations_has_no_examples(small_plan, with_image, tmp_path) -> None:
    plan = small_plan
    for position in range(len(plan.images)):
        plan = with_image(plan, position, labels=None)
    build(plan, tmp_path / "d")
    assert [path.name for path in (tmp_path / "d/card").iterdir()] == ["classes.png"]
    assert "examples.png" not in (tmp_path / "d/README.md").read_text()
