from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nirgen.errors import ConfigError, ModelError
from nirgen.models.config import GeneratorConfig, SwinConfig, TimmConfig, ViTConfig
from nirgen.models.extractors import Normalized, TimmExtractor, build_extractor
from nirgen.models.importing import import_weights
from nirgen.models.internimage import InternImage
from nirgen.models.swin import Block, SwinTransformer
from nirgen.models.vit import VisionTransformer

if TYPE_CHECKING:
    from pathlib import Path


class Recorder(nn.Module):
    """Keeps what it is given."""

    condition_channels = 3
    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.pyramid: dict[int, int] = {}

    def forward(self, x: Tensor) -> list[Tensor]:
        self.seen = x
        return [x]


def test_an_unknown_backbone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ModelError, match=r"extractor 'resnet81': timm has no such backbone; did you mean 'resnet\w*'\?"
    ):
        build_extractor(GeneratorConfig.compact(extractor=TimmConfig(name="resnet81")))


def test_the_image_is_brought_to_the_statistics_of_the_weights() -> None:
    recorder = Recorder()
    Normalized(recorder, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))(torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1))
    assert recorder.seen.flatten().tolist() == [-1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("name", "mean"), [("resnet18", [0.485, 0.456, 0.406]), ("vit_tiny_patch16_224", [0.5, 0.5, 0.5])]
)
def test_the_statistics_are_those_of_timms_weights(name: str, mean: list[float]) -> None:
    extractor = build_extractor(GeneratorConfig.compact(extractor=TimmConfig(name=name)))
    assert isinstance(extractor, Normalized)
    assert extractor.mean.flatten().tolist() == pytest.approx(mean)


def test_features_of_the_stem_are_not_normalised() -> None:
    config = TimmConfig(name="resnet18", in_channels=8)
    extractor = build_extractor(GeneratorConfig.compact(extractor=config, extractor_input="stem"))
    assert isinstance(extractor, TimmExtractor)
    assert extractor(torch.zeros(1, 8, 64, 64))[-1].shape == (1, 512, 2, 2)


@pytest.mark.parametrize("name", ["swinv2_tiny_window8_256", "swin_tiny_patch4_window7_224"])
def test_a_channels_last_map_of_any_size_comes_out_channels_first(name: str) -> None:
    extractor = TimmExtractor(TimmConfig(name=name), load_weights=False)
    assert extractor(torch.zeros(1, 3, 96, 160))[-1].shape == (1, 768, 3, 5)


def test_a_backbone_of_one_size_is_given_that_size() -> None:
    extractor = TimmExtractor(TimmConfig(name="hiera_tiny_224"), load_weights=False).eval()
    assert extractor.fixed_size == (224, 224)
    assert extractor(torch.zeros(1, 3, 64, 96))[-1].shape == (1, 768, 7, 7)


def pyramid(name: str, **changes: object) -> TimmConfig:
    return TimmConfig.model_validate({"name": name, "features": "pyramid", **changes})


def test_a_pyramid_has_a_map_for_each_stride() -> None:
    extractor = TimmExtractor(pyramid("tf_efficientnet_lite0"), load_weights=False).eval()
    assert extractor.pyramid == {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}
    assert (extractor.condition_channels, extractor.stride) == (320, 32)
    shapes = [tuple(features.shape) for features in extractor(torch.zeros(1, 3, 64, 96))]
    assert shapes == [(1, 16, 32, 48), (1, 24, 16, 24), (1, 40, 8, 12), (1, 112, 4, 6), (1, 320, 2, 3)]


def test_a_pyramids_maps_come_channels_first_and_in_the_widths_wanted() -> None:
    extractor = TimmExtractor(pyramid("swin_tiny_patch4_window7_224", widths=(8, 16, 24, 32)), load_weights=False)
    assert extractor.pyramid == {4: 8, 8: 16, 16: 24, 32: 32}
    assert [tuple(features.shape[1:]) for features in extractor(torch.zeros(1, 3, 64, 96))] == [
        (8, 16, 24), (16, 8, 12), (24, 4, 6), (32, 2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (pyramid("resnet18", widths=(8, 8)), "2 widths for 5 maps, of strides 2, 4, 8, 16, 32; give one a map"),
        (pyramid("hiera_tiny_224"), "no pyramid, since its input has a fixed size; use 'last'"),
    ],
)
def test_a_pyramid_that_cannot_be_is_refused(config: TimmConfig, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        TimmExtractor(config, load_weights=False)


def test_weights_under_other_names_load_in_their_order(tmp_path: Path) -> None:
    state = timm.create_model("tf_efficientnet_lite0").state_dict()
    renamed = {f"_blocks.{place}": tensor for place, tensor in enumerate(state.values())}
    torch.save(renamed, tmp_path / "lite0.pth")
    config = TimmConfig(name="tf_efficientnet_lite0", weights=str(tmp_path / "lite0.pth"))
    loaded = TimmExtractor(config, load_weights=True)
    assert torch.equal(loaded.backbone.state_dict()["blocks.6.0.conv_pwl.weight"], state["blocks.6.0.conv_pwl.weight"])
    torch.save(dict(reversed(renamed.items())), tmp_path / "lite0.pth")
    with pytest.raises(ModelError, match=r"lite0\.pth.* neither the names nor the order"):
        TimmExtractor(config, load_weights=True)


@pytest.mark.parametrize("name", ["convnext_atto", "swinv2_tiny_window8_256", "vit_small_patch14_dinov2"])
def test_a_classifiers_file_loads_into_the_backbone(tmp_path: Path, name: str) -> None:
    save_file(timm.create_model(name).state_dict(), tmp_path / "w.safetensors")
    TimmExtractor(TimmConfig(name=name, weights=str(tmp_path / "w.safetensors")), load_weights=True)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_file(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(1)
    state = timm.create_model("resnet18").state_dict()
    path = tmp_path / f"resnet18{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    config = GeneratorConfig.compact(extractor=TimmConfig(name="resnet18", weights=str(path)))
    loaded = build_extractor(config, load_weights=True)
    fresh = build_extractor(config)
    name = "layer4.1.conv2.weight"
    assert torch.equal(loaded.backbone.backbone.state_dict()[name], state[name])
    assert not torch.equal(fresh.backbone.backbone.state_dict()[name], state[name])


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    save_file(timm.create_model("resnet34").state_dict(), tmp_path / "other.safetensors")
    config = TimmConfig(name="resnet18", weights=str(tmp_path / "other.safetensors"))
    with pytest.raises(ModelError, match=r"extractor 'resnet18': .*other\.safetensors") as caught:
        TimmExtractor(config, load_weights=True)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_weights_is_refused() -> None:
    with pytest.raises(ModelError, match=r"w\.safetensors: no such file"):
        TimmExtractor(TimmConfig(name="resnet18", weights="w.safetensors"), load_weights=True)


def test_weights_that_the_hub_does_not_give_are_one_line_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match=r"extractor 'convnext_atto': .*; give a file of its weights") as caught:
        TimmExtractor(TimmConfig(name="convnext_atto", pretrained=True), load_weights=True)
    assert "\n" not in str(caught.value)


def test_an_internimage_of_other_sizes_is_refused(tmp_path: Path, small_internimage) -> None:
    path = tmp_path / "small.safetensors"
    save_file(InternImage(small_internimage).state_dict(), path)
    for change, message in [({"width": 32}, "size mismatch"), ({"layer_scale": 1.0}, "on one side only")]:
        other = small_internimage.model_copy(update={"weights": str(path), **change})
        with pytest.raises(ModelError, match=f"another InternImage than configured .*{message}") as caught:
            build_extractor(GeneratorConfig.compact(extractor=other), load_weights=True)
        assert "\n" not in str(caught.value)


def test_weights_that_were_trained_with_other_settings_are_refused_naming_them(
    tmp_path: Path, small_internimage, nirgen
) -> None:
    source, path = tmp_path / "official.safetensors", tmp_path / "small.safetensors"
    save_file(InternImage(small_internimage).state_dict(), source)
    import_weights(source, path, "internimage")
    fitting = small_internimage.model_copy(update={"weights": str(path), "normalize": "imagenet"})
    build_extractor(GeneratorConfig.compact(extractor=fitting), load_weights=True)
    other = fitting.model_copy(update={"normalize": "none", "offset_scale": 2.0})
    message = r"\(offset_scale is 1\.0 there, 2\.0 as configured; normalize is imagenet there, none as configured\)"
    with pytest.raises(ModelError, match=message):
        build_extractor(GeneratorConfig.compact(extractor=other), load_weights=True)
    code, out, _ = nirgen("models", "info", path)
    assert code == 0
    assert "initial weights of an extractor" in out
    assert "offset_scale  1.0" in out


SMALL_SWIN = SwinConfig(in_channels=8, width=16, depths=(2, 2, 2, 2), window=4)
SMALL_VIT = ViTConfig(in_channels=8, image=64, dim=32, depth=2, heads=2, head_channels=8, hidden=48)


@pytest.mark.parametrize(
    ("key", "network", "side"),
    [("swinv2", SwinTransformer(SMALL_SWIN), 128), ("vit", VisionTransformer(SMALL_VIT), 64)],
    ids=["swinv2", "vit"],
)
def test_the_authors_transformers_give_the_golden_maps(
    key: str, network: nn.Module, side: int, golden, golden_weight
) -> None:
    values = {
        name: tensor if name.rpartition(".")[2].startswith("relative_") else golden_weight(name, tensor)
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(values)
    y, x = np.mgrid[0:side, 0:side].astype(np.float64)
    waves = [np.sin(x * (0.11 + 0.03 * k) + k) * np.cos(y * (0.07 + 0.02 * k) - k) for k in range(8)]
    with torch.inference_mode():
        found = network.eval()(torch.from_numpy(np.stack(waves)[None].astype(np.float32)))[-1].numpy()
    expected = golden("pix2next_transformers.npz")[key]
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_authors_transformers_take_any_size() -> None:
    torch.manual_seed(0)
    swin, vit = SwinTransformer(SMALL_SWIN).eval(), VisionTransformer(SMALL_VIT).eval()
    with torch.inference_mode():
        assert swin(torch.rand(2, 8, 96, 160))[0].shape == (2, 128, 3, 5)
        assert vit(torch.rand(2, 8, 96, 160))[0].shape == (2, 32, 4, 4)


@pytest.mark.parametrize("shifted", [False, True])
def test_no_pixel_of_a_swins_map_sees_the_padding(shifted: bool) -> None:
    torch.manual_seed(0)
    block = Block(SMALL_SWIN, 16, 4, 0.0, shifted=shifted).eval()
    mask = block._mask(3, 5, torch.device("cpu"))
    assert mask is not None
    place = torch.zeros(1, 4, 8, 1)
    place[:, :3, :5] = 1
    place = place.roll((-2, -2), dims=(1, 2)) if shifted else place
    real = place.view(1, 4, 2, 4).transpose(1, 2).reshape(2, 16).bool()  # of the pixels of both windows
    seen = mask == 0
    assert not (seen & (real[:, :, None] != real[:, None, :])).any()
    assert seen[real[:, :, None] & torch.eye(16).bool()].all()


@pytest.mark.parametrize("name", ["pix2next-swinv2", "pix2next-vit"])
def test_the_authors_transformers_read_the_stem(name: str) -> None:
    with pytest.raises(ConfigError, match=r"the extractor reads 128 channels, but its input, the image, has 3"):
        GeneratorConfig.paper(extractor=name)
    config = GeneratorConfig.paper(extractor=name, extractor_input="stem")
    assert config.stride == (32 if name == "pix2next-swinv2" else 8)
    with torch.device("meta"):
        assert build_extractor(config).condition_channels == 1024


def test_a_transformer_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"level 0 has 10 channels, not divisible by 4 heads"):
        SwinConfig(width=10)
    with pytest.raises(ConfigError, match=r"an image of 250 pixels isn't divisible into patches of 16"):
        ViTConfig(image=250)
