"""Planted faults on real frames come out on top: each among the worst 5 % of its kind."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage

from nirgen import images
from nirgen.collection import open_collection
from nirgen.scores import Scores
from nirgen.scores.measures import measure
from nirgen.scores.table import finish, to_rows
from nirgen.translate.options import TranslateOptions
from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nirgen.dataset.read import Box, Image
    from nirgen.scores.measures import Measured

    Pixels = NDArray[np.uint8]


WORST = 0.05
OBJECTS = 12
SIZE = (288, 512)
LEFT_OUT = ("0000169", "0000170", "0000171", "0000004", "0000005", "0000006")
"""Frames of two recordings that have three others here."""


def blurred(patch: Pixels, rng: np.random.Generator) -> Pixels:
    sigma = max(1.5, 0.08 * float(np.sqrt(patch.size)))
    return ndimage.gaussian_filter(patch.astype(float), sigma).round().astype(np.uint8)


def erased(patch: Pixels, rng: np.random.Generator) -> Pixels:
    """Filled from its border inwards, as if the road went on, with a trace of noise."""
    height, width = patch.shape
    down, right = np.linspace(0.05, 1.05, height)[:, None], np.linspace(0.05, 1.05, width)[None]
    sides = (patch[:, :1], patch[:, -1:], patch[:1], patch[-1:])
    weights = (1 / right, 1 / (1.1 - right), 1 / down, 1 / (1.1 - down))
    filled = sum(side * weight for side, weight in zip(sides, weights, strict=True)) / sum(weights)
    return np.clip(ndimage.gaussian_filter(filled, 1) + rng.normal(0, 1, patch.shape), 0, 255).astype(np.uint8)


def slightly_blurred(image: Pixels) -> Pixels:
    return ndimage.gaussian_filter(image.astype(float), 1.5).round().astype(np.uint8)


def inverted(patch: Pixels, rng: np.random.Generator) -> Pixels:
    """Negative in a part of 60 % of its height and width, somewhere in it."""
    height, width = (max(4, int(0.6 * side)) for side in patch.shape)
    top, left = rng.integers(0, patch.shape[0] - height + 1), rng.integers(0, patch.shape[1] - width + 1)
    changed = patch.copy()
    changed[top : top + height, left : left + width] = 255 - changed[top : top + height, left : left + width]
    return changed


def faded(patch: Pixels, rng: np.random.Generator) -> Pixels:
    return (patch.mean() + 0.3 * (patch - patch.mean())).round().astype(np.uint8)


def noisy(image: Pixels, rng: np.random.Generator) -> Pixels:
    return np.clip(image + rng.normal(0, 5, image.shape), 0, 255).round().astype(np.uint8)


def striped(image: Pixels, rng: np.random.Generator) -> Pixels:
    stripes = np.repeat(rng.normal(0, 4, (image.shape[0] + 7) // 8), 8)[: image.shape[0], None]
    return np.clip(image + stripes, 0, 255).round().astype(np.uint8)


def posterised(image: Pixels, rng: np.random.Generator) -> Pixels:
    return (image // 16 * 16 + 8).astype(np.uint8)


def clipped(image: Pixels, rng: np.random.Generator) -> Pixels:
    return np.clip((image - image.mean()) * 3 + image.mean(), 0, 255).round().astype(np.uint8)


def shifted(image: Pixels, rng: np.random.Generator) -> Pixels:
    return np.roll(image, 8, axis=1)


def haloed(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Dark rings around the four brightest spots, which are lamps by night."""
    smooth = ndimage.gaussian_filter(image.astype(float), 2)
    spots = np.flatnonzero(smooth == ndimage.maximum_filter(smooth, 41))
    lamps = spots[np.argsort(-smooth.ravel()[spots], kind="stable")][:4]
    rows, columns = np.indices(image.shape)
    changed = image.astype(float)
    for row, column in zip(*np.unravel_index(lamps, image.shape), strict=True):
        changed[abs(np.hypot(rows - row, columns - column) - 9.5) < 4.5] *= 0.15
    return changed.round().astype(np.uint8)


def blotted(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Three black ellipses."""
    rows, columns = np.indices(image.shape)
    changed = image.copy()
    for row, column in rng.uniform(0.1, 0.7, (3, 2)) * image.shape:
        changed[np.hypot((rows - row) / 8, (columns - column) / 12) < 1] = 2
    return changed


def blocky(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Squares of 8 pixels that are brighter or darker by some 2 levels."""
    squares = rng.normal(0, 2, [side // 8 for side in image.shape])
    return np.clip(image + np.kron(squares, np.ones((8, 8))), 0, 255).round().astype(np.uint8)


def lifted(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Black becomes 45."""
    return (45 + image * (210 / 255)).round().astype(np.uint8)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Image, Measured]]:
    """Dashcam frames with their labels, translated by the embedded model at 0.4 of their height and width."""
    bdd = Path(__file__).parents[3] / "shared" / "data" / "bdd100k"
    if not bdd.is_dir():
        pytest.skip("../shared/data is not here: real data is needed")
    root = tmp_path_factory.mktemp("planted")
    (root / "rgb").mkdir()
    for path in (bdd / "images").glob("*.jpg"):
        if not path.stem.endswith(LEFT_OUT):
            shutil.copy(path, root / "rgb")
    translate_folder(root / "rgb", root / "nir", options=TranslateOptions(size=SIZE))
    names = ("det_list_form", "00091078-875c1f73", "b1c66a42-6f7d68ca", "ins_seg")
    labels = [bdd / "labels" / f"{name}.json" for name in names]
    run("labels", *labels, "--policy", "bdd100k", "--images", bdd / "images", "-o", root / "labels.json")
    inputs = (f"bdd={root / 'nir'}", root / "labels.json", root / "dataset", "--include-unlabelled")
    run("build-dataset", *inputs, "--no-near-duplicates", "--yes")
    return [(item, measure(item)) for item in open_collection(root / "dataset").items()]


def run(*arguments: object) -> None:
    command = [sys.executable, "-m", "nirgen", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def share_as_bad(frames: list[tuple[Image, Measured]], faulty: Image, box: Box | None) -> float:
    """The share of sound images, or of sound boxes, that get at least the trouble of a faulty one."""
    renamed = replace(faulty, key="fault", boxes=tuple(replace(each, key=f"fault {each.key}") for each in faulty.boxes))
    scores = Scores(finish(to_rows([*frames, (renamed, measure(renamed))])))
    troubles = scores.worst_images() if box is None else scores.worst_boxes()
    fault = "fault" if box is None else f"fault {box.key}"
    sound = [trouble for key, trouble in troubles if not key.startswith("fault")]
    assert len(sound) > 19
    return sum(trouble >= dict(troubles)[fault] for trouble in sound) / len(sound)


def with_pixels(item: Image, pixels: Pixels, path: Path) -> Image:
    """The item with other pixels, as if it had been translated so."""
    PIL.Image.fromarray(pixels).save(path, compress_level=1)
    return replace(item, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("fault", [blurred, erased, inverted, faded])
def test_a_box_with_a_planted_fault_is_among_the_worst(
    fault: Callable[..., Pixels], frames: list[tuple[Image, Measured]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    judged = [
        (item, box)
        for item, measured in frames
        for box, found in zip(item.boxes, measured.boxes, strict=True)
        if found is not None
    ]
    assert len(judged) > 60
    shares = {}
    for place in rng.choice(len(judged), OBJECTS, replace=False):
        item, box = judged[place]
        pixels = images.read(item.path)[..., 0].copy()
        x, y, width, height = (round(value) for value in box.bbox)
        inside = np.s_[max(y, 0) : y + height, max(x, 0) : x + width]
        pixels[inside] = fault(pixels[inside], rng)
        shares[box.key] = share_as_bad(frames, with_pixels(item, pixels, tmp_path / "faulty.png"), box)
    assert {key: share for key, share in shares.items() if share >= WORST} == {}


@pytest.mark.parametrize("fault", [blurred, noisy, striped, posterised, clipped, faded, shifted])
def test_an_image_with_a_planted_fault_is_among_the_worst(
    fault: Callable[..., Pixels], frames: list[tuple[Image, Measured]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    shares = {}
    for item, _ in frames[::4]:
        pixels = images.read(item.path)[..., 0]
        faulty = slightly_blurred(pixels) if fault is blurred else fault(pixels, rng)
        shares[item.key] = share_as_bad(frames, with_pixels(item, faulty, tmp_path / "faulty.png"), None)
    assert len(shares) == 6
    assert {key: share for key, share in shares.items() if share >= WORST} == {}


@pytest.mark.parametrize("fault", [haloed, blotted, blocky, lifted])
def test_an_image_with_a_fault_that_a_person_sees_at_once_comes_first(
    fault: Callable[..., Pixels], frames: list[tuple[Image, Measured]], tmp_path: Path
) -> None:
    shares = {}
    for item, _ in frames[::3]:
        faulty = fault(images.read(item.path)[..., 0], np.random.default_rng(5))
        shares[item.key] = share_as_bad(frames, with_pixels(item, faulty, tmp_path / "faulty.png"), None)
    assert len(shares) == 8
    assert {key: share for key, share in shares.items() if share > 0} == {}
