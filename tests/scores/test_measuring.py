from __future__ import annotations

from dataclasses import replace

import pytest

from nirgen.scores.measuring import basis_of, measure

ROOF = (240.0, 200.0, 120.0, 80.0)


def test_an_item_is_measured_with_its_boxes(make_item, scene, near_infrared) -> None:
    found = measure(make_item(near_infrared, scene, ROOF, (0.0, 0.0, 5.0, 5.0)))
    assert (found.key, found.note, found.beside_rgb) == ("bdd/a.jpg", "", True)
    assert found.image.structure > 0.8
    assert found.boxes[0].agreement > 0.75
    assert found.boxes[1] is None


def test_the_same_files_give_the_same_measures(make_item, scene, near_infrared) -> None:
    item = make_item(near_infrared, scene, ROOF)
    assert measure(item) == measure(item)


@pytest.mark.parametrize("of", ["path", "rgb"])
@pytest.mark.parametrize(("content", "what"), [(None, "missing"), (b"no image", "damaged")])
def test_a_file_that_is_gone_or_damaged_becomes_a_note(make_item, scene, near_infrared, of, content, what) -> None:
    item = make_item(near_infrared, scene, ROOF)
    path = getattr(item, of)
    path.unlink() if content is None else path.write_bytes(content)
    found = measure(item)
    assert found.note == f"{'NIR' if of == 'path' else 'RGB'} image {what}"
    assert found.boxes == (None,)
    assert (found.image is None) == (of == "path")


def test_an_rgb_image_that_changed_is_not_compared_with(make_item, scene, near_infrared) -> None:
    found = measure(replace(make_item(near_infrared, scene, ROOF), rgb_sha256="0" * 64))
    assert (found.note, found.beside_rgb, found.boxes) == ("RGB image changed", False, (None,))
    assert found.image.structure is None


def test_an_image_that_is_too_small_has_no_scores(make_item, scene, near_infrared) -> None:
    found = measure(make_item(near_infrared[:60], scene[:60], ROOF))
    assert (found.image, found.note, found.boxes) == (None, "", (None,))


def test_the_basis_changes_with_files_and_boxes_and_with_nothing_else(make_item, scene, near_infrared) -> None:
    item = make_item(near_infrared, scene, ROOF)
    basis = basis_of(item, with_rgb=True)
    moved = (replace(item.boxes[0], bbox=(241.0, 200.0, 120.0, 80.0)),)
    relabelled = (replace(item.boxes[0], category="person"),)
    changes = [{"sha256": "1" * 64}, {"rgb_sha256": "1" * 64}, {"boxes": ()}, {"boxes": moved}, {"boxes": relabelled}]
    others = {basis_of(replace(item, **change), with_rgb=True) for change in changes} | {basis_of(item, with_rgb=False)}
    assert len(others - {basis}) == 6
    elsewhere = replace(item, path=item.path / "x", rgb=None, split="val", attributes={"weather": "rainy"})
    assert basis_of(elsewhere, with_rgb=True) == basis
