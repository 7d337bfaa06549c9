"""Real and generated images in folders, and weight files of the right shapes with random values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from nirgen.evaluate.perceptual import ALEXNET, INCEPTION, VGG16

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """PRED, GT and RGB: four images of 40x48 in two subfolders; GT is RGB's red, PRED 10 levels brighter."""
    random = np.random.default_rng(0)
    for name in ("day/a", "day/b", "dusk/c", "dusk/d"):
        rgb = random.integers(20, 230, (40, 48, 3), dtype=np.uint8)
        for folder, pixels, ending in (
            ("rgb", rgb, "png"),
            ("gt", rgb[..., 0], "tif"),
            ("pred", rgb[..., 0] + 10, "png"),
        ):
            path = tmp_path / folder / f"{name}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path / "pred", tmp_path / "gt", tmp_path / "rgb"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a download was begun")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


@pytest.fixture
def _empty_cache(tmp_path: Path) -> object:
    """Torch's cache without a file."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    yield
    torch.hub.set_dir(before)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all three weight files, of random values; layers that no measure looks at take no room."""
    folder = tmp_path_factory.mktemp("weights")
    models = torchvision.models
    with torch.device("meta"):
        networks = {
            ALEXNET: models.alexnet(),
            VGG16: models.vgg16(init_weights=False),
            INCEPTION: models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False),
        }
    random = torch.Generator().manual_seed(0)
    for file, network in networks.items():
        state = {}
        for name, tensor in network.state_dict().items():
            if name.startswith("classifier"):
                state[name] = torch.zeros(()).expand(tensor.shape)
            elif tensor.ndim > 1:
                state[name] = torch.randn(tensor.shape, generator=random) * (2 / tensor[0].numel()) ** 0.5
            else:
                state[name] = torch.ones(tensor.shape) if "bn" in name else torch.zeros(tensor.shape)
        torch.save(state, folder / file.name)
    return folder


@pytest.fixture
def model_with_backbone(tmp_path: Path, small_config: GeneratorConfig) -> Callable[..., Path]:
    """Write a model file whose extractor is a small backbone of timm; values are random, by the seeds of both parts."""
    from nirgen.models.checkpoint import build, save
    from nirgen.models.config import TimmConfig

    def make(seed: int = 0, rest: int = 0) -> Path:
        config = small_config.model_copy(update={"extractor": TimmConfig(name="test_efficientnet", features="pyramid")})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rest)
            generator = build(config)
            torch.manual_seed(seed)
            for parameter in generator.extractor.parameters():
                if parameter.ndim > 1:
                    torch.nn.init.kaiming_normal_(parameter)
        save(tmp_path / "model.safetensors", generator.state_dict(), config)
        return tmp_path / "model.safetensors"

    return make
