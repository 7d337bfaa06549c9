"""A photograph and a NIR image of it that is as sharp, and an item of both."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage
from sklearn.datasets import load_sample_image

from nirgen.dataset.read import Box, Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="session")
def scene() -> NDArray[np.uint8]:
    """(426, 640, 3): a temple among trees."""
    return np.ascontiguousarray(load_sample_image("china.jpg")[:426])


@pytest.fixture(scope="session")
def near_infrared(scene: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(426, 640): the red channel at 0.7 of its contrast, upside down in the sky."""
    grey = 60 + 0.7 * scene[..., 0].astype(float)
    sky = ndimage.gaussian_filter((scene[..., 2].astype(float) - scene[..., 0] > 10).astype(float), 8)
    return np.clip(grey - 80 * sky, 0, 255).round().astype(np.uint8)


@pytest.fixture
def make_item(tmp_path: Path) -> Callable[..., Image]:
    """Write a pair, and describe it with boxes on it."""

    def save(name: str, pixels: NDArray[np.uint8] | None) -> tuple[Path, str]:
        path = tmp_path / name
        if pixels is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).save(path, compress_level=1)
        return path, hashlib.sha256(path.read_bytes()).hexdigest() if pixels is not None else "0" * 64

    def make(
        nir: NDArray[np.uint8] | None,
        rgb: NDArray[np.uint8] | None = None,
        *bboxes: tuple[float, float, float, float],
        key: str = "bdd/a.jpg",
        crowd: bool = False,
        generated: bool = True,
    ) -> Image:
        path, sha256 = save(f"nir/{key}.png", nir)
        source, source_sha256 = save(f"rgb/{key}.png", rgb)
        boxes = [
            Box(f"{key}#{number}", number, "car", bbox, 1.0, crowd, "car", ()) for number, bbox in enumerate(bboxes)
        ]
        return Image(
            key=key,
            id=1,
            split="train",
            origin="bdd",
            generated=generated,
            path=path,
            width=640,
            height=426,
            sha256=sha256,
            input_sha256=sha256,
            rgb=None if rgb is None else source,
            rgb_name="a.png",
            rgb_sha256=source_sha256,
            attributes={},
            sequence=None,
            model_id=None,
            boxes=tuple(boxes),
        )

    return make
