from __future__ import annotations

import io

import numpy as np
from PIL import Image

from nirgen.dataset.annotations import label_images
from nirgen.dataset.build import build
from nirgen.dataset.contents import Contents
from nirgen.dataset.pictures import COLOURS, Examples, draw_classes
from nirgen.dataset.placing import Placed


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_examples_are_images_with_annotations_of_both_kinds(small_plan) -> None:
    assert Examples.of(small_plan).wanted == {
        *("bdd/a.jpg", "bdd/n/c.jpg", "bdd/n/d.jpg"),
        *("ranus/01/a.png", "ranus/02/b.png", "ranus/03/c.jpg"),
    }


def test_boxes_are_drawn_where_they_are(small_plan, tmp_path) -> None:
    build(small_plan, tmp_path / "d")
    picture = np.asarray(Image.open(tmp_path / "d/card/examples.png"))
    assert picture.shape == (20 + 2 * (211 + 20), 20 + 3 * (375 + 20), 3)
    # bdd/n/d.jpg, the third of the first row, has a bicycle at [1, 1, 10, 5] of 30x20, shown 211/20 as large
    left, top, scale = 20 + 2 * (375 + 20), 20, 211 / 20
    y, x = round(top + 3.5 * scale), round(left + scale)
    assert tuple(picture[y, x]) == COLOURS[2]
    assert tuple(picture[y, x + 20]) != COLOURS[2]


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
