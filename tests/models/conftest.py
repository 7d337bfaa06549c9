"""Small networks, golden weights, and the command line in this process."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nirgen.models.config import InternImageConfig

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def small_internimage() -> InternImageConfig:
    return InternImageConfig(
        width=16, depths=(1, 1, 2, 1), groups=(2, 4, 8, 16), post_norm=False, layer_scale=None, classes=5
    )


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, np.ndarray]]:
    """Read a file of tests/golden."""

    def read(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / name) as arrays:
            return dict(arrays)

    return read


@pytest.fixture(scope="session")
def golden_weight() -> Callable[[str, torch.Tensor], torch.Tensor]:
    """The tensor that the rule of tests/golden/README.md gives for a name; it is of the shape and type of another."""

    def make(name: str, like: torch.Tensor) -> torch.Tensor:
        if name.endswith(("running_mean", "num_batches_tracked")):
            return torch.zeros(like.shape, dtype=like.dtype)
        if name.endswith("running_var"):
            return torch.ones(like.shape)
        x = np.sin((np.arange(like.numel()) + 1.0) * 12.9898 + zlib.crc32(name.encode()) % 1000 / 100) * 43758.5453123
        u = (2 * (x - np.floor(x)) - 1).reshape(like.shape)
        if like.ndim >= 2:
            values = u * np.sqrt(3 / np.prod(like.shape[1:]))
        elif "gamma" in name:
            values = 0.3 + 0.1 * u
        elif name.endswith("weight"):
            values = 1 + 0.1 * u
        else:
            values = 0.05 * u
        return torch.from_numpy(values.astype(np.float32))

    return make


@pytest.fixture(scope="session")
def golden_input() -> torch.Tensor:
    """(1, 3, 64, 96) float32."""
    y, x = np.mgrid[0:64, 0:96].astype(np.float64)
    channels = [np.sin(x * (0.11 + 0.03 * k) + k) * np.cos(y * (0.07 + 0.02 * k) - k) for k in range(3)]
    return torch.from_numpy(np.stack(channels)[None].astype(np.float32))
