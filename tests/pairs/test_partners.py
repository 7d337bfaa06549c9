from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from nirgen.pairs import PairList, find_pairs
from nirgen.pairs.partners import find_partners

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rotated(tmp_path: Path, scene) -> PairList:
    """Four pairs, of which the first three have each other's NIR images: a has b's, b has c's, c has a's."""
    for seed, name in enumerate("abcd"):
        for kind, pixels in zip(("rgb", "nir"), scene(seed=seed), strict=True):
            (tmp_path / "train" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "train" / kind / f"{name}.png")
    a, b, c, d = find_pairs(tmp_path).pairs
    moved = ((a, b), (b, c), (c, a))
    pairs = [replace(pair, nir=other.nir, nir_sha256=other.nir_sha256) for pair, other in moved]
    return PairList(tmp_path, (*pairs, d))


def test_each_pair_is_told_who_has_its_nir(rotated: PairList) -> None:
    assert find_partners(rotated, [0, 1, 2]) == {0: 2, 1: 0, 2: 1}


def test_a_nir_of_no_scene_in_the_list_is_nobodys(rotated: PairList) -> None:
    assert find_partners(rotated, [0, 1]) == {1: 0}
    assert find_partners(rotated, [0]) == {}
