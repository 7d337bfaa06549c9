from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nirgen.errors import NirgenError
from nirgen.pairs import Pair
from nirgen.pairs.duplicates import (
    copies_across_splits,
    find_duplicates,
    find_leaks,
    find_near_copies,
    fingerprint,
    refuse_copies,
)


def pair(name: str, split: str, rgb: str = "", nir: str = "") -> Pair:
    return Pair(name, f"{name}.png", f"{name}.tif", name, split, "", rgb or f"rgb of {name}", nir or f"nir of {name}")


def as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_copies_are_told_by_the_bytes_of_either_image() -> None:
    pairs = [pair("a", "train", "x"), pair("b", "train"), pair("c", "train", "x"), pair("d", "val", "y", "nir of b")]
    assert find_duplicates(pairs) == {2: 0, 3: 1}


def test_exact_copies_leak_only_across_splits() -> None:
    pairs = [pair("a", "train", "x"), pair("b", "train", "x"), pair("c", "val", "x"), pair("d", "val")]
    assert find_leaks(pairs, [None] * 4) == {0: (2, 0), 1: (2, 0), 2: (0, 0)}


def test_pairs_with_the_bytes_of_another_split_are_named() -> None:
    pairs = [pair("a", "train", "x"), pair("b", "train", "x"), pair("c", "val", "x"), pair("d", "test", nir="nir of b")]
    copies = copies_across_splits(pairs)
    assert [(one.name, other.name) for one, other in copies] == [("c", "a"), ("d", "b")]
    with pytest.raises(NirgenError) as caught:
        refuse_copies(pairs)
    assert str(caught.value) == (
        "val/c has the bytes of train/a, and 1 more pair across splits; remove one of each from the list"
    )
    refuse_copies(pairs[:2])


@pytest.mark.parametrize("how", ["quality 75", "quality 30", "half as large", "larger", "darker"])
def test_a_copy_that_was_encoded_anew_or_resized_leaks(scene, how: str) -> None:
    rgb, _ = scene(seed=3)
    copy = {
        "quality 75": lambda: as_jpeg(rgb, 75),
        "quality 30": lambda: as_jpeg(rgb, 30),
        "half as large": lambda: np.asarray(Image.fromarray(rgb).resize((64, 48))),
        "larger": lambda: np.asarray(Image.fromarray(rgb).resize((160, 120))),
        "darker": lambda: (rgb * 0.7).astype(np.uint8),
    }[how]()
    prints = [fingerprint(scene(seed=1)[0]), fingerprint(rgb), fingerprint(copy), fingerprint(scene(seed=2)[0])]
    pairs = [pair("a", "train"), pair("b", "train"), pair("c", "val"), pair("d", "val")]
    leaks = find_leaks(pairs, prints)
    assert {position: other for position, (other, _) in leaks.items()} == {1: 2, 2: 1}


def test_images_without_contrast_are_no_copies_of_each_other() -> None:
    prints = [fingerprint(np.full((32, 32, 3), level, np.uint8)) for level in (0, 200)]
    assert find_leaks([pair("a", "train"), pair("b", "val")], prints) == {}


def test_many_pairs_are_compared_in_blocks() -> None:
    random = np.random.default_rng(0)
    prints = [fingerprint(random.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(300)]
    pairs = [pair(str(number), "train" if number < 299 else "val") for number in range(300)]
    prints[299] = prints[280]
    assert find_leaks(pairs, prints) == {280: (299, 0), 299: (280, 0)}


def test_near_copies_are_sought_among_others_only(scene) -> None:
    first, second = fingerprint(scene(seed=1)[0]), fingerprint(scene(seed=2)[0])
    assert find_near_copies([first, first, None], [None, second, first]) == {0: (2, 0), 1: (2, 0)}
    assert find_near_copies([first], []) == find_near_copies([], [first]) == {}
