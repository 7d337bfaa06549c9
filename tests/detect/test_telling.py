from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nirgen.detect.telling import as_dict, notes_on, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.detect.comparison import Comparison


def first(count: int) -> set[int]:
    return set(range(1, count + 1))


def test_one_seed_says_that_the_spread_is_unknown(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(20)], [first(50)])
    assert "(95 % interval +0." in sentence(found)
    assert "over images; 60 test images, 1 seed, so the spread over seeds is unknown)" in sentence(found)
    assert any(note.startswith("one seed: how much chance in training") for note in notes_on(found))


def test_without_resamples_nothing_is_claimed(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(20), first(22)], [first(50), first(51)], resamples=0)
    assert found.difference("real+1x", "real").verdict == "unknown"
    assert "whether that exceeds the noise is unknown" in sentence(found)
    assert found.arms[1].numbers["ap"].low is None


def test_where_no_arm_found_anything_nothing_is_claimed(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [set()], [set()])
    assert found.difference("real+1x", "real").verdict == "unknown"
    assert "can't be said: neither arm found anything (60 test images, 1 seed" in sentence(found)


def test_one_test_image_gives_no_interval(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [set()], [first(1)], images=1)
    assert found.difference("real+1x", "real").verdict == "unknown"
    assert "1 test image, 1 seed" in sentence(found)


def test_images_that_nobody_has_labelled_are_noted(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(1)], [first(2)])
    assert not any("labelled" in note for note in notes_on(found))
    found = replace(found, truth=replace(found.truth, unlabelled=2))
    assert "2 images of 'test' are left out, for nobody has labelled them" in notes_on(found)


def test_every_arm_is_compared_with_the_pretrained_and_with_the_real_one(compare: Callable[..., Comparison]) -> None:
    found = as_dict(compare([set()], [first(1)], [first(2)]))
    assert [(each["arm"], each["minus"]) for each in found["differences"]] == [
        ("real", "pretrained"),
        ("real+1x", "pretrained"),
        ("real+1x", "real"),
    ]
    assert [(arm["name"], arm["steps"], arm["generated"]) for arm in found["arms"]] == [
        ("pretrained", 0, 0),
        ("real", 2000, 0),
        ("real+1x", 2000, 1),
    ]
    assert "seed" not in found["config"]["train"]
