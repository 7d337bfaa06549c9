"""Pictures of evaluations and of a training, drawn from real files."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from nirgen.detect.coco_eval import Result, match
from nirgen.detect.matching import match_images
from nirgen.detect.monitor import draw_curves
from nirgen.detect.pictures import draw_sections, sections_of, write_pictures
from nirgen.labels.file import Category

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.data import Split

BOX = (100, 100, 100, 50)


@pytest.fixture
def scenes(make_split: Callable[..., Split], save: Callable[..., Path], tmp_path: Path) -> tuple[Split, list[Result]]:
    """Three images, the last of which is damaged: a car that is found, one taken for a person, a missed bicycle."""
    split = make_split([("car", BOX)], [("car", BOX)], [("bicycle", BOX)])
    paths = [save(tmp_path / f"{number}.png", 300, 400, number, grey=True) for number in range(3)]
    paths[2].write_bytes(b"no image")
    images = tuple(replace(image, path=path) for image, path in zip(split.images, paths, strict=True))
    return replace(split, images=images), [Result(1, 3, BOX, 0.9), Result(2, 1, BOX, 0.8)]


def test_the_pictures_of_an_evaluation_are_the_same_each_time(
    scenes: tuple[Split, list[Result]], tmp_path: Path
) -> None:
    split, results = scenes
    for name in ("a", "b"):
        write_pictures(split, results, match(split, results), tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["confusion_matrix.png", "precision_recall.png", "predictions.png"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_objects_stand_beside_detections_with_class_score_and_file(scenes: tuple[Split, list[Result]]) -> None:
    split, results = scenes
    figure = draw_sections(sections_of(match_images(split, results, 0.5), split.names), split, "title")
    shown = [(axes.get_title(loc="left"), [text.get_text() for text in axes.texts]) for axes in _axes(figure)]
    assert shown[:2] == [
        ("objects: ranus/001.png", ["car"]),
        ("detections: 1 of 1 found", ["car 0.90"]),
    ]
    assert ("detections: 0 of 1 found, 1 confused", ["person 0.80"]) in shown
    assert ("objects: ranus/003.png", ["can't be read", "bicycle"]) in shown
    assert shown[-1] == ("car taken for person, 1 x\nranus/002.png", ["car", "person 0.80"])


def test_names_from_data_are_no_formulas_and_break_no_line(scenes: tuple[Split, list[Result]], tmp_path: Path) -> None:
    split, results = scenes
    names = {"car": "$\\frac$\nx", "person": "$a_{$", "bicycle": "\N{SNOWMAN}" * 50}
    images = []
    for image in split.images:
        boxes = tuple(replace(box, category=names[box.category]) for box in image.boxes)
        images.append(replace(image, key=f"$x^{image.key}", boxes=boxes))
    categories = tuple(Category(each.id, names[each.name], "thing") for each in split.categories)
    split = replace(split, images=tuple(images), categories=categories)
    write_pictures(split, results, match(split, results), tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_without_objects_and_detections_there_is_a_picture_that_says_so(make_split: Callable[..., Split]) -> None:
    split = make_split([])
    figure = draw_sections(sections_of(match_images(split, [], 0.5), split.names), split, "title")
    assert "no objects and no detections" in [text.get_text() for text in figure.subfigs[0].texts]


def _axes(figure: Any) -> list[Any]:
    """The plots that show an image."""
    return [axes for row in figure.subfigs for axes in row.axes if axes.images]


STEP = {"progress": 0.5, "loss": 3.0, "vfl": 1.0, "bbox": 1.0, "giou": 1.0, "learning_rate": 0.1}


def test_one_validation_is_a_visible_dot_below_the_losses() -> None:
    without = draw_curves([{"step": 1, **STEP}])
    validated = draw_curves([{"step": 1, **STEP}, {"step": 1, "validation": {"ap": 0.5, "ap50": 0.7, "ap/$x": 0.5}}])
    sizes = [Image.open(io.BytesIO(picture)).size for picture in (without, validated)]
    assert sizes == [(800, 360), (800, 660)]
    with Image.open(io.BytesIO(validated)) as picture:
        lower = np.asarray(picture.convert("RGB"))[330:, 80:500].astype(int)
    black = (lower.sum(axis=2) < 60).sum()
    coloured = (np.ptp(lower, axis=2) > 100).sum()
    assert black > 30  # the circle around the best
    assert coloured > 15  # the dots
