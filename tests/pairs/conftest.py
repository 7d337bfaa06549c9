from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

Scene = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def root(tmp_path: Path, save: Callable[..., Path]) -> Path:
    """Two pairs to train on and one to judge by, none of whose files are alike."""
    names = (
        "train/rgb/b.jpg",
        "train/nir/b.png",
        "train/rgb/a.jpg",
        "train/nir/a.jpg",
        "val/rgb/c.PNG",
        "val/nir/c.tif",
    )
    for seed, name in enumerate(names):
        save(tmp_path / "pairs" / name, 8, 12, seed)
    return tmp_path / "pairs"


@pytest.fixture
def scene() -> Scene:
    """Make one scene in both spectra: patches whose brightness in NIR has nothing to do with their colour."""

    def make(
        height: int = 96, width: int = 128, seed: int = 0, right: float = 0, down: float = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        margin = 16
        centres = random.uniform(0, 1, (60, 2)) * (height + 2 * margin, width + 2 * margin)
        colours, brightness = random.integers(20, 236, (60, 3)), random.integers(20, 236, 60)

        def patches(right: float, down: float) -> np.ndarray:
            rows, columns = np.mgrid[:height, :width] + margin
            points = np.stack([rows - down, columns - right], axis=-1)[..., np.newaxis, :]
            return np.argmin(((points - centres) ** 2).sum(axis=-1), axis=-1)

        def lit(values: np.ndarray) -> np.ndarray:
            return np.clip(values + random.normal(0, 2, values.shape), 0, 255).astype(np.uint8)

        return lit(colours[patches(0, 0)]), lit(brightness[patches(right, down)])

    return make
