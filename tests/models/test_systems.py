"""Networks of the comparison systems, against what the reference networks compute (tests/golden/README.md)."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from nirgen import losses
from nirgen.errors import ConfigError, ShapeError
from nirgen.models.bbdm import BBDM, bridge, point, sampled_times
from nirgen.models.checkpoint import build, load
from nirgen.models.config import (
    AnyGeneratorConfig,
    BBDMConfig,
    DiscriminatorConfig,
    IRFormerConfig,
    MUNITConfig,
    ResNetConfig,
    UNetConfig,
    UNetViTConfig,
    UNITConfig,
)
from nirgen.models.discriminator import MultiScaleDiscriminator, PatchDiscriminator
from nirgen.models.network import Dropout, fixed_normals
from nirgen.train.config import PRESETS, TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Nirgen = Callable[..., tuple[int, str, str]]

GOLDEN = Path(__file__).parents[1] / "golden"
TENSORS = {
    tag: rows for name in ("systems.json", "bbdm.json") for tag, rows in json.loads((GOLDEN / name).read_text()).items()
}
PATCHES = DiscriminatorConfig(in_channels=6, filters=8, scales=1, norm="batch", form="pix2pix")


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def golden_state(tag: str, starts: str = "") -> dict[str, torch.Tensor]:
    """The values that the rule gives for the reference's names, under these."""
    values = {}
    for name, shape, rule in TENSORS[tag]:
        place = (np.arange(np.prod(shape)) + 1.0) * 12.9898 + zlib.crc32(name.encode()) % 1000 / 100
        x = np.sin(place) * 43758.5453123
        u = 2 * (x - np.floor(x)) - 1
        scales = {"fan": (0.0, np.sqrt(3 / np.prod(shape[1:]))), "scale": (1, 0.1), "gate": (0.3, 0.1)}
        offset, factor = (scales | {"prelu": (0.25, 0.1), "small": (0, 0.05)})[rule]
        values[name] = torch.from_numpy((offset + factor * u).reshape(shape).astype(np.float32))
    return {name: tensor for name, tensor in values.items() if name.startswith(starts)}


def golden_weights(network: nn.Module, tag: str, starts: str = "") -> nn.Module:
    """The network with the values that the rule gives for the reference's names, which are in the same order."""
    theirs = golden_state(tag, starts)
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert [tensor.shape for tensor in own.values()] == [tensor.shape for tensor in theirs.values()]
    network.load_state_dict(dict(zip(own, theirs.values(), strict=True)), strict=False)
    return network.eval()


def image(
    batch: int, channels: int, height: int, width: int, phase: float = 0.0, *, unit: bool = False
) -> torch.Tensor:
    sizes = (np.arange(size, dtype=np.float64) for size in (batch, channels, height, width))
    n, k, y, x = np.meshgrid(*sizes, indexing="ij")
    values = np.sin(x * (0.11 + 0.03 * k) + phase + k + 0.7 * n) * np.cos(y * (0.07 + 0.02 * k) - k)
    return torch.from_numpy(((values + 1) / 2 if unit else values).astype(np.float32))


def off(found: torch.Tensor, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest value; of large maps, every second pixel is in the file."""
    array = found.detach().numpy()
    array = array if array.shape == expected.shape else array[:, :, ::2, ::2]
    return float(np.abs(array - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    ("tag", "config"),
    [
        ("cyclegan_resnet9_small", ResNetConfig(filters=8, levels=2)),
        ("pix2pixhd_global_small", ResNetConfig(filters=8)),
    ],
    ids=["cyclegan", "pix2pixhd"],
)
def test_a_residual_generator_gives_the_golden_output(golden, tag: str, config: ResNetConfig) -> None:
    network = golden_weights(build(config), tag)
    assert off(network(image(1, 3, 64, 96)), golden("systems.npz")[f"{tag}.out"]) < 1e-4


def test_irformer_gives_the_golden_output(golden) -> None:
    network = golden_weights(build(IRFormerConfig()), "irformer")
    found = (network(image(1, 3, 128, 160, unit=True) * 2 - 1) + 1) / 2
    assert off(found, golden("systems.npz")["irformer.out"]) < 1e-4


def test_the_generator_of_uvcgan_gives_the_golden_output(golden) -> None:
    sizes = {"transformer_width": 48, "blocks": 2, "hidden": 96, "embedding": 24}
    network = golden_weights(build(UNetViTConfig(widths=(12, 24, 48), **sizes)), "uvcgan_small")
    found = (network(image(1, 3, 64, 64, unit=True) * 2 - 1) + 1) / 2
    assert off(found, golden("uvcgan.npz")["uvcgan_small.out"]) < 1e-4


def test_the_u_net_gives_the_golden_outputs(golden) -> None:
    arrays, tag = golden("systems.npz"), "pix2pix_unet_small"
    config = UNetConfig(filters=8, levels=5, dropout=0, evaluation="running")
    network = golden_weights(build(config), tag)
    assert off(network(image(2, 3, 64, 64)), arrays[f"{tag}.eval"]) < 1e-4
    assert off(network.train()(image(2, 3, 64, 64)), arrays[f"{tag}.batch_statistics"]) < 1e-4


@pytest.fixture
def small_bridge() -> BBDM:
    config = BBDMConfig(filters=32, multipliers=(1, 2, 4), head_channels=16, steps=6)
    network = golden_weights(build(config), "bbdm_unet_small")
    assert isinstance(network, BBDM)
    return network


def test_the_network_of_bbdm_gives_the_golden_output(golden, small_bridge: BBDM) -> None:
    found = small_bridge.predict(image(2, 3, 32, 48), image(2, 3, 32, 48, 0.9), torch.tensor([17, 803]))
    assert off(found, golden("bbdm.npz")["unet.out"]) < 1e-4


def test_the_schedule_and_a_training_step_of_bbdm_are_the_golden_ones(golden, small_bridge: BBDM) -> None:
    arrays = golden("bbdm.npz")
    shares, variances = zip(*(bridge(time) for time in range(0, 1000, 37)), strict=True)
    assert shares == pytest.approx(arrays["bridge.m_t"], rel=1e-5)
    assert variances == pytest.approx(arrays["bridge.variance_t"], rel=1e-5)
    assert sampled_times(200) == arrays["bridge.steps200"].tolist()
    nir, rgb = image(1, 3, 16, 24), image(1, 3, 16, 24, 0.9)
    x, apart = point(nir, rgb, torch.tensor([300]), image(1, 3, 16, 24, 2.1))
    assert off(x, arrays["bridge.x_300"]) < 1e-4
    assert off(apart, arrays["bridge.objective_300"]) < 1e-4
    loss = (small_bridge.predict(x, rgb, torch.tensor([300])) - apart).abs().mean()
    assert float(loss) == pytest.approx(float(arrays["bridge.loss_300"][0]), rel=1e-4)


@pytest.mark.parametrize("eta", [0, 1])
def test_the_sampler_of_bbdm_gives_the_golden_image(golden, small_bridge: BBDM, eta: int) -> None:
    found = small_bridge.sample(image(1, 3, 16, 24, 0.9), lambda number: image(1, 3, 16, 24, 2.1 + number), eta=eta)
    assert off(found, golden("bbdm.npz")[f"bridge.sample6_eta{eta}"]) < 1e-4


def test_the_noise_of_bbdm_follows_from_the_image(small_bridge: BBDM) -> None:
    rgb = image(1, 3, 32, 32)
    other = rgb.clone()
    other[0, 0, 0, 0] += 4 / 255
    found, again, changed = (small_bridge(each) for each in (rgb, rgb, other))
    assert torch.equal(found, again)
    assert float((found - changed).abs().mean()) > 0.01


def test_bbdm_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        counts = [
            sum(p.numel() for p in build(config).parameters())
            for config in (BBDMConfig(conditioned=False), BBDMConfig())
        ]
    assert counts == [237_091_331, 237_091_331 + 3 * 128 * 9]


def test_patch_discriminators_give_the_golden_scores(golden) -> None:
    arrays, tag = golden("systems.npz"), "pix2pix_patchgan_small"
    network = golden_weights(PatchDiscriminator(PATCHES), tag)
    assert off(network(image(2, 6, 64, 96))[-1], arrays[f"{tag}.eval"]) < 1e-4
    assert off(network.train()(image(2, 6, 64, 96))[-1], arrays[f"{tag}.batch_statistics"]) < 1e-4
    one = DiscriminatorConfig(in_channels=3, scales=1, form="pix2pix")
    network = golden_weights(PatchDiscriminator(one), "cyclegan_patchgan")
    assert off(network(image(1, 3, 256, 256))[-1], arrays["cyclegan_patchgan.eval"]) < 1e-4


def test_the_discriminators_of_pix2pixhd_give_the_golden_features_and_losses(golden) -> None:
    tag, arrays = "pix2pixhd_discriminator_small", golden("systems.npz")
    network = MultiScaleDiscriminator(DiscriminatorConfig(in_channels=6, filters=8, scales=2))
    for scale, theirs in zip(network.scales, ("scale1", "scale0"), strict=True):  # theirs count from the coarsest
        golden_weights(scale, tag, theirs)
    real, fake = network(image(1, 6, 64, 96)), network(image(1, 6, 64, 96, 0.9))
    for scale, maps in enumerate(real):
        for layer, found in enumerate(maps):
            assert off(found, arrays[f"{tag}.real_scale{scale}_layer{layer}"]) < 1e-4
    scores = [[maps[-1] for maps in both] for both in (real, fake)]
    inner = [[maps[:-1] for maps in both] for both in (real, fake)]
    judged = 2 * losses.discriminator_loss(*scores, "lsgan")
    matched = PRESETS["pix2pixhd"]().losses.feature_matching * losses.feature_matching_loss(*inner)
    generator, matching, *halves = arrays[f"{tag}.losses"]
    assert [float(losses.generator_loss(scores[1], "lsgan")), float(matched), float(judged)] == pytest.approx(
        [generator, matching, sum(halves)], rel=1e-4
    )


def test_the_losses_of_pix2pix_are_those_of_the_reference() -> None:
    rgb, nir = image(2, 3, 64, 64), image(2, 3, 64, 64, 0.9)
    generated = golden_weights(build(UNetConfig(filters=8, levels=5, dropout=0)), "pix2pix_unet_small").train()(rgb)
    judge = golden_weights(PatchDiscriminator(PATCHES), "pix2pix_patchgan_small").train()
    fake, real = (judge(torch.cat((rgb, other), dim=1))[-1:] for other in (generated, nir))
    assert float(losses.discriminator_loss(real, fake, "vanilla")) == pytest.approx(0.7509663105, rel=1e-4)
    assert float(losses.generator_loss(fake, "vanilla")) == pytest.approx(1.1301331520, rel=1e-4)
    assert 100 * float((generated - nir).abs().mean()) == pytest.approx(52.5848312378, rel=1e-4)


def test_the_losses_of_irformer_and_bci_are_those_of_the_reference() -> None:
    x, y = image(2, 3, 64, 64), image(2, 3, 64, 64, 0.9)
    similarity = losses.ssim((x + 1) / 2, (y + 1) / 2, data_range=1.0, mirrored=True).mean()
    assert float(losses.smooth_l1_loss(x, y)) == pytest.approx(0.0243394673, rel=1e-4)
    assert float(similarity) == pytest.approx(0.5065771341, rel=1e-4)
    levels = zip(losses.pyramid(x, 4), losses.pyramid(y, 4), strict=True)
    found = [25 * float((a - b).abs().mean()) for a, b in levels]
    assert found == pytest.approx([8.9910297394, 8.8071565628, 8.1061611176, 5.8722972870], rel=1e-4)


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [
        ("irformer", 39_611, None),
        ("pix2pix", 54_413_955, 2_768_705),
        ("pix2pixhd", 182_443_267, 5_535_618),
        ("pix2pixhd-internimage", 123_098_563, 5_535_618),
        ("bci", 11_383_427, 2_768_705),
        ("cyclegan", 11_378_179, 2_764_737),
        ("uvcgan", 31_360_239, 2_764_737),
        ("unit", 11_140_483, 8_271_171),
        ("munit", 15_026_187, 8_271_171),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_preset_has_the_published_number_of_parameters(
    preset: str, generator: int, discriminator: int | None
) -> None:
    config = PRESETS[preset]()
    with torch.device("meta"):
        assert sum(p.numel() for p in build(config.generator).parameters()) == generator
        if discriminator is not None:
            judges = MultiScaleDiscriminator(config.discriminator)
            assert sum(p.numel() for p in judges.parameters()) == discriminator


SMALL: dict[str, AnyGeneratorConfig] = {
    "unet": UNetConfig(filters=4, levels=6),
    "batch": ResNetConfig(filters=4, levels=2, blocks=2, norm="batch", dropout=0.5),
    "internimage": ResNetConfig(filters=4, levels=2, blocks=1, block="internimage"),
    "irformer": IRFormerConfig(width=8, blocks=1),
    "unet-vit": UNetViTConfig(widths=(4, 8), transformer_width=12, blocks=2, hidden=16, embedding=6),
    "unit": UNITConfig(filters=4, blocks=1),
    "munit": MUNITConfig(filters=4, blocks=1),
    "bbdm": BBDMConfig(filters=32, multipliers=(1, 1), blocks=1, head_channels=32, steps=3),
}


@pytest.mark.parametrize("name", SMALL)
def test_an_image_gives_the_same_in_every_batch_and_at_every_time(name: str) -> None:
    torch.manual_seed(0)
    network = build(SMALL[name]).eval()
    with torch.inference_mode():
        both = network(image(2, 3, 128, 128))
        alone = network(image(2, 3, 128, 128)[1:])
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=0)
    assert both.shape == (2, 3, 128, 128)
    assert both.abs().max() <= 1


@pytest.mark.parametrize("name", ["unet", "batch"])
def test_evaluation_goes_on_as_training_or_by_running_statistics_without_dropout(name: str) -> None:
    torch.manual_seed(0)
    network = build(SMALL[name]).eval()
    plain = build(SMALL[name].model_copy(update={"evaluation": "running", "dropout": 0.0})).eval()
    running = build(SMALL[name].model_copy(update={"evaluation": "running"})).eval()
    for other in (plain, running):
        other.load_state_dict(network.state_dict())
    x = image(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(plain(x), running(x))
        assert (network(x) - running(x)).abs().max() > 1e-3


def test_fixed_dropout_drops_its_share_at_places_that_look_random() -> None:
    ones = torch.ones(1, 64, 48, 40)
    first, second = (Dropout(0.5, fixed=True, seed=seed).eval()(ones) for seed in (0, 1))
    assert set(first.unique().tolist()) == {0.0, 2.0}
    kept = (first[0] > 0).float()
    assert float(kept.mean()) == pytest.approx(0.5, abs=0.01)
    for axis in range(3):  # of neighbours along each axis, half are alike
        alike = (kept.diff(dim=axis) == 0).float().mean()
        assert float(alike) == pytest.approx(0.5, abs=0.03)
        assert float(kept.mean(dim=axis).std()) < 0.12  # no row, column or channel stays whole
    assert float((first == second).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(Dropout(0.5, fixed=False).eval()(ones), ones)


def test_fixed_normals_are_normal_and_differ_from_image_to_image() -> None:
    levels = torch.randint(256, (400, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    found = fixed_normals(levels / 127.5 - 1, 8)
    assert float(found.mean()) == pytest.approx(0, abs=0.05)
    assert float(found.std()) == pytest.approx(1, abs=0.05)
    assert float(torch.corrcoef(found.T).fill_diagonal_(0).abs().max()) < 0.2
    assert len({tuple(row) for row in found.tolist()}) > 395
    levels[0, 1, 2, 3] = (levels[0, 1, 2, 3] + 1) % 256
    again = fixed_normals(levels / 127.5 - 1, 8)
    assert torch.equal(found[1:], again[1:])
    assert float((found[0] - again[0]).abs().max()) > 0.1


def test_munit_gives_one_content_in_many_styles() -> None:
    torch.manual_seed(0)
    network = build(SMALL["munit"]).eval()
    code = network.encoder(image(1, 3, 64, 64))
    first, second = (network.decode(code, torch.full((1, 8), style)) for style in (-1.0, 1.0))
    assert float((first - second).abs().mean()) > 1e-3
    assert torch.equal(first, network.decode(code, torch.full((1, 8), -1.0)))
    assert network.style_encoder(image(2, 3, 64, 64)).shape == (2, 8)


def test_an_image_too_small_for_a_network_is_refused_in_one_line() -> None:
    with pytest.raises(ShapeError, match=r"64x160 .* divisible by 1 and at least 128; pad it to 128x160"):
        build(SMALL["irformer"])(torch.zeros(1, 3, 64, 160))


def test_a_generator_of_no_known_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'generator': no kind of generator 'unett'; did you mean 'unet'\?"):
        TrainConfig.read({"generator": {"kind": "unett"}}, where="run.yaml")
    with pytest.raises(ConfigError, match=r"unknown key 'generator\.filtres'; did you mean 'filters'\?"):
        TrainConfig.read({"generator": {"kind": "unet", "filtres": 3}}, where="run.yaml")


@pytest.mark.parametrize(
    ("tag", "config", "layout"),
    [
        ("cyclegan_resnet9_small", ResNetConfig(filters=8, levels=2), "resnet"),
        ("pix2pixhd_global_small", ResNetConfig(filters=8), "resnet"),
        ("pix2pix_unet_small", UNetConfig(filters=8, levels=5), "pix2pix"),
        ("irformer", IRFormerConfig(), "irformer"),
        (
            "uvcgan_small",
            UNetViTConfig(widths=(12, 24, 48), transformer_width=48, blocks=2, hidden=96, embedding=24),
            "uvcgan",
        ),
        ("bbdm_unet_small", BBDMConfig(filters=32, multipliers=(1, 2, 4)), "bbdm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_projects_own_checkpoint_is_known_by_its_names_and_imported(
    tmp_path: Path, nirgen: Nirgen, tag: str, config: AnyGeneratorConfig, layout: str
) -> None:
    state: dict[str, Any] = golden_state(tag)
    expected = golden_weights(build(config), tag).state_dict()
    if layout == "bbdm":  # the averaged network beside the last one and the schedule
        last = {"m_t": torch.zeros(1000)} | {f"denoise_fn.{name}": tensor + 1 for name, tensor in state.items()}
        state = {"step": 7, "model": last, "ema": {f"denoise_fn.{name}": tensor for name, tensor in state.items()}}
    if layout == "uvcgan":
        state["net.unet.inner_module.inner_module.inner_module.trans_input.x_const"] = torch.zeros(64)
    torch.save(dict(reversed(state.items())), tmp_path / "latest_net_G.pth")
    assert nirgen("models", "import", tmp_path / "latest_net_G.pth", tmp_path / "m.safetensors")[0] == 0
    network, header = load(tmp_path / "m.safetensors")
    assert network.config == config
    assert header["provenance"].endswith(f"read by the '{layout}' layout")
    found = network.state_dict()
    assert found.keys() == expected.keys()
    assert [name for name, tensor in found.items() if not torch.equal(tensor, expected[name])] == []


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_residual_network_of_batch_norm_is_imported_with_or_without_dropout(
    tmp_path: Path, nirgen: Nirgen, dropout: float
) -> None:
    config = ResNetConfig(filters=2, levels=2, blocks=2, norm="batch", dropout=dropout)
    expected = build(config).state_dict()
    theirs = {}
    for name, tensor in expected.items():
        head, block, tail = name.replace("layers.", "model.").partition(".branch.")
        number, _, rest = tail.partition(".")
        place = int(number) - (block != "" and dropout == 0 and int(number) > 4) if block else 0
        theirs[f"{head}.conv_block.{place}.{rest}" if block else head] = tensor
    torch.save(theirs, tmp_path / "latest_net_G.pth")
    code = nirgen("models", "import", tmp_path / "latest_net_G.pth", tmp_path / "m.safetensors", "--as", "resnet")[0]
    network, _ = load(tmp_path / "m.safetensors")
    assert (code, network.config) == (0, config)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("state", "layout", "message"),
    [
        ({"fc.weight": (2, 2)}, "auto", "none of the layouts that nirgen knows (its first tensor is 'fc.weight')"),
        ({"fc.weight": (2, 2)}, "bbdm", "no 'input_blocks.0.0.weight', which the layout 'bbdm' has"),
        ({"model.1.weight": (8, 3, 7, 7)}, "auto", "not all of the layout 'resnet' is there"),
        (
            {
                "model.1.weight": (8, 36, 7, 7),
                "model.10.conv_block.1.weight": (32, 32, 3, 3),
                "model.26.weight": (3, 8),
            },
            "auto",
            "a network of 36 input channels, not of RGB images",
        ),
        (
            {"model.model.0.weight": (8, 3, 4, 4), "model.model.3.weight": (16, 3, 4, 4)},
            "pix2pix",
            "by the layout 'pix2pix': 'levels': Input should be greater than or equal to 3",
        ),
        ({"net.layer_input.0.weight": (8, 3, 3, 3)}, "uvcgan", "not all of the layout 'uvcgan' is there"),
    ],
    ids=["unknown", "another", "cut", "labels", "levels", "missing"],
)
def test_a_checkpoint_that_cannot_be_imported_is_one_line(
    tmp_path: Path, nirgen: Nirgen, state: dict[str, tuple[int, ...]], layout: str, message: str
) -> None:
    torch.save({name: torch.zeros(shape) for name, shape in state.items()}, tmp_path / "G.pth")
    code, out, error = nirgen("models", "import", tmp_path / "G.pth", tmp_path / "m.safetensors", "--as", layout)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert f"{tmp_path / 'G.pth'}" in error
    assert message in error
    assert not (tmp_path / "m.safetensors").exists()


def test_the_network_of_a_latent_bbdm_is_refused(tmp_path: Path, nirgen: Nirgen) -> None:
    state = {f"denoise_fn.{name}": tensor for name, tensor in golden_state("bbdm_unet_small").items()}
    state["denoise_fn.input_blocks.0.0.weight"] = torch.zeros(32, 3, 3, 3)
    torch.save({"model": state}, tmp_path / "latest_model.pth")
    code, _, error = nirgen("models", "import", tmp_path / "latest_model.pth", tmp_path / "m.safetensors")
    assert code == 1
    assert "of BBDM's latent variant, which nirgen lacks" in error
