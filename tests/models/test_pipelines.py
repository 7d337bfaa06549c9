"""Pipelines of diffusers, tiny and of random weights."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from nirgen.errors import ConfigError, ModelError
from nirgen.model import load_model
from nirgen.models.foreign import open_network
from nirgen.translate.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

diffusers = pytest.importorskip("diffusers")


def save_pipeline(folder: Path, kind: Any, channels: int) -> Path:
    """Write a pipeline whose U-Net reads so many channels."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    words = ["<|startoftext|>", "<|endoftext|>", *string.ascii_lowercase, *(f"{a}</w>" for a in string.ascii_lowercase)]
    vocabulary, merges = folder.with_suffix(".vocabulary.json"), folder.with_suffix(".merges.txt")
    vocabulary.write_text(json.dumps({word: number for number, word in enumerate(words)}))
    merges.write_text("#version: 0.2\n")
    text = CLIPTextConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=len(words),
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=4,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=32,
    )
    made = kind(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(str(vocabulary), str(merges), model_max_length=77),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.save_pretrained(folder)
    (folder / "nirgen.yaml").write_text("{prompt: near infrared, steps: 4, licence: CC0-1.0}")
    return folder


@pytest.fixture(scope="module")
def image_to_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion, which is saved as one from text to images."""
    return save_pipeline(tmp_path_factory.mktemp("sd") / "pipeline", diffusers.StableDiffusionPipeline, 4)


@pytest.fixture(scope="module")
def instructed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An InstructPix2Pix."""
    kind = diffusers.StableDiffusionInstructPix2PixPipeline
    return save_pipeline(tmp_path_factory.mktemp("instructed") / "pipeline", kind, 8)


@pytest.fixture
def pipeline(image_to_image: Path, tmp_path: Path) -> Path:
    """A copy of the first to change; its files are links."""
    folder = tmp_path / "copy"
    for path in image_to_image.rglob("*"):
        target = folder / path.relative_to(image_to_image)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    return folder


def photo(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (36, 52, 3), dtype=np.uint8)


def test_a_pipeline_translates_a_folder_with_the_same_bytes_again(
    image_to_image: Path, nirgen, save, tmp_path: Path
) -> None:
    for number in range(3):
        save(tmp_path / f"photos/{number}.png", 52, 36, seed=number)
    save(tmp_path / "one/2.png", 52, 36, seed=2)
    for photos in ("photos", "one"):
        words = ("translate", tmp_path / photos, tmp_path / f"nir {photos}", "--model", f"diffusers:{image_to_image}")
        code, _, errors = nirgen(*words, "--device", "cpu", "--batch", 2)
        assert code == 0, errors
    assert (tmp_path / "nir one/2.png").read_bytes() == (tmp_path / "nir photos/2.png").read_bytes()
    header = read_manifest(tmp_path / "nir photos").model
    assert (header["licence"], header["architecture"]["pipeline"]) == ("CC0-1.0", "StableDiffusionPipeline")


def test_noise_depends_on_the_image_and_the_seed(pipeline: Path) -> None:
    name = f"diffusers:{pipeline}"
    first = load_model(name, device="cpu")
    (pipeline / "nirgen.yaml").write_text("{prompt: near infrared, steps: 4, seed: 1}")
    other = load_model(name, device="cpu")
    assert first.id != other.id
    assert np.array_equal(first(photo()), first(photo()))
    assert not np.array_equal(first(photo()), other(photo()))


def test_strength_decides_how_much_of_the_photo_stays(pipeline: Path) -> None:
    made = []
    for strength in (0.3, 1.0):
        (pipeline / "nirgen.yaml").write_text(f"{{strength: {strength}, steps: 4}}")
        made.append(load_model(f"diffusers:{pipeline}", device="cpu")(photo()))
    assert not np.array_equal(*made)


def test_an_instructed_pipeline_is_a_model(instructed: Path) -> None:
    made = load_model(f"diffusers:{instructed}", device="cpu")(photo())
    assert (made.shape, made.dtype) == ((36, 52), np.uint8)
    assert made.std() > 0


def test_values_of_all_parts_are_counted(image_to_image: Path) -> None:
    from safetensors.torch import load_file

    tensors = [tensor for path in image_to_image.rglob("*.safetensors") for tensor in load_file(path).values()]
    network = open_network(f"diffusers:{image_to_image}")
    network.load()
    assert network.count_parameters() == sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())


def test_a_lora_changes_the_images(pipeline: Path) -> None:
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    name = f"diffusers:{pipeline}"
    without = load_model(name, device="cpu")(photo())
    base = diffusers.StableDiffusionPipeline.from_pretrained(pipeline, safety_checker=None)
    base.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = get_peft_model_state_dict(base.unet)
    base.save_lora_weights(pipeline, unet_lora_layers=layers, weight_name="nir.safetensors")
    (pipeline / "nirgen.yaml").write_text("{prompt: near infrared, steps: 4, lora: nir.safetensors}")
    assert not np.array_equal(load_model(name, device="cpu")(photo()), without)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, r"no pipeline of diffusers \(model_index.json: "),
        ({"unet": ["diffusers", "UNet2DConditionModel"]}, "names no pipeline of diffusers"),
        ({"_class_name": ["mine", "Pipeline"]}, "names no pipeline of diffusers"),
        ({"_class_name": "StableDiffusionPipeline", "unet": ["os", "system"]}, "its part 'unet' is of 'os'"),
        ({"_class_name": "StableDiffusionPipeline", "unet": []}, r"its part 'unet' is of \[\]"),
        ({"_class_name": "StableDiffusionPipeline", "unet": [["a"], "b"]}, "its part 'unet' is of "),
    ],
)
def test_what_is_no_pipeline_is_refused_before_anything_is_imported(index: Any, message: str, tmp_path: Path) -> None:
    if index is not None:
        (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=message):
        open_network(f"diffusers:{tmp_path}")


def test_pickled_weights_are_not_read(pipeline: Path) -> None:
    (weights,) = (pipeline / "unet").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="its weights must be"):
        load_model(f"diffusers:{pipeline}", device="cpu")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ("strenght: 1", ConfigError, "unknown key 'strenght'; did you mean 'strength'"),
        ("strength: 2", ConfigError, "strength"),
        ("lora: ../nir.safetensors", ModelError, "is no .safetensors file"),
        ("lora: nir.bin", ModelError, "is no .safetensors file"),
    ],
)
def test_wrong_settings_are_one_line(settings: str, error: type[Exception], message: str, pipeline: Path) -> None:
    (pipeline / "nirgen.yaml").write_text(settings)
    with pytest.raises(error, match=message):
        open_network(f"diffusers:{pipeline}")


def test_weights_of_values_that_are_not_finite_are_refused(pipeline: Path) -> None:
    from safetensors.torch import load_file, save_file

    (weights,) = (pipeline / "unet").glob("*.safetensors")
    save_file({name: value * float("nan") for name, value in load_file(weights).items()}, weights, {"format": "pt"})
    with pytest.raises(ModelError, match="gives values that are not finite for an image of 64x64 pixels"):
        load_model(f"diffusers:{pipeline}", device="cpu")
