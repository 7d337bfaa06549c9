from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.detect.arms import Arm
from nirgen.detect.bootstrap import BootstrapConfig
from nirgen.detect.comparison import sum_up
from nirgen.detect.results import Result
from nirgen.detect.runs import CompareConfig, Judged, Run
from nirgen.detect.table7 import as_markdown, write
from nirgen.detect.telling import sentence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.comparison import Comparison
    from nirgen.detect.truth import Truth

ARMS = {
    Arm("pretrained", "as pretrained"): (2,),
    Arm("real", "+ real", ("r",) * 8, 8, 0): (4, 6),
    Arm("real+1x", "+ real + 1 x generated", ("r",) * 16, 8, 8): (7, 9),
}


@pytest.fixture
def compared(make_truth: Callable[..., Truth]) -> Comparison:
    """Ten images with a car each, of which the runs find some."""
    judged = [
        Judged(
            Run(arm, seed if arm.trained else None),
            "a" * 64,
            tuple(Result(image, 3, (100, 100, 100, 50), 0.5) for image in range(1, found + 1)),
        )
        for arm, counts in ARMS.items()
        for seed, found in enumerate(counts)
    ]
    config = CompareConfig(seeds=(0, 1), bootstrap=BootstrapConfig(resamples=100))
    return sum_up(judged, make_truth(*[[("car", (100, 100, 100, 50))]] * 10), config)


def test_rows_are_arms_and_columns_map_and_classes_with_the_papers_rows_marked(compared: Comparison) -> None:
    lines = [line for line in as_markdown(compared).splitlines() if line.startswith("|")]
    assert lines[0] == "| trained on | mAP | person | bicycle | car |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| as pretrained",
        "| + real",
        "| + real + 1 x generated",
        "| paper: RGB-pretrained",
        "| paper: + RANUS",
        "| paper: + RANUS + generated",
    ]
    assert lines[2].startswith("| as pretrained | 0.2079 (")  # 21 of 101
    assert " | - | - | " in lines[2]
    assert lines[7] == "| paper: + RANUS + generated | 0.3347 | 0.1704 | 0.2829 | 0.5507 |"


def test_the_sentence_the_counts_and_the_caveat_are_told(compared: Comparison) -> None:
    text = as_markdown(compared)
    assert sentence(compared) in text
    assert "- + real + 1 x generated: 8 real and 8 generated images" in text
    assert "equal budgets" in text
    assert "The paper's rows are of Co-DETR on RANUS" in text


def test_all_files_are_written_and_are_the_same_each_time(compared: Comparison, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(compared, tmp_path / name)
    for name in ("comparison.json", "table7.md", "curve.png"):
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
