"""A small generator that knows one camera, and pairs of cameras of other tones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nirgen.adapt.config import AdaptConfig
from nirgen.adapt.fit import fit
from nirgen.models.checkpoint import build, save
from nirgen.pairs import PairList, find_pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.models.config import GeneratorConfig

SETTINGS = {
    "size": 32,
    "judged_size": 32,
    "learning_rate": 3e-3,
    "low_rank_learning_rate": 1e-2,
    "steps": 12,
    "checks": 2,
    "curve": (1, 2),
}


@pytest.fixture(scope="session")
def see() -> Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Return the RGB (40, 48, 3) and NIR (40, 48) of a scene, by camera and seed of the scene.

    Camera 0 is the one that the model knows; others have a tone curve and vignetting of their own; -1 sees negatives.
    """

    def make(camera: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        random = np.random.default_rng(seed)
        rgb = np.full((40, 48, 3), random.integers(60, 200, 3), np.float64)
        for _ in range(14):
            top, left = random.integers(0, 32), random.integers(0, 40)
            height, width = random.integers(6, 24, 2)
            rgb[top : top + height, left : left + width] = random.integers(20, 236, 3)
        rgb = (rgb + random.normal(0, 3, rgb.shape)).clip(0, 255)
        nir = (rgb @ np.array([0.7, 0.4, -0.1]) / 255).clip(0, 1)
        if camera == -1:
            nir = 1 - nir
        elif camera:
            own = np.random.default_rng(camera)
            gamma, gain, offset, vignetting = own.uniform((1.6, 0.5, 0.1, 0.2), (2.4, 0.7, 0.2, 0.5))
            down, across = np.meshgrid(*(np.linspace(-1, 1, side) for side in nir.shape), indexing="ij")
            nir = (offset + gain * nir**gamma) * (1 - vignetting * (down**2 + across**2) / 2)
        return rgb.astype(np.uint8), (nir * 255).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def write_pairs(see: Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Callable[..., PairList]:
    """Write pairs: seeds of scenes by camera; the NIR images of scenes in `shift` move right by so many pixels."""

    def write(root: Path, cameras: dict[int, range], shift: dict[int, int] | None = None) -> PairList:
        for camera, seeds in cameras.items():
            for seed in seeds:
                rgb, nir = see(camera, seed)
                moved = np.roll(nir, (shift or {}).get(seed, 0), axis=1)
                for kind, pixels in (("rgb", rgb), ("nir", moved)):
                    path = root / kind / f"{camera}_{seed:03}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)
        return find_pairs(root)

    return write


@pytest.fixture(scope="session")
def known(
    tmp_path_factory: pytest.TempPathFactory, write_pairs: Callable[..., PairList], small_config: GeneratorConfig
) -> Path:
    """A model file of a small generator, trained on twelve pairs of camera 0."""
    folder = tmp_path_factory.mktemp("known")
    pairs = write_pairs(folder, {0: range(100, 112)})
    torch.manual_seed(0)
    config = AdaptConfig.read({**SETTINGS, "learning_rate": 5e-3}, where="the test")
    for _, fitted in fit(build(small_config).eval(), pairs, "all", config, checks=(120,), precision="fp32"):
        state = fitted.state_dict()
    save(folder / "model.safetensors", state, small_config, licence="MIT")
    return folder / "model.safetensors"


@pytest.fixture
def config() -> AdaptConfig:
    return AdaptConfig.read(SETTINGS, where="the test")
