from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.report.survey import Place, measure, measure_files, survey
from nirgen.scores import BoxScores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.dataset.read import Image


@pytest.fixture
def walked(item: Callable[..., Image], given_items: type, given_scores: type, tmp_path: Path) -> tuple:
    """A collection of four images: two at hand, one without boxes, one in another split."""
    (tmp_path / "a.png").touch()
    (tmp_path / "d.png").touch()
    items = [
        item("bdd/a", [("car", 0, 0, 30, 30), ("person", 0, 0, 4, 9), ("ignore", 0, 0, 9, 9)], path=tmp_path / "a.png"),
        item("bdd/b", rgb_name="b.jpg", attributes={"timeofday": "Night"}),
        item("cam/c", [("car", 0, 0, 10, 40)], generated=False, split="val"),
        item("cam/d", [], generated=False, split="test", path=tmp_path / "d.png"),
    ]
    boxes = {"bdd/a#1": BoxScores(0.25, 0.75, ("vanished",)), "bdd/a#2": BoxScores(0.5, 0.5, ("vanished", "smeared"))}
    return given_items(items), given_scores({"bdd/a": {"trouble": 0.5}, "cam/d": {"noise": 3.0}}, boxes)


def test_images_and_boxes_are_counted_where_they_are_and_regions_to_ignore_are_no_boxes(walked: tuple) -> None:
    tallies = survey(*walked, sampled=0).tallies
    assert list(tallies) == [
        Place("train", "bdd", generated=True),
        Place("val", "cam", generated=False),
        Place("test", "cam", generated=False),
    ]
    first = tallies[Place("train", "bdd", generated=True)]
    assert (first.images, first.empty, dict(first.boxes), first.ignored) == (2, 1, {"car": 1, "person": 1}, 1)


def test_every_box_has_its_side_its_scores_and_its_image(walked: tuple) -> None:
    boxes = survey(*walked, sampled=0).boxes
    assert boxes.frame.tolist() == [0, 0, 2]
    assert boxes.number.tolist() == [0, 1, 0]
    assert boxes.side.tolist() == [30, 6, 20]
    assert boxes.fidelity.tolist()[:2] == [0.25, 0.5]
    assert np.isnan(boxes.fidelity[2])


def test_a_score_that_is_not_known_is_nan_and_no_number(walked: tuple) -> None:
    found = survey(*walked, sampled=0)
    assert np.isnan(found.trouble).tolist() == [False, True, True, True]
    assert found.scores["noise"].tolist()[3] == 3.0
    assert found.generated.tolist() == [True, True, False, False]
    assert found.tags == {"vanished": 2, "smeared": 1}


def test_files_that_are_missing_are_counted_with_examples(walked: tuple) -> None:
    found = survey(*walked, sampled=0)
    assert found.no_nir == ("bdd/b", "cam/c")
    assert found.no_rgb == ("bdd/b",)


def test_night_is_known_from_the_label(walked: tuple) -> None:
    assert [frame.night for frame in survey(*walked, sampled=0).frames] == [False, True, False, False]


def test_only_files_that_are_there_are_sampled_and_no_more_than_asked(walked: tuple) -> None:
    samples = survey(*walked, sampled=1).samples
    assert [path.name for path in samples[True]] == ["a.png"]
    assert [path.name for path in samples[False]] == ["d.png"]
    assert survey(*walked, sampled=0).samples == {True: (), False: ()}


def test_the_walk_says_how_far_it_is(walked: tuple) -> None:
    told: list[tuple[str, int, int]] = []
    survey(*walked, 0, lambda *words: told.append(words))
    assert told == [("read", 4, 4)]


def test_a_flat_image_has_one_level_and_no_gradient() -> None:
    measured = measure(np.full((8, 8), 100, np.uint8))
    assert measured.levels[25] == 1
    assert measured.slopes[0] == 1
    assert measured.numbers == {"mean": 100, "spread": 0, "black": 0, "white": 0, "slope": 0}


def test_a_ramp_has_the_gradient_of_its_steps() -> None:
    measured = measure(np.tile(np.arange(0, 80, 5, dtype=np.uint8), (8, 1)))
    assert measured.numbers["slope"] == pytest.approx(5)
    assert measured.slopes.max() == 1


def test_black_and_white_are_percentages_of_the_pixels() -> None:
    measured = measure(np.array([[0, 255, 255, 9]] * 4, np.uint8))
    assert (measured.numbers["black"], measured.numbers["white"]) == (25, 50)


def test_both_kinds_are_measured_and_files_that_cannot_be_read_are_left_out(
    save_scene: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    generated = [save_scene(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    told: list[tuple[str, int, int]] = []
    found = measure_files({True: generated, False: [tmp_path / "broken.png"]}, lambda *words: told.append(words))
    assert list(found) == [True]
    assert found[True].images == 3
    assert found[True].levels.sum() == pytest.approx(1)
    assert told[-1] == ("measure", 4, 4)
