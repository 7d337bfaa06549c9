from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.detect.arms import Arm
from nirgen.detect.comparison import sum_up
from nirgen.detect.config import BootstrapConfig, CompareConfig
from nirgen.detect.report import FILES, as_dict, as_markdown, notes_on, sentence, write
from nirgen.escapes import markdown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.comparison import Comparison, Judged
    from nirgen.detect.data import Split


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


def test_where_nothing_was_learnt_nothing_is_claimed_and_the_remedy_is_told(
    compare: Callable[..., Comparison],
) -> None:
    found = compare([set()], [set(), set()], [set(), first(1)], images=200)  # 1 of 200 objects in one of two runs
    assert found.highest == pytest.approx(1 / 202)
    assert {each["verdict"] for each in as_dict(found)["differences"]} == {"unknown"}
    assert as_dict(found)["learnt"] is False
    told = (
        "nothing was learnt, for mAP is under 0.01 in every arm, 0.0050 at most (200 test images, 2 seeds). "
        "Train for more --steps, or from pretrained weights (--model)."
    )
    assert sentence(found) == f"Whether 1 generated images beside 1 real ones help can't be said: {told}"
    assert markdown(told) in as_markdown(found)


def test_arms_that_found_nothing_beside_a_pretrained_one_are_not_compared(compare: Callable[..., Comparison]) -> None:
    found = compare([first(30)], [set()], [set()])
    assert found.learnt
    assert found.difference("real+1x", "real").verdict == "unknown"
    assert "can't be said: neither arm found anything (60 test images, 1 seed" in sentence(found)


def test_one_test_image_gives_no_interval(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [set()], [first(1)], images=1)
    assert found.difference("real+1x", "real").verdict == "unknown"
    assert "1 test image, 1 seed" in sentence(found)


def test_images_that_nobody_has_labelled_are_noted(compare: Callable[..., Comparison]) -> None:
    found = compare([set()], [first(1)], [first(2)])
    assert not any("labelled" in note for note in notes_on(found))
    found = replace(found, split=replace(found.split, unlabelled=2))
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


ARMS = {
    Arm("pretrained", "as pretrained"): (2,),
    Arm("real", "+ real", ("r",) * 8, 8, 0): (4, 6),
    Arm("real+1x", "+ real + 1 x generated", ("r",) * 16, 8, 8): (7, 9),
}


@pytest.fixture
def compared(make_split: Callable[..., Split], judge: Callable[..., Judged]) -> Comparison:
    """Ten images with a car each, of which the runs find some."""
    judged = [judge(arm, seed, first(found)) for arm, counts in ARMS.items() for seed, found in enumerate(counts)]
    config = CompareConfig(seeds=(0, 1), bootstrap=BootstrapConfig(resamples=100))
    return sum_up(judged, make_split(*[[("car", (100, 100, 100, 50))]] * 10), config)


def test_rows_are_arms_and_columns_map_and_classes_with_the_papers_rows_marked(compared: Comparison) -> None:
    lines = [line for line in as_markdown(compared).splitlines() if line.startswith("|")]
    assert lines[0] == "| trained on | mAP | person | bicycle | car |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| as pretrained",
        "| \\+ real",
        "| \\+ real + 1 x generated",
        "| paper: RGB-pretrained",
        "| paper: + RANUS",
        "| paper: + RANUS + generated",
    ]
    assert lines[2].startswith("| as pretrained | 0.2079 (")  # 21 of 101
    assert " | - | - | " in lines[2]
    assert lines[7] == "| paper: + RANUS + generated | 0.3347 | 0.1704 | 0.2829 | 0.5507 |"


def test_the_sentence_the_counts_and_the_caveat_are_told(compared: Comparison) -> None:
    text = as_markdown(compared)
    assert markdown(sentence(compared)) in text
    assert "- \\+ real + 1 x generated: 8 real and 8 generated images" in text
    assert "equal budgets" in text
    assert "The paper's rows are of Co-DETR on RANUS" in text


def test_all_files_are_written_and_are_the_same_each_time(compared: Comparison, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(compared, tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "a" / "comparison.json").read_text())["sentence"] == sentence(compared)


def test_the_curve_shows_a_mean_and_a_dot_for_each_seed(compared: Comparison, tmp_path: Path) -> None:
    write(compared, tmp_path)
    with Image.open(io.BytesIO((tmp_path / "curve.png").read_bytes())) as image:
        assert image.size == (768, 480)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = (np.abs(pixels - [0x1F, 0x5F, 0xA8]).sum(axis=2) < 12).sum()
    orange = (np.abs(pixels - [0xC0, 0x5A, 0x1A]).sum(axis=2) < 12).sum()
    assert blue > 300
    assert orange > 60
