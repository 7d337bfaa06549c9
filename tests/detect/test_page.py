from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.detect.arms import Arm
from nirgen.detect.comparison import sum_up
from nirgen.detect.config import BootstrapConfig, CompareConfig
from nirgen.detect.page import PAGE, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.detect.comparison import Comparison, Judged
    from nirgen.detect.data import Split


ARMS = {
    Arm("pretrained", "as pretrained"): (0,),
    Arm("real", "+ real", ("r",), 1): (8, 9),
    Arm("real+1x", "+ real + 1 x <generated>", ("g", "r"), 1, 1): (28, 29),
    Arm("real+grey", "+ real + 1 x RGB in grey", ("g", "r"), 1, look="grey"): (15, 16),
}


@pytest.fixture
def compared(make_split: Callable[..., Split], judge: Callable[..., Judged], tmp_path: Path) -> Comparison:
    """Thirty images with a car each, the first of which can't be read."""
    split = make_split(*[[("car", (100, 100, 100, 50))]] * 30)
    Image.fromarray(np.full((300, 400), 90, np.uint8)).save(tmp_path / "image.png")
    images = [replace(image, path=tmp_path / "image.png") for image in split.images]
    images[0] = replace(images[0], path=tmp_path / "none.png")
    judged = [
        judge(arm, seed, set(range(1, count + 1))) for arm, counts in ARMS.items() for seed, count in enumerate(counts)
    ]
    config = CompareConfig(seeds=(0, 1), bootstrap=BootstrapConfig(resamples=100))
    return sum_up(judged, replace(split, images=tuple(images)), config)


def test_the_page_tells_the_answer_the_arms_and_what_each_finds(compared: Comparison, tmp_path: Path) -> None:
    write(compared, tmp_path, ["so small a <gain> could be shown"])
    text = (tmp_path / PAGE).read_text()
    assert "Use 1 generated images for each real one: mAP +0." in text
    assert "nirgen build-dataset NEW --generated DIR:LABELS" in text
    assert "car +0.6" in text
    assert len(re.findall('class="minus-real"', text)) == len(re.findall('class="minus-grey"', text)) == 3
    assert len(re.findall('class="seed"', text)) == 7  # pretrained, and two of each arm
    assert len(re.findall(r"<tr><td>", text)) == 4
    assert "+ real + 1 x &lt;generated&gt;" in text
    assert "so small a &lt;gain&gt; could be shown" in text
    assert "+ real: 0 of 1 found" in text
    assert "+ real + 1 x &lt;generated&gt;: 1 of 1 found" in text


def test_the_page_loads_nothing_and_is_the_same_each_time(compared: Comparison, tmp_path: Path) -> None:
    write(compared, tmp_path)
    before = (tmp_path / PAGE).read_bytes()
    write(compared, tmp_path)
    assert (tmp_path / PAGE).read_bytes() == before
    sources = re.findall(rb'(?:src|href)="([^"]{0,20})', before)
    assert sources
    assert all(source.startswith((b"data:image/jpeg", b"#picture")) for source in sources)
    assert b"default-src 'none'" in before
