from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nirgen.report import ReportOptions
from nirgen.report.gallery import choose, describe, excesses_of, make_gallery, reasons
from nirgen.report.pictures import Painter
from nirgen.report.survey import survey
from nirgen.scores import BoxScores

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.dataset.read import Image
    from nirgen.report.survey import Survey


HERE = Path(__file__)


@pytest.fixture
def surveyed(item: Callable[..., Image], given_items: type, given_scores: type) -> Callable[..., Survey]:
    """Survey images by key and trouble; a dict says what else is known of an image."""

    def make(
        troubles: dict[str, float | None],
        others: dict[str, dict] | None = None,
        boxes: dict[str, BoxScores] | None = None,
    ) -> Survey:
        items = [item(key, **{"path": HERE, "rgb": HERE} | (others or {}).get(key, {})) for key in troubles]
        scores = {key: {} if trouble is None else {"trouble": trouble} for key, trouble in troubles.items()}
        return survey(given_items(items), given_scores(scores, boxes), sampled=0)

    return make


def test_the_worst_come_first_and_the_best_are_none_of_them(surveyed: Callable[..., Survey]) -> None:
    found = surveyed({"a/1": 0.1, "a/2": 0.9, "a/3": 0.5, "a/4": 0.9, "a/5": None, "a/6": 0.05})
    choice = choose(found, ReportOptions(images=3), [])
    assert choice.worst == {True: [1, 3, 2]}
    assert choice.best == {True: [5, 0]}
    assert choose(found, ReportOptions(images=1), []).worst == {True: [1]}


def test_real_images_are_ranked_apart_from_generated_ones(surveyed: Callable[..., Survey]) -> None:
    real = {"generated": False}
    found = surveyed(
        {"a/1": 0.5, "a/2": 0.1, "b/1": 0.9, "b/2": 0.95, "b/3": 0.1}, dict.fromkeys(("b/1", "b/2", "b/3"), real)
    )
    choice = choose(found, ReportOptions(images=4), [])
    assert choice.worst == {True: [0], False: [3, 2]}
    assert choice.best == {True: [1], False: [4]}


def test_where_nothing_stands_out_nothing_is_the_worst_or_the_best(surveyed: Callable[..., Survey]) -> None:
    found = surveyed({"a/1": 0.01, "a/2": 0.19, "a/3": 0.05}, boxes={"a/1#1": BoxScores(1.0, 0.1)})
    choice = choose(found, ReportOptions(), [])
    assert (choice.worst, choice.best, choice.boxes) == ({True: []}, {True: []}, [])
    assert choice.compared == {2: ("median",)}


def test_an_image_without_its_file_is_not_shown(surveyed: Callable[..., Survey]) -> None:
    found = surveyed({"a/1": 0.9, "a/2": 0.3}, {"a/1": {"path": Path("gone")}})
    assert choose(found, ReportOptions(), []).worst == {True: [1]}


def test_the_worst_boxes_leave_room_for_other_images(surveyed: Callable[..., Survey]) -> None:
    many = [("car", 0.0, 0.0, 9.0, 9.0)] * 5
    boxes = {f"a/1#{number}": BoxScores(0.0, 1 - number / 100) for number in range(1, 6)}
    boxes |= {"a/2#1": BoxScores(0.9, 0.2), "a/2#2": BoxScores(None, None)}
    found = surveyed({"a/1": 0.9, "a/2": 0.1}, {"a/1": {"boxes": many}, "a/2": {"boxes": many[:2]}}, boxes)
    shown = choose(found, ReportOptions(boxes=24), []).boxes
    assert [(int(found.boxes.frame[box]), int(found.boxes.number[box])) for box in shown] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
    ]
    assert len(choose(found, ReportOptions(boxes=2), []).boxes) == 2


def test_what_is_compared_is_the_worst_the_median_the_best_night_and_each_class(
    surveyed: Callable[..., Survey],
) -> None:
    troubles = {f"a/{number}": number / 10 for number in range(1, 8)}
    others = {
        "a/2": {"boxes": [("car", 0.0, 0.0, 9.0, 9.0)]},
        "a/3": {"attributes": {"timeofday": "night"}},
        "a/6": {"boxes": [("person", 0.0, 0.0, 9.0, 9.0)]},
    }
    compared = choose(surveyed(troubles, others), ReportOptions(), ["person", "bicycle", "car"]).compared
    assert compared == {6: ("worst",), 3: ("median",), 0: ("best",), 2: ("night",), 5: ("person",), 1: ("car",)}


def test_one_image_can_be_an_example_of_several_things(surveyed: Callable[..., Survey]) -> None:
    others = {"a/1": {"boxes": [("car", 0.0, 0.0, 9.0, 9.0)]}}
    assert choose(surveyed({"a/1": 0.5}, others), ReportOptions(), ["car"]).compared == {0: ("worst", "median", "car")}


def test_no_more_is_compared_than_asked_and_nothing_without_rgb(surveyed: Callable[..., Survey]) -> None:
    found = surveyed({"a/1": 0.9, "a/2": 0.5, "a/3": 0.1}, {"a/1": {"rgb": None}})
    assert choose(found, ReportOptions(frames=1), []).compared == {1: ("worst",)}
    assert choose(found, ReportOptions(frames=0), []).compared == {}


def test_another_recording_is_shown_before_one_that_was_shown(surveyed: Callable[..., Survey]) -> None:
    boxes = {"boxes": [("car", 0.0, 0.0, 9.0, 9.0)]}
    recordings = {"a/1": "01", "a/2": "03", "a/3": "01", "a/4": "01", "a/5": "02"}
    others = {key: boxes | {"sequence": recording} for key, recording in recordings.items()}
    found = surveyed({f"a/{number}": number / 10 for number in range(1, 6)}, others)
    compared = choose(found, ReportOptions(), ["car"]).compared
    assert compared == {4: ("worst",), 2: ("median",), 0: ("best",), 1: ("car",)}


def test_the_reasons_are_the_scores_that_are_worse_than_ordinary_the_worst_first(
    surveyed: Callable[..., Survey],
) -> None:
    found = surveyed({f"a/{number}": 0.1 for number in range(30)})
    found.scores["structure"][:] = [0.1, *[0.6] * 28, np.nan]
    found.scores["noise"][:] = [1, 60, *[0.1] * 28]
    found.scores["sharpness"][:] = [0.5, *[1] * 28, 1.7]
    excesses = excesses_of(found)
    assert [set(reasons(excesses, number)) for number in (0, 1, 2, 29)] == [
        {"structure", "sharpness", "noise"},
        {"noise"},
        set(),
        set(),
    ]
    assert [excesses[name][0] for name in reasons(excesses, 0)] == sorted(
        (values[0] for values in excesses.values() if values[0] >= 2), reverse=True
    )


@pytest.fixture
def gallery(
    item: Callable[..., Image], given_items: type, given_scores: type, save_scene: Callable[..., Path], tmp_path: Path
) -> dict[str, Any]:
    """Two generated images, one of them with a box of low fidelity, and a real image."""
    files = {"path": save_scene(tmp_path / "nir.png", 1), "rgb": save_scene(tmp_path / "rgb.png", 1, colour=True)}
    collection = given_items(
        [
            item("bdd/a", [("car", 20, 16, 40, 32)], **files),
            item("bdd/b", **files),
            item("cam/a", [], generated=False, split="val", **files),
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


def test_a_card_says_how_bad_an_image_is_and_why(gallery: dict[str, Any]) -> None:
    group = gallery["worst"][0]
    assert (group["kind"], group["count"], group["highest"]) == ("generated", 2, "0.90")
    first = group["cards"][0]
    assert (first["key"], first["trouble"], first["about"]) == ("bdd/a", "0.90", "generated, train; 1 car")
    assert re.fullmatch(r"structure 0\.1 \(\d\.\d spreads, median 0\.25\)", first["because"][0])
    assert first["picture"] is not None
    assert first["picture"].outlines[0].title == "car, fidelity 0.12, vanished"


def test_a_kind_in_which_nothing_stands_out_says_so_and_has_no_best_images(gallery: dict[str, Any]) -> None:
    assert [(group["kind"], len(group["cards"]), group["highest"]) for group in gallery["worst"]] == [
        ("generated", 2, "0.90"),
        ("real", 0, "0.10"),
    ]
    assert gallery["best"] == []


def test_a_box_is_shown_with_its_class_its_fidelity_and_its_tags(gallery: dict[str, Any]) -> None:
    (card,) = gallery["boxes"]
    assert [card[name] for name in ("key", "category", "colour", "fidelity")] == ["bdd/a#1", "car", "#3cbe5a", 0.125]
    assert card["tags"] == ["vanished"]
    assert None not in (card["nir"], card["rgb"])


def test_an_image_is_compared_with_its_photo(gallery: dict[str, Any]) -> None:
    titles = {each["key"]: (each["title"], each["kind"]) for each in gallery["comparisons"]}
    assert titles["bdd/a"] == ("the worst, shows car", "generated NIR")
    assert titles["bdd/b"] == ("the median", "generated NIR")


def test_a_description_counts_the_classes_and_what_is_to_ignore(item: Callable[..., Image]) -> None:
    boxes = [("person", 0, 0, 9, 9), ("car", 0, 0, 9, 9), ("car", 1, 0, 9, 9), ("ignore", 0, 0, 9, 9)]
    made = item("bdd/a", boxes, attributes={"timeofday": "night"})
    assert describe(made) == "generated, train, night; 2 car, 1 person, 1 to ignore"
    assert describe(item("nir/a", split=None)) == "generated"
