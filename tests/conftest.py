"""What several tests need: a translator that is small enough to see through, and photographs to translate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nirgen.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from torch import Tensor

    from nirgen.models.config import GeneratorConfig
    from nirgen.pairs import PairList


class RedTranslator:
    """Takes the red channel for NIR: the nearest to it that a photograph has.

    Attributes:
        batches: (N, H, W) of every batch that it was given.
    """

    stride = 8

    def __init__(self, name: str = "red", gain: float = 1.0) -> None:
        self.id = name.encode().hex().ljust(64, "0")
        self.header: Mapping[str, Any] = {"architecture": {"name": name, "gain": gain}}
        self.gain = gain
        self.batches: list[tuple[int, int, int]] = []

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        assert rgb.shape[2] % self.stride == 0
        assert rgb.shape[3] % self.stride == 0
        assert all(height <= rgb.shape[2] and width <= rgb.shape[3] for height, width in sizes)
        self.batches.append((rgb.shape[0], rgb.shape[2], rgb.shape[3]))
        return (rgb[:, :1].float() * self.gain / 255).clamp(0, 1)


@pytest.fixture
def red() -> RedTranslator:
    return RedTranslator()


@pytest.fixture
def red_type() -> type[RedTranslator]:
    return RedTranslator


@pytest.fixture
def photo() -> Callable[..., np.ndarray]:
    """Make the pixels of a photograph: (H, W, 3) uint8, other ones for each seed."""

    def make(height: int = 20, width: int = 30, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return make


@pytest.fixture
def save(photo: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Save a photograph under a path, in the format of its ending; folders are made."""

    def write(path: Path, height: int = 20, width: int = 30, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(height, width, seed)).save(path)
        return path

    return write


@pytest.fixture
def small_config() -> GeneratorConfig:
    """Two levels of 8 channels, no extractor: 23 thousand values."""
    from nirgen.models.config import GeneratorConfig, NoExtractorConfig

    return GeneratorConfig(
        stem_channels=8,
        encoder=((8,), (8,)),
        bottleneck=((8,), (8,), (8,)),
        decoder=((8,), (8,)),
        attention_heads=2,
        norm_groups=4,
        extractor=NoExtractorConfig(),
    )


@pytest.fixture
def pairs(save: Callable[..., Path], tmp_path: Path) -> PairList:
    """Four pairs to train on and two to judge by, of 48x64 pixels; NIR is the red channel."""
    from nirgen.pairs import find_pairs

    for seed, name in enumerate(("train/a", "train/b", "train/c", "train/d", "val/e", "val/f")):
        split, stem = name.split("/")
        rgb = save(tmp_path / "pairs" / split / "rgb" / f"{stem}.png", 48, 64, seed)
        nir = rgb.parents[1] / "nir" / rgb.name
        nir.parent.mkdir(exist_ok=True)
        with Image.open(rgb) as image:
            image.getchannel("R").save(nir)
    return find_pairs(tmp_path / "pairs")


@pytest.fixture
def nirgen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; its exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nirgen", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run
