"""Weights of other projects in and out, and every file that must be refused."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import GeneratorConfig, InternImageConfig
from nirgen.models.importing import our_name, released_names
from nirgen.models.internimage import InternImage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Nirgen = Callable[..., tuple[int, str, str]]


class TouchesAFile:
    """Unpickled, it runs a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.path)!r}, 'w').close()",)


def one_line(result: tuple[int, str, str]) -> str:
    """The error of a command that must have failed with exit code 1."""
    code, out, error = result
    assert (code, out) == (1, "")
    assert error.startswith("error: ")
    assert error.endswith("\n")
    assert error.count("\n") == 1
    return error


def test_the_released_generator_gives_the_golden_output_through_import_and_comes_back_by_export(
    tmp_path: Path, nirgen: Nirgen, golden, golden_weight, golden_input
) -> None:
    source, model, back = tmp_path / "G.pt", tmp_path / "m.safetensors", tmp_path / "back.pt"
    try:
        with torch.device("meta"):
            state = build(GeneratorConfig.released()).state_dict()
        names = released_names(state)
        weights = {names[name]: golden_weight(names[name], tensor) for name, tensor in state.items()}
        torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in weights.items()}}, source)

        assert nirgen("models", "import", source, model, "--licence", "MIT")[0] == 0
        source.unlink()
        generator, header = load(model)
        assert (header["licence"], header["training"]) == ("MIT", {})
        assert header["provenance"].startswith("G.pt (sha256 ")
        with torch.inference_mode():
            found = generator(golden_input).numpy()
        del generator
        expected = golden("released_generator_64x96.npz")["nir"]
        assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()

        assert nirgen("models", "export", model, back) == (0, f"{back}: 316,120,492 values\n", "")
        exported = torch.load(back, weights_only=True, mmap=True)
        assert exported.keys() == weights.keys()
        assert all(torch.equal(exported[name], tensor) for name, tensor in weights.items())
    finally:
        for path in (source, model, back):  # 1.3 GB each
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("wrapper", ["model", "state_dict", None])
def test_an_official_internimage_becomes_a_start_for_training(
    tmp_path: Path, nirgen: Nirgen, small_internimage: InternImageConfig, wrapper: str | None
) -> None:
    state = InternImage(small_internimage).state_dict()
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 300}, tmp_path / "official.pth")
    path = tmp_path / "extractors/ours.safetensors"
    code, out, _ = nirgen("models", "import", tmp_path / "official.pth", path, "--as", "internimage")
    assert (code, out) == (0, f"{path}: an extractor of {len(state)} tensors\n")
    with safe_open(path, "pt") as file:
        read_off = InternImageConfig.model_validate_json(file.metadata()["nirgen_extractor"])
    assert read_off == small_internimage.model_copy(update={"normalize": "imagenet"})

    wanted = read_off.model_copy(update={"weights": str(path), "classes": None})
    generator = build(GeneratorConfig.compact(extractor=wanted), load_weights=True)
    loaded = {name.removeprefix("extractor.backbone."): tensor for name, tensor in generator.state_dict().items()}
    kept = [name for name in state if not name.startswith(("head.", "conv_head."))]
    assert len(kept) > 100
    assert all(torch.equal(loaded[name], state[name]) for name in kept)


def test_the_sizes_of_a_post_norm_internimage_are_read_off(tmp_path: Path, nirgen: Nirgen) -> None:
    config = InternImageConfig(width=160, depths=(1, 1, 1, 1), groups=(10, 20, 40, 80), offset_scale=2.0)
    save_file(InternImage(config).state_dict(), tmp_path / "large.safetensors")
    target = tmp_path / "ours.safetensors"
    nirgen("models", "import", tmp_path / "large.safetensors", target, "--as", "internimage")
    with safe_open(target, "pt") as file:
        read_off = InternImageConfig.model_validate_json(file.metadata()["nirgen_extractor"])
    assert read_off == config.model_copy(update={"normalize": "imagenet"})


@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, nirgen: Nirgen, how: str) -> None:
    source, ran = tmp_path / "evil.pt", tmp_path / "ran"
    content = {"state_dict": {"init_conv.weight": TouchesAFile(ran)}}
    if how == "pickle":
        source.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, source)
    error = one_line(nirgen("models", "import", source, tmp_path / "m.safetensors"))
    assert "evil.pt: holds more than tensors, perhaps code" in error
    assert list(tmp_path.iterdir()) == [source]
    torch.load(source, weights_only=False) if how == "torch.save" else pickle.loads(source.read_bytes())
    assert ran.exists(), "the trap is none"


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_cut_off_file_is_not_imported(tmp_path: Path, nirgen: Nirgen, suffix: str, keep: float) -> None:
    source = tmp_path / f"cut{suffix}"
    if suffix == ".pt":
        torch.save({"init_conv.weight": torch.zeros(1000)}, source)
    else:
        save_file({"init_conv.weight": torch.zeros(1000)}, source)
    whole = source.read_bytes()
    source.write_bytes(whole[: int(keep * len(whole))])
    error = one_line(nirgen("models", "import", source, tmp_path / "m.safetensors"))
    assert f"cut{suffix}: can't be read" in error
    assert "fetch it again" in error
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    ("layout", "message"),
    [("released", "another architecture: 'bottleneck.0."), ("internimage", "not an InternImage")],
)
def test_another_architecture_is_not_imported(tmp_path: Path, nirgen: Nirgen, layout: str, message: str) -> None:
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "resnet.pt")
    error = one_line(nirgen("models", "import", tmp_path / "resnet.pt", tmp_path / "m.safetensors", "--as", layout))
    assert f"resnet.pt: {message}" in error
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, {"state_dict": {}}, [1, 2]])
def test_a_file_without_tensors_is_not_imported(tmp_path: Path, nirgen: Nirgen, content: object) -> None:
    torch.save(content, tmp_path / "a.pt")
    error = one_line(nirgen("models", "import", tmp_path / "a.pt", tmp_path / "m.safetensors"))
    assert "a.pt: holds no tensors by name" in error


def test_a_missing_file_is_not_imported(tmp_path: Path, nirgen: Nirgen) -> None:
    error = one_line(nirgen("models", "import", tmp_path / "a.pt", tmp_path / "m.safetensors"))
    assert "a.pt: no such file; name a .pt" in error


def test_a_target_of_another_ending_is_refused(tmp_path: Path, nirgen: Nirgen) -> None:
    error = one_line(nirgen("models", "import", tmp_path / "a.pt", tmp_path / "m.pt"))
    assert "m.pt: a model file ends in .safetensors" in error


def test_only_the_released_architecture_is_exported(
    tmp_path: Path, nirgen: Nirgen, small_config: GeneratorConfig
) -> None:
    save(tmp_path / "m.safetensors", build(small_config).state_dict(), small_config)
    error = one_line(nirgen("models", "export", tmp_path / "m.safetensors", tmp_path / "m.pt"))
    assert "only the 'released' architectures can be exported" in error
    assert not (tmp_path / "m.pt").exists()


def test_a_changed_tensor_is_told_by_the_command(tmp_path: Path, nirgen: Nirgen, small_config: GeneratorConfig) -> None:
    path = tmp_path / "m.safetensors"
    save(path, build(small_config).state_dict(), small_config)
    assert nirgen("models", "info", path)[0] == 0
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    error = one_line(nirgen("models", "info", path))
    assert "m.safetensors: tensors and architecture hash to" in error
    assert "fetch or export it again" in error


def test_info_says_what_a_model_is(tmp_path: Path, nirgen: Nirgen, small_config: GeneratorConfig) -> None:
    path = tmp_path / "m.safetensors"
    metrics = [{"name": "psnr", "value": 20.5, "on": "val"}]
    header = save(path, build(small_config).state_dict(), small_config, metrics=metrics, licence="MIT")
    code, out, _ = nirgen("models", "info", path)
    assert code == 0
    for words in (f"{header['model_id']} (verified)", "EBD", "MIT", "psnr (val)", "20.5"):
        assert words in out
    assert json.loads(nirgen("models", "info", path, "--json")[1]) == header


class TestNamingAModelForTranslation:
    """`nirgen translate --model NAME`: nothing is written where the model can't be used."""

    @pytest.fixture
    def translate(self, tmp_path: Path, nirgen: Nirgen, save: Callable[..., Path]) -> Callable[..., str]:
        def run(model: object) -> str:
            save(tmp_path / "photos/a.png")
            error = one_line(nirgen("translate", tmp_path / "photos", tmp_path / "out", "--model", model))
            assert not (tmp_path / "out").exists()
            return error

        return run

    def test_a_mistyped_name_gets_the_nearest(self, translate, monkeypatch, tmp_path) -> None:
        (tmp_path / "embedded").mkdir()
        (tmp_path / "embedded/compact.safetensors").touch()
        monkeypatch.setattr("nirgen.models.catalog.EMBEDDED", tmp_path / "embedded")
        assert "no model 'compct'; did you mean 'compact'?" in translate("compct")

    def test_a_pickle_gets_the_way_in(self, translate, tmp_path) -> None:
        torch.save({"a": torch.zeros(1)}, tmp_path / "G.pt")
        assert (
            "G.pt: not a safetensors file, but a PyTorch pickle; convert it with 'nirgen models import'"
            in translate(tmp_path / "G.pt")
        )

    def test_a_pickle_under_the_other_name_is_no_model(self, translate, tmp_path) -> None:
        torch.save({"a": TouchesAFile(tmp_path / "ran")}, tmp_path / "m.safetensors")
        assert "but a PyTorch pickle" in translate(tmp_path / "m.safetensors")
        assert not (tmp_path / "ran").exists()

    def test_a_cut_off_model_is_refused(self, translate, tmp_path) -> None:
        save_file({"a": torch.zeros(100)}, tmp_path / "m.safetensors", metadata={"nirgen": "{}"})
        (tmp_path / "m.safetensors").write_bytes((tmp_path / "m.safetensors").read_bytes()[:50])
        assert "m.safetensors: can't be read as safetensors" in translate(tmp_path / "m.safetensors")

    def test_a_missing_file_is_named(self, translate, tmp_path) -> None:
        assert "m.safetensors: no such model file" in translate(tmp_path / "m.safetensors")

    def test_a_folder_without_a_model_is_named(self, translate, tmp_path) -> None:
        (tmp_path / "run").mkdir()
        assert "run: a folder without model.safetensors" in translate(tmp_path / "run")


NAMES = [
    ("init_conv.weight", "stem.weight"),
    ("unet.internimage.levels.2.blocks.20.dcn.offset.bias", "extractor.levels.2.blocks.20.dcn.offset.bias"),
    ("unet.encoder.0.1.residual_layer.weight", "encoder.0.1.shortcut.weight"),
    ("unet.encoder.1.0.downsample_conv.bias", "encoder.1.conv.bias"),
    ("unet.encoder.6.1.conv_input_c.weight", "encoder.6.1.condition_conv.weight"),
    ("unet.bottle_neck.1.1.attention_1.in_proj.weight", "bottleneck.1.1.self_attention.in_proj.weight"),
    ("unet.bottle_neck.0.2.norm_merged.weight", "bottleneck.0.2.norm2.weight"),
    ("unet.decoder.0.1.linear_geglu_2.bias", "decoder.0.1.feed_forward.contract.bias"),
    ("unet.decoder.0.1.layer_norm_2.bias", "decoder.0.1.norm2.bias"),
    ("unet.decoder.5.0.upsample_conv.weight", "decoder.5.conv.weight"),
    ("unet.output_res_block.block2.proj.weight", "output_block.conv2.weight"),
    ("unet.output_block.conv.bias", "output.bias"),
]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build(GeneratorConfig.released()).state_dict()


@pytest.mark.parametrize(("theirs", "ours"), NAMES)
def test_a_name_is_translated_both_ways(state: dict[str, torch.Tensor], theirs: str, ours: str) -> None:
    assert our_name(theirs) == ours
    assert released_names(state)[ours] == theirs


def test_no_two_names_meet(state: dict[str, torch.Tensor]) -> None:
    names = released_names(state)
    assert len(set(names.values())) == len(names) == 1110
    assert [our_name(theirs) for theirs in names.values()] == list(names)
