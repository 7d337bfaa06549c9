from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nirgen.report.statistics import measure, measure_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
