from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torchvision.models import vgg19

from nirgen.errors import ConfigError, ModelError
from nirgen.models.checkpoint import build, save
from nirgen.models.config import TimmConfig
from nirgen.train.config import PerceptualConfig
from nirgen.train.networks import ContentLoss, FeatureLoss, PerceptualLoss, build_networks

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.train.config import TrainConfig


def values(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_the_same_seed_gives_the_same_weights(config: TrainConfig) -> None:
    first, again = build_networks(config), build_networks(config)
    other = build_networks(config.model_copy(update={"seed": 1}))
    assert torch.equal(values(first.generator), values(again.generator))
    assert torch.equal(values(first.discriminator), values(again.discriminator))
    assert not torch.equal(values(first.generator), values(other.generator))


def test_the_released_initialization_is_normal_with_deviation_0_02(config: TrainConfig) -> None:
    generator = build_networks(config.model_copy(update={"initialization": "normal"})).generator
    weights = torch.cat([m.weight.flatten() for m in generator.modules() if isinstance(m, torch.nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.03)


def test_a_start_of_another_architecture_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    wider = config.generator.model_copy(update={"stem_channels": 16})
    save(tmp_path / "m.safetensors", build(wider).state_dict(), wider)
    with pytest.raises(ConfigError, match=r"m\.safetensors: another architecture than 'generator' says"):
        build_networks(config.model_copy(update={"start_from": str(tmp_path / "m.safetensors")}))


def test_the_place_of_initial_weights_is_no_part_of_the_architecture(config: TrainConfig, tmp_path: Path) -> None:
    extractor = TimmConfig(name="tf_efficientnet_lite0")
    generator = config.generator.model_copy(update={"extractor": extractor})
    save(tmp_path / "m.safetensors", build(generator).state_dict(), generator)
    pretrained = generator.model_copy(update={"extractor": extractor.model_copy(update={"pretrained": True})})
    changes = {"generator": pretrained, "start_from": str(tmp_path / "m.safetensors")}
    assert build_networks(config.model_copy(update=changes)).start_header["architecture"]["extractor"]["name"]


def test_the_feature_loss_is_a_distance_of_directions_and_teaches(config: TrainConfig) -> None:
    extractor = TimmConfig(name="tf_efficientnet_lite0", features="pyramid", widths=(8, 8, 8, 8, 8))
    loss = FeatureLoss(config.generator.model_copy(update={"extractor": extractor}))
    real = torch.rand(2, 1, 64, 64) * 2 - 1
    generated = (0.5 * real).requires_grad_()
    assert loss(real, real).item() == pytest.approx(0, abs=1e-6)
    value = loss(real, generated)
    value.backward()
    assert 0 < value.item() < 4
    assert generated.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    maps = [
        torch.nn.functional.normalize(m) for m in loss.extractor(torch.cat((real, generated)).expand(-1, 3, -1, -1))
    ]
    expected = sum((m[:2] - m[2:]).square().sum(dim=1).mean() for m in maps) / len(maps)
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_feature_loss_needs_a_pyramid(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"losses\.features needs a timm extractor .* features: pyramid"):
        FeatureLoss(config.generator)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VGG19 with random weights, as torchvision would save it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vgg19.pth"
    torch.save(vgg19(weights=None).state_dict(), path)
    return path


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rgb, nir, generated = (torch.rand(1, c, 32, 32, generator=generator) * 2 - 1 for c in (3, 1, 1))
    return rgb, nir, generated.requires_grad_()


def test_it_is_the_weighted_difference_of_vgg19s_activations(weights: Path, batch) -> None:
    rgb, nir, generated = batch
    features = vgg19(weights=None).eval()
    features.load_state_dict(torch.load(weights, weights_only=True))
    x, y, expected = generated.expand(-1, 3, -1, -1), nir.expand(-1, 3, -1, -1), 0.0
    at = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1}  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1
    for position, layer in enumerate(features.features):
        x, y = layer(x), layer(y)
        if position in at:
            expected += at[position] * (x - y).abs().mean().item()
    found = PerceptualLoss(PerceptualConfig(weights=str(weights)))(rgb, nir, generated)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert generated.grad.abs().sum() > 0


def test_the_released_one_compares_with_rgb_and_teaches_nothing(weights: Path, batch) -> None:
    rgb, nir, generated = batch
    released = PerceptualLoss(PerceptualConfig(weights=str(weights), target="rgb", teaches=False))
    found = released(rgb, nir, generated)
    assert not found.requires_grad
    assert released(rgb, -nir, generated).item() == found.item()
    assert PerceptualLoss(PerceptualConfig(weights=str(weights), target="rgb"))(rgb, nir, generated).requires_grad


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w\.pth: not the weights of torchvision's VGG19; name a file of them"):
        PerceptualLoss(PerceptualConfig(weights=str(tmp_path / "w.pth")))


def test_the_content_loss_is_that_of_normalised_features_of_vgg16(tmp_path: Path) -> None:
    from torchvision.models import vgg16

    torch.manual_seed(0)
    with torch.device("meta"):
        layers = vgg16(weights=None).features[:30]
    state = {f"features.{name}": torch.randn(tensor.shape) * 0.05 for name, tensor in layers.state_dict().items()}
    torch.save(state | {"classifier.6.bias": torch.zeros(1000)}, tmp_path / "vgg16.pth")
    loss = ContentLoss(str(tmp_path / "vgg16.pth"))
    image, other = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    assert float(loss(image, image)) == 0
    other.requires_grad_()
    found = loss(image, other)
    found.backward()
    maps = []
    for each in (image, other.detach()):
        shift = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        maps.append(loss.layers((each / 2 + 0.5 - shift[0]) / shift[1]))
        variance, mean = torch.var_mean(maps[-1], dim=(2, 3), keepdim=True, correction=0)
        maps[-1] = (maps[-1] - mean) / (variance + 1e-5).sqrt()
    assert float(found.detach()) == pytest.approx(float((maps[0] - maps[1]).square().mean()), rel=1e-4)
    assert float(other.grad.abs().sum()) > 0
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"w\.pth: not the weights of torchvision's VGG16; name a file of them"):
        ContentLoss(str(tmp_path / "w.pth"))


def test_weights_that_can_not_be_had_are_one_line_with_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(ModelError, match=r"VGG19's weights .* \(no network\); name a file .* or switch the term off"):
        PerceptualLoss(PerceptualConfig())


def test_weights_are_taken_from_torchs_cache(weights: Path, tmp_path: Path, monkeypatch, batch) -> None:
    from torchvision.models import VGG19_Weights

    name = VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).write_bytes(weights.read_bytes())
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    cached, named = PerceptualLoss(PerceptualConfig()), PerceptualLoss(PerceptualConfig(weights=str(weights)))
    assert cached(*batch).item() == named(*batch).item()
