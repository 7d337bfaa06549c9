"""Made data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import OutputError
from nirgen.recipe.plan import Hashes
from nirgen.recipe.sample import write_sample

if TYPE_CHECKING:
    from pathlib import Path


def test_the_sample_is_the_same_every_time(tmp_path: Path) -> None:
    for name in "ab":
        write_sample(tmp_path / name, frames=2)
    hashes = Hashes(tmp_path / "hashes.json")
    assert hashes.of(tmp_path / "a") == hashes.of(tmp_path / "b")
    with pytest.raises(OutputError, match="isn't empty"):
        write_sample(tmp_path / "a")


def test_every_box_lies_inside_its_image(tmp_path: Path) -> None:
    write_sample(tmp_path / "a", frames=8)
    boxes = [box["bbox"] for box in json.loads((tmp_path / "a/real.json").read_text())["annotations"]]
    assert len(boxes) == 3 * 8 * 3
    assert all(x >= 0 and y >= 0 and x + width <= 128 and y + height <= 96 for x, y, width, height in boxes)
