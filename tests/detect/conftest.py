"""Images with objects and detections on them, and arms of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nirgen.dataset.read import Box, Image
from nirgen.detect.arms import Arm, Run
from nirgen.detect.coco_eval import Result
from nirgen.detect.comparison import Judged, sum_up
from nirgen.detect.config import BootstrapConfig, CompareConfig
from nirgen.detect.data import Split
from nirgen.detect.evaluation import write_results
from nirgen.labels.file import Category

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nirgen.detect.comparison import Comparison


NAMES = ("person", "bicycle", "car")


def _image(key: str, image_id: int = 1, **others: Any) -> Image:
    values = {
        "split": "test", "origin": key.partition("/")[0], "generated": False, "path": Path("D/images", key),
        "width": 400, "height": 300, "sha256": "", "input_sha256": "", "rgb": None, "rgb_name": None,
        "rgb_sha256": None, "attributes": {}, "sequence": None, "model_id": None, "boxes": (),
    }  # fmt: skip
    return Image(key, image_id, **values | others)  # type: ignore[arg-type]


@pytest.fixture
def make_image() -> Callable[..., Image]:
    """Make a real image of 400x300 pixels without boxes."""
    return _image


@pytest.fixture
def make_split() -> Callable[..., Split]:
    """Make images of 400x300 pixels from lists of (class, box) or (class, box, True) for regions to ignore."""

    def make(*on_images: list[tuple[Any, ...]], sequences: tuple[str | None, ...] = ()) -> Split:
        images, number = [], 0
        for image_id, on_it in enumerate(on_images, start=1):
            key = f"ranus/{image_id:03}.png"
            boxes = []
            for position, (name, bbox, *ignored) in enumerate(on_it):
                number += 1
                area = float(bbox[2] * bbox[3])
                boxes.append(
                    Box(f"{key}#{position}", number, name, tuple(bbox), area, bool(ignored), name, ())  # type: ignore[arg-type]
                )
            sequence = sequences[image_id - 1] if sequences else None
            images.append(_image(key, image_id, sequence=sequence, boxes=tuple(boxes)))
        categories = tuple(Category(number, name, "thing") for number, name in enumerate(NAMES, start=1))
        return Split(Path("D"), "0" * 64, "d" * 64, "test", categories, tuple(images))

    return make


@pytest.fixture
def scene(make_split: Callable[..., Split]) -> Callable[..., tuple[Split, list[Result]]]:
    """Make images with objects of all sizes, regions to ignore and empty images, and detections: good, poor, wrong."""

    def make(images: int, seed: int = 0, detections: int = 12) -> tuple[Split, list[Result]]:
        random = np.random.default_rng(seed)

        def box() -> list[float]:
            width, height = random.uniform(8, 150, 2)
            return [random.uniform(0, 400 - width), random.uniform(0, 300 - height), width, height]

        on_images = [
            [
                (NAMES[random.integers(3)], box(), *([True] if random.random() < 0.15 else []))
                for _ in range(random.integers(0, 5))
            ]
            for _ in range(images)
        ]
        results = []
        for image_id, on_it in enumerate(on_images, start=1):
            for _ in range(detections if image_id % 7 else 0):
                bbox, category = box(), int(random.integers(1, 4))
                if on_it and random.random() < 0.6:
                    name, near, *_ = on_it[random.integers(len(on_it))]
                    category = NAMES.index(name) + 1
                    bbox = [float(side) for side in np.abs(np.array(near) + random.normal(0, 4, 4)) + 0.1]
                results.append(Result(image_id, category, tuple(bbox), float(random.random())))  # type: ignore[arg-type]
        return make_split(*on_images), results

    return make


ARMS = (
    Arm("pretrained", "as pretrained"),
    Arm("real", "+ real", ("r",), 1, 0),
    Arm("real+1x", "+ real + 1 x generated", ("g", "r"), 1, 1),
)


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Judged]:
    """Make a finished run that finds the cars of given images."""

    def make(arm: Arm, seed: int, images: set[int]) -> Judged:
        path = tmp_path / f"{arm.name}-{seed}.json"
        write_results(path, [Result(image, 3, (100, 100, 100, 50), 0.5) for image in sorted(images)])
        return Judged(Run(arm, seed if arm.images else None), f"{seed}" * 64, path)

    return make


@pytest.fixture
def compare(make_split: Callable[..., Split], judge: Callable[..., Judged]) -> Callable[..., Comparison]:
    """Compare arms that find the cars of given images: of each arm a list of images for each seed."""

    def make(*found: Sequence[set[int]], resamples: int = 400, images: int = 60, **settings: Any) -> Comparison:
        truth = make_split(*[[("car", (100, 100, 100, 50))]] * images)
        judged = [judge(arm, seed, on) for arm, seeds in zip(ARMS, found, strict=True) for seed, on in enumerate(seeds)]
        config = CompareConfig(
            seeds=tuple(range(len(found[1]))), bootstrap=BootstrapConfig(resamples=resamples), **settings
        )
        return sum_up(judged, truth, config)

    return make
