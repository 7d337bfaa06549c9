from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from nirgen.dataset.build import build
from nirgen.dataset.plan import Leak


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
    assert "such as ranus/a\\|b\\`\\<i\\>.jpg." in text
