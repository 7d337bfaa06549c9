"""Networks of transformers', and heads for our categories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    PreTrainedModel,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
)

from nirgen.detect.detector import find_sources, load_detector
from nirgen.detect.networks import Network, give_heads, quiet, read_network, write_network
from nirgen.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from pathlib import Path


COCO = ("person", "bicycle", "car", "motorbike", "aeroplane", "bus", "train", "truck", "boat")
OURS = ("car", "person", "cone")
ROWS = ((2, 5, 7), (0,), ())
FILES = ["config.json", "model.safetensors", "preprocessor_config.json"]
SIZES: dict[str, Any] = {
    "encoder_in_channels": [16, 24, 32],
    "encoder_hidden_dim": 32,
    "encoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "hidden_expansion": 0.5,
    "d_model": 32,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 64,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "num_queries": 20,
    "num_denoising": 10,
    "id2label": dict(enumerate(COCO)),
    "label2id": {name: number for number, name in enumerate(COCO)},
}


def resnet() -> RTDetrResNetConfig:
    return RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1] * 4, layer_type="basic", out_indices=[2, 3, 4]
    )


def hgnet() -> HGNetV2Config:
    return HGNetV2Config(
        embedding_size=8,
        stem_channels=[3, 8, 8],
        hidden_sizes=[8, 16, 24, 32],
        depths=[1] * 4,
        stage_in_channels=[8, 8, 16, 24],
        stage_mid_channels=[8] * 4,
        stage_out_channels=[8, 16, 24, 32],
        stage_num_blocks=[1] * 4,
        stage_numb_of_layers=[2] * 4,
        out_indices=[2, 3, 4],
    )


def make(kind: str) -> PreTrainedModel:
    """A tiny network that knows nine of COCO's classes, with heads that differ from layer to layer."""
    torch.manual_seed(0)
    model: PreTrainedModel = {
        "rt_detr_v2": lambda: RTDetrV2ForObjectDetection(RTDetrV2Config(backbone_config=resnet(), **SIZES)),
        "rt_detr": lambda: RTDetrForObjectDetection(RTDetrConfig(backbone_config=resnet(), **SIZES)),
        "d_fine": lambda: DFineForObjectDetection(DFineConfig(backbone_config=hgnet(), **SIZES)),
    }[kind]()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "class_embed" in name or "score_head" in name:
                parameter.add_(torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(params=["rt_detr_v2", "d_fine", "rt_detr"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An RT-DETRv2 as transformers writes it."""
    with quiet():
        make("rt_detr_v2").save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def heads(state: dict[str, torch.Tensor]) -> set[str]:
    """The names of what depends on the labels: two layers' weights and biases, the encoder's, and the embedding."""
    found = {name for name in state if "class_embed" in name or "enc_score_head" in name}
    assert len(found) >= 7
    return found


def test_heads_keep_the_rows_of_their_labels_in_every_layer(kind: str) -> None:
    before = Network(make(kind), COCO)
    after = give_heads(before, OURS, ROWS)
    old, new = before.model.state_dict(), after.model.state_dict()
    assert old.keys() == new.keys()
    names = heads(old)
    for name in names:
        rows = [old[name][2], old[name][0], old[name][:9].mean(0)] + ([old[name][9]] if len(old[name]) == 10 else [])
        assert torch.equal(new[name], torch.stack(rows)), name
    assert all(torch.equal(old[name], new[name]) for name in old.keys() - names)
    assert (after.labels, after.model.config.num_labels) == (OURS, 3)
    assert (before.labels, before.model.config.num_labels) == (COCO, 9)


def labels_of(*counts: int) -> list[dict[str, torch.Tensor]]:
    boxes = torch.tensor([[0.3, 0.3, 0.2, 0.4], [0.6, 0.5, 0.2, 0.2]])
    return [{"boxes": boxes[:count], "class_labels": torch.arange(count)} for count in counts]


@pytest.mark.parametrize("counts", [(2, 0), (0, 0), (1, 2)])
def test_networks_with_new_heads_learn_from_images_with_and_without_boxes(kind: str, counts: tuple[int, int]) -> None:
    model: Any = give_heads(Network(make(kind), COCO), OURS, ROWS).model.train()
    outputs = model(pixel_values=torch.rand(2, 3, 64, 64), labels=labels_of(*counts))
    outputs.loss.backward()
    assert torch.isfinite(outputs.loss)
    assert model.model.enc_score_head.weight.grad.abs().sum() > 0


def test_what_is_written_is_read_as_it_was(kind: str, tmp_path: Path) -> None:
    network = give_heads(Network(make(kind), COCO, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)), OURS, ROWS)
    write_network(tmp_path, network.model, network, 96)
    again = read_network(str(tmp_path), categories=())
    old, new = network.model.state_dict(), again.model.state_dict()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in old)
    (tmp_path / "again").mkdir()
    write_network(tmp_path / "again", again.model, again, 96)
    third = read_network(str(tmp_path / "again"), categories=())
    (tmp_path / "third").mkdir()
    write_network(tmp_path / "third", third.model, third, 96)
    for name in FILES:
        assert (tmp_path / "third" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (again.labels, again.size, again.mean, again.std) == (OURS, 96, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == FILES
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "config.json").stat().st_mode


def test_networks_see_what_their_processor_says() -> None:
    pixels = torch.full((1, 2, 2, 3), 51, dtype=torch.uint8)
    plain = Network(make("rt_detr_v2"), COCO)
    assert plain.normalise(pixels).unique().tolist() == pytest.approx([0.2])
    shifted = Network(plain.model, COCO, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.1))
    assert shifted.normalise(pixels)[0, :, 0, 0].tolist() == pytest.approx([0.2, 0.0, -1.0], abs=1e-6)


def test_a_model_of_coco_predicts_our_categories_as_it_is(folder: Path) -> None:
    detector = load_detector(folder, categories=("person", "bicycle", "car"), device="cpu", size=64)
    assert detector.sources == find_sources(COCO, ("person", "bicycle", "car")) == ((0,), (1, 3), (2, 5, 7))
    assert detector.network.labels == COCO
    (found,) = detector.predict([torch.zeros(40, 60, 3, dtype=torch.uint8).numpy()])
    assert len(found.scores) == 60  # 20 queries of 3 categories


def test_a_category_that_it_does_not_know_is_refused_before_it_predicts(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"m: knows no 'cone' \(its labels: person, bicycle, car, motorbike, "):
        load_detector(folder, categories=OURS)


def test_a_size_that_a_checkpoint_was_fixed_to_does_not_bind(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"anchor_image_size": [64, 64]}))
    detector = load_detector(folder, categories=("car",), device="cpu", size=96)
    assert len(detector.predict([torch.zeros(40, 60, 3, dtype=torch.uint8).numpy()])) == 1


def test_code_that_came_with_a_model_is_never_run(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    own = {"auto_map": {"AutoConfig": "own.Config", "AutoModelForObjectDetection": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(values | own))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    assert read_network(str(folder), categories=()).labels == COCO
    assert not (folder / "ran").exists()


def test_a_model_of_the_hubs_cache_needs_no_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_network(folder, make("rt_detr_v2"), Network(make("rt_detr_v2"), COCO), 96)
    repository = tmp_path / "cache/models--some--detector"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("0" * 40)
    folder.rename(repository / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    found = read_network("some/detector", categories=())
    assert (found.labels, found.size) == (COCO, 96)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "lacks 1 tensors, such as 'model.enc_output.0.weight'; get its model.safetensors again"),
        ("short", "can't be read ("),
        ("kind", "a model of the kind 'detr'; nirgen takes rt_detr_v2, d_fine, rt_detr"),
        ("pickle", "can't be read ("),
        ("json", "can't be read ("),
    ],
)
def test_models_that_can_not_be_used_are_one_line(folder: Path, damage: str, message: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if damage == "missing":
        tensors = load_file(weights)
        del tensors["model.enc_output.0.weight"]
        save_file(tensors, weights, {"format": "pt"})
    elif damage == "short":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "kind":
        config.write_text('{"model_type": "detr"}')
    elif damage == "pickle":
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    else:
        config.write_text("{")
    with pytest.raises(ModelError) as caught:
        read_network(str(folder), categories=())
    assert str(caught.value).startswith(f"{folder}: {message}")
    assert "\n" not in str(caught.value)
