from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.report import ReportOptions
from nirgen.report.choosing import choose
from nirgen.report.gallery import describe, make_gallery
from nirgen.report.pictures import Painter
from nirgen.report.survey import survey
from nirgen.scores import BoxScores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.collection import Item
    from nirgen.report.gallery import Gallery


@pytest.fixture
def gallery(
    item: Callable[..., Item], given_items: type, given_scores: type, save_scene: Callable[..., Path], tmp_path: Path
) -> Gallery:
    """Of two generated images, one with a box in trouble and a real image of the same scene."""
    files = {"path": save_scene(tmp_path / "nir.png", 1), "rgb": save_scene(tmp_path / "rgb.png", 1, colour=True)}
    collection = given_items(
        [
            item("bdd/a", [("car", 20, 16, 40, 32)], rgb_sha256="7" * 64, **files),
            item("bdd/b", **files),
            item("cam/a", [], generated=False, split="val", rgb_sha256="7" * 64, **files),
        ]
    )
    scores = given_scores(
        {
            "bdd/a": {"trouble": 0.9, "structure": 0.1},
            "bdd/b": {"trouble": 0.5, "structure": 0.4},
            "cam/a": {"trouble": 0.1, "structure": 0.8},
        },
        {"bdd/a#1": BoxScores(0.125, 0.9, ("vanished",))},
    )
    found = survey(collection, scores, sampled=0)
    choice = choose(found, ReportOptions(), ["person", "car"])
    return make_gallery(found, choice, collection.items(), scores, Painter({"person": "#ffbe00", "car": "#3cbe5a"}))


def test_a_card_says_how_bad_an_image_is_and_why(gallery: Gallery) -> None:
    first = gallery.worst[0]
    assert (first.key, first.trouble, first.about) == ("bdd/a", "0.90", "generated, train; 1 car")
    assert first.because == ("structure 0.1, the worst of all",)
    assert first.picture is not None
    assert first.picture.outlines[0].title == "car, fidelity 0.12, vanished"


def test_the_best_images_have_nothing_to_be_said_against_them(gallery: Gallery) -> None:
    assert [(card.key, card.because) for card in gallery.best] == [("cam/a", ())]


def test_a_box_is_shown_with_its_class_its_fidelity_and_its_tags(gallery: Gallery) -> None:
    (card,) = gallery.boxes
    assert (card.key, card.category, card.colour, card.fidelity) == ("bdd/a#1", "car", "#3cbe5a", 0.125)
    assert card.tags == ("vanished",)
    assert card.nir is not None
    assert card.rgb is not None


def test_an_image_is_compared_with_its_photo_and_with_the_real_image_of_its_scene(gallery: Gallery) -> None:
    of_a = [(each.title, each.left[0], each.right[0]) for each in gallery.comparisons if each.key == "bdd/a"]
    assert of_a == [
        ("the worst, with a real NIR image of the same scene, shows car", "RGB", "generated NIR"),
        ("real and generated NIR of one scene", "real NIR", "generated NIR"),
    ]


def test_a_description_counts_the_classes_and_what_is_to_ignore(item: Callable[..., Item]) -> None:
    boxes = [("person", 0, 0, 9, 9), ("car", 0, 0, 9, 9), ("car", 1, 0, 9, 9), ("ignore", 0, 0, 9, 9)]
    made = item("bdd/a", boxes, attributes={"timeofday": "night"})
    assert describe(made) == "generated, train, night; 2 car, 1 person, 1 to ignore"
    assert describe(item("nir/a", split=None)) == "generated"
