"""What training promises holds for the presets of the comparison systems, here narrowed to a moment's work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from nirgen.errors import ConfigError
from nirgen.model import load_model
from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import build, save
from nirgen.models.config import BBDMConfig, IRFormerConfig, MUNITConfig, UNetConfig
from nirgen.train import train
from nirgen.train.checkpoints import Checkpoints
from nirgen.train.config import PRESETS, TrainConfig
from nirgen.train.loop import learning_rate_factor
from nirgen.train.systems import SYSTEMS
from nirgen.translate.manifest import read_manifest
from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.models.config import AnyGeneratorConfig
    from nirgen.pairs import PairList

    Nirgen = Callable[..., tuple[int, str, str]]

NARROW = {
    "irformer": {"width": 8, "blocks": 1},
    "pix2pix": {"filters": 4, "levels": 6},
    "pix2pixhd": {"filters": 2, "levels": 3, "blocks": 2},
    "pix2pixhd-internimage": {"filters": 4, "levels": 2, "blocks": 1},
    "cyclegan": {"filters": 4, "blocks": 2},
    "uvcgan": {"widths": [4, 8], "transformer_width": 12, "blocks": 1, "hidden": 16, "embedding": 6},
    "unit": {"filters": 4, "blocks": 1},
    "munit": {"filters": 4, "blocks": 1},
    "bci": {"filters": 4, "blocks": 2},
    "bbdm": {"filters": 32, "multipliers": [1, 1], "blocks": 1, "head_channels": 32, "steps": 3},
}
NO_JUDGE = ("irformer", "bbdm")

CYCLE = {f"{term}_{side}" for term in ("cycle", "identity", "adversarial", "discriminator") for side in ("rgb", "nir")}


def narrow(preset: str, **changes: object) -> TrainConfig:
    """Two epochs over the four pairs, or four steps."""
    side = 128 if preset == "irformer" else 64
    values = {
        "preset": preset,
        "generator": NARROW[preset],
        "discriminator": {"filters": 4},
        "losses": {"perceptual": {"weight": 0.0}, "cycle": {"pool": 3}, "latent": {"features": 0.0}},
        "stages": [{"size": side, "batch": 2, "adversarial": preset not in NO_JUDGE}],
        "compute": {"precision": "fp32"},
        "save": {"log_steps": 1, "validation_size": side},
        "optimizer": {"accumulate": 1},
        "epochs": 2,
        "steps": None,
    }
    return TrainConfig.read(values | changes, where=preset)


class After:
    """Asks to stop once so many steps are done."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("preset", SYSTEMS)
def test_a_preset_trains_resumes_to_the_bit_and_translates(preset: str, pairs: PairList, tmp_path: Path) -> None:
    config = narrow(preset)
    assert train(pairs, config, tmp_path / "straight").finished
    assert train(pairs, config, tmp_path / "resumed", stopped=After(1)).steps == 1
    assert train(pairs, config, tmp_path / "resumed").steps == 4
    headers = [read_header(tmp_path / run / "model.safetensors") for run in ("straight", "resumed")]
    assert headers[0]["model_id"] == headers[1]["model_id"]
    states = [Checkpoints(tmp_path / run / "checkpoints", 1) for run in ("straight", "resumed")]
    first, second = (state.read(state.newest()) for state in states)
    judged = ["discriminator"] if preset not in NO_JUDGE else []
    judged += ["reverse"] if config.unpaired else []
    for part in ("generator", "average", *judged):
        assert [name for name, tensor in first[part].items() if not torch.equal(tensor, second[part][name])] == []
    for pool in ("nir_pool", "rgb_pool") if config.method == "cycle" else ():
        assert len(first[pool]["images"]) == 3
        assert torch.equal(*(torch.stack(part[pool]["images"]) for part in (first, second)))
    assert headers[0]["architecture"]["kind"] == config.generator.kind
    assert (headers[0]["training"]["ema"], headers[0]["training"]["steps"]) == (preset == "bbdm", 4)
    assert config.generator.about in (tmp_path / "straight/card.md").read_text()

    lines = [json.loads(line) for line in (tmp_path / "straight/log.jsonl").read_text().splitlines()]
    terms = {name for line in lines for name in line if "progress" in line}
    expected = {"irformer": {"pixel", "ssim"}, "bci": {"pixel", "adversarial", "discriminator"}}
    expected |= {"pix2pix": expected["bci"], "cyclegan": CYCLE, "bbdm": {"bridge"}}
    expected["uvcgan"] = CYCLE | {f"discriminator_{side}_gradient" for side in ("rgb", "nir")}
    latent = {f"{term}_{side}" for term in ("image", "adversarial", "discriminator") for side in ("rgb", "nir")}
    expected["unit"] = latent | {"divergence", "cycle_rgb", "cycle_nir"}
    expected["munit"] = latent | {"content", "style_rgb", "style_nir"}
    assert terms - {"step", "minutes", "progress", "learning_rate", "gradient"} == expected.get(
        preset, {"adversarial", "feature_matching", "discriminator"}
    )

    model = load_model(tmp_path / "straight", device="cpu")
    photo = np.random.default_rng(0).integers(256, size=(50, 70, 3), dtype=np.uint8)
    nir = model(photo)
    assert nir.shape == (50, 70)
    assert np.array_equal(nir, model(photo))
    batch = torch.from_numpy(np.stack([photo[:32, :64], photo[-32:, :64]])).permute(0, 3, 1, 2)
    if model.stride == 32:
        together = model.translate(batch, [(32, 64)] * 2)
        assert torch.equal(together[1:], model.translate(batch[1:], [(32, 64)]))


@pytest.mark.parametrize("preset", SYSTEMS)
def test_a_preset_learns_in_bf16_with_a_moving_average(preset: str, pairs: PairList, tmp_path: Path) -> None:
    ema = {"optimizer": {"ema_decay": 0.9}, "compute": {"precision": "bf16"}, "steps": 1, "epochs": None}
    config = narrow(preset, **ema, data={"workers": 1})
    assert train(pairs, config, tmp_path / "run").finished
    assert read_header(tmp_path / "run/model.safetensors")["training"]["ema"]


def test_unpaired_methods_refuse_what_needs_partners() -> None:
    with pytest.raises(ConfigError, match=r"losses\.ssim compares with the real NIR image, which 'cycle' lacks"):
        narrow("cyclegan", losses={"ssim": 1.0})
    with pytest.raises(ConfigError, match=r"output_channels is 1, but the method 'cycle' needs 3 in both directions"):
        narrow("cyclegan", generator={"output_channels": 1}, discriminator={"in_channels": 1})
    with pytest.raises(ConfigError, match=r"discriminator\.in_channels is 6, but the images have 3"):
        narrow("cyclegan", discriminator={"in_channels": 6})


def test_a_bridge_goes_with_its_network_and_no_other_loss() -> None:
    with pytest.raises(ConfigError, match=r"the method 'paired' can't train a generator of the kind 'bbdm'"):
        narrow("bbdm", method="paired")
    with pytest.raises(ConfigError, match=r"the method 'bridge' can't train a generator of the kind 'unet'"):
        narrow("pix2pix", method="bridge")
    with pytest.raises(ConfigError, match=r"losses\.ssim is of no use to the method 'bridge'"):
        narrow("bbdm", losses={"ssim": 1.0})


def test_a_model_of_diffusion_takes_other_steps_and_is_another_model_then(tmp_path: Path, nirgen: Nirgen) -> None:
    torch.manual_seed(0)
    config = BBDMConfig.read(NARROW["bbdm"], where="test")
    save(tmp_path / "m.safetensors", build(config).state_dict(), config)
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(256, size=(40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.png")
    ids, outputs = set(), set()
    for number, steps in enumerate(([], ["--steps", "5"], ["--steps", "3"], ["--steps", "5"])):
        out = tmp_path / f"out{number}"
        model = ["--model", tmp_path / "m.safetensors", "--device", "cpu", "--no-preview"]
        assert nirgen("translate", tmp_path / "photos", out, *model, *steps)[0] == 0
        ids |= {row.model_id for row in read_manifest(out).rows}
        outputs |= {(out / "a.png").read_bytes()}
    assert (len(ids), len(outputs)) == (2, 2)
    for model, message in (
        ("compact", "takes no --steps, which is for models of the kind bbdm; leave it out"),
        (tmp_path / "m.safetensors", "this model translates whole images only"),
    ):
        refused = ["--tile", "32"] if model != "compact" else ["--steps", "5"]
        code, _, error = nirgen("translate", tmp_path / "photos", tmp_path / "x", "--model", model, *refused)
        assert (code, error.count("\n")) == (1, 1)
        assert message in error
    code, _, error = nirgen("export", tmp_path / "m.safetensors", "-o", tmp_path / "m.onnx")
    assert (code, (tmp_path / "m.onnx").exists()) == (1, False)
    assert "m.onnx: not written: this model runs its network 3 times an image" in error


def test_rates_follow_the_published_schedules() -> None:
    linear, annealed = PRESETS["pix2pix"](), PRESETS["irformer"]()
    total = 2000  # 200 epochs of 10 steps
    found = [learning_rate_factor(linear, step, (step + 1) / total, total) for step in (0, 999, 1000, 1009, 1010, 1999)]
    assert found == pytest.approx([1, 1, 100 / 101, 100 / 101, 99 / 101, 1 / 101])
    total = 3000  # 300 epochs of 10 steps
    found = [learning_rate_factor(annealed, step, (step + 1) / total, total) for step in (0, 9, 1500, 2999)]
    assert found[:2] == [1, 1]
    assert found[2] == pytest.approx(0.5025)
    assert found[3] == pytest.approx(0.005, abs=1e-4)
    unit, total = PRESETS["unit"](), 1_000_000
    found = [learning_rate_factor(unit, step, (step + 1) / total, total) for step in (0, 99_999, 100_000, 999_999)]
    assert found == [1, 1, 0.5, 0.5**9]


def test_a_small_image_is_padded_and_the_manifest_says_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = IRFormerConfig(width=8, blocks=1)
    save(tmp_path / "m.safetensors", build(config).state_dict(), config)
    for name, size in (("small", (40, 150)), ("large", (130, 140))):
        (tmp_path / "photos").mkdir(exist_ok=True)
        noise = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"photos/{name}.png")
    model = load_model(tmp_path / "m.safetensors", device="cpu")
    translate_folder(tmp_path / "photos", tmp_path / "out", model=model)
    rows = {row.source: row for row in read_manifest(tmp_path / "out").rows}
    assert rows["small.png"].note == "padded to 128 pixels a side, the least that the model takes"
    assert rows["large.png"].note is None
    for name in ("small", "large"):
        with Image.open(tmp_path / f"photos/{name}.png") as photo, Image.open(tmp_path / f"out/{name}.png") as nir:
            assert np.array_equal(np.asarray(nir), np.asarray(model(photo)))


def test_munit_translates_whole_images_alone_each_in_its_own_style(nirgen, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = MUNITConfig(filters=4, blocks=1)
    save(tmp_path / "m.safetensors", build(config).state_dict(), config)
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0).integers(256, size=(2, 40, 40, 3), dtype=np.uint8)
    for name, photo in zip("ab", noise, strict=True):
        Image.fromarray(photo).save(tmp_path / f"photos/{name}.png")
    words = ("translate", tmp_path / "photos", tmp_path / "out", "--model", tmp_path / "m.safetensors")
    code, _, error = nirgen(*words, "--device", "cpu", "--tile", 32)
    assert code == 1
    assert "this model translates whole images only; omit it" in error
    assert nirgen(*words, "--device", "cpu")[0] == 0
    model = load_model(tmp_path / "m.safetensors", device="cpu")
    for name, photo in zip("ab", noise, strict=True):
        with Image.open(tmp_path / f"out/{name}.png") as nir:
            assert np.array_equal(np.asarray(nir), model(photo))


def test_adapt_refuses_a_generator_of_another_kind(nirgen, pairs: PairList, tmp_path: Path) -> None:
    config = IRFormerConfig(width=8, blocks=1)
    save(tmp_path / "m.safetensors", build(config).state_dict(), config)
    pairs.write(tmp_path / "pairs.csv")
    words = ("adapt", tmp_path / "m.safetensors", tmp_path / "pairs.csv", tmp_path / "out")
    code, _, error = nirgen(*words, "--root", pairs.root, "--device", "cpu")
    assert (code, error.count("\n")) == (1, 1)
    assert "m.safetensors: a generator of the kind 'irformer'; this needs one of Pix2Next" in error


@pytest.mark.parametrize(
    ("config", "about", "sides"),
    [
        (IRFormerConfig(width=8, blocks=1), "IRFormer (Chen et al., 2024)", "multiples of 32, at least 128 pixels"),
        (UNetConfig(filters=2, levels=6), "U-Net of Pix2pix (Isola et al., CVPR 2017)", "multiples of 64 pixels"),
    ],
    ids=["irformer", "unet"],
)
def test_models_info_names_the_system_and_the_sides_of_its_images(
    nirgen, tmp_path: Path, config: AnyGeneratorConfig, about: str, sides: str
) -> None:
    save(tmp_path / "m.safetensors", build(config).state_dict(), config)
    code, out, _ = nirgen("models", "info", tmp_path / "m.safetensors")
    rows = dict(line.split("  ", 1) for line in out.splitlines() if "  " in line)
    assert code == 0
    assert rows["generator"].strip() == about
    assert rows["sides of images"].strip() == f"padded to {sides}"


def test_a_crop_smaller_than_a_network_takes_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"stages\.0\.size is 64, but the generator takes at least 128"):
        narrow("irformer", stages=[{"size": 64, "batch": 1, "adversarial": False}])


def test_several_batches_a_step_are_refused_where_each_updates_the_discriminators() -> None:
    with pytest.raises(ConfigError, match=r"set optimizer\.accumulate to 1"):
        narrow("pix2pix", optimizer={"accumulate": 2})


def test_a_generator_of_another_kind_replaces_that_of_a_preset() -> None:
    config = TrainConfig.read({"preset": "pix2pix", "generator": {"kind": "resnet", "blocks": 3}}, where="")
    assert (config.generator.kind, config.generator.blocks, config.generator.filters) == ("resnet", 3, 64)
    same = TrainConfig.read({"preset": "pix2pix", "generator": {"filters": 8}}, where="")
    assert (same.generator.kind, same.generator.filters) == ("unet", 8)
