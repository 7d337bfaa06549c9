from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nirgen._version import __version__
from nirgen.errors import ConfigError, ModelError, OutputError
from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import build, load, load_state, model_id, record_metrics, save

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig


@pytest.fixture
def model(tmp_path: Path, small_config: GeneratorConfig) -> Path:
    torch.manual_seed(0)
    save(tmp_path / "m.safetensors", build(small_config).state_dict(), small_config)
    return tmp_path / "m.safetensors"


def rewrite(path: Path, **changes: Any) -> None:
    """Write the same tensors under a changed header; a change to None takes the entry out."""
    header = read_header(path) | changes
    kept = {name: value for name, value in header.items() if value is not None}
    save_file(load_file(path), path, metadata={"nirgen": json.dumps(kept)})


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path, small_config: GeneratorConfig) -> None:
    generator = build(small_config).eval()
    save(tmp_path / "new/m.safetensors", generator.state_dict(), small_config)
    loaded, header = load(tmp_path / "new/m.safetensors")
    assert loaded.config == small_config
    assert not loaded.training
    assert header["model_id"] == model_id(generator.state_dict(), small_config.model_dump(mode="json"))
    rgb = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded(rgb), generator(rgb))


def test_the_header_says_all_about_the_model(tmp_path: Path, small_config: GeneratorConfig) -> None:
    state = build(small_config).state_dict()
    path, metrics = tmp_path / "m.safetensors", [{"name": "psnr", "value": 20.5, "on": "val"}]
    save(path, state, small_config, training={"steps": 3}, metrics=metrics, licence="MIT", provenance="made up")
    assert read_header(path) == {
        "schema": 1,
        "nirgen": __version__,
        "architecture": small_config.model_dump(mode="json"),
        "model_id": model_id(state, small_config.model_dump(mode="json")),
        "training": {"steps": 3},
        "metrics": metrics,
        "licence": "MIT",
        "provenance": "made up",
    }
    with safe_open(path, "pt") as file:
        assert list(file.metadata()) == ["nirgen"]


def test_half_precision_loads_as_float32(tmp_path: Path, small_config: GeneratorConfig) -> None:
    state = {name: tensor.half() for name, tensor in build(small_config).state_dict().items()}
    save(tmp_path / "m.safetensors", state, small_config)
    loaded, _ = load(tmp_path / "m.safetensors")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.stem.weight, state["stem.weight"].float())


def test_the_model_id_depends_on_names_shapes_types_and_values_and_not_on_the_order() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])
    assert model_id({"a": a, "b": b}, {}) == model_id({"b": b, "a": a}, {})
    others = [{"a": a, "c": b}, {"a": a.view(1, 2), "b": b}, {"a": a.half(), "b": b}, {"a": a + 1e-6, "b": b}]
    assert len({model_id(state, {}) for state in [{"a": a, "b": b}, *others]}) == 5
    assert model_id({"x": torch.tensor(1.0)}, {"heads": 4}) == (
        # of '{"heads": 4}', "x|()|torch.float32|" and the value's four bytes
        "554f6cc7974c0efaba4067bf29332dc6fc9c4d27c997d5c22f53d7403af78931"
    )


def test_an_architecture_that_computes_something_else_with_the_same_tensors_is_another_model() -> None:
    state = {"x": torch.tensor(1.0)}
    assert model_id(state, {"attention_heads": 4}) != model_id(state, {"attention_heads": 2})


def test_saving_twice_gives_the_same_bytes(tmp_path: Path, small_config: GeneratorConfig) -> None:
    state = build(small_config).state_dict()
    save(tmp_path / "a.safetensors", state, small_config)
    save(tmp_path / "b.safetensors", dict(reversed(state.items())), small_config)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    model: Path, small_config: GeneratorConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    before = model.read_bytes()
    monkeypatch.setattr("nirgen.models.weights.save_file", full_disk)
    with pytest.raises(OutputError, match=r"m\.safetensors: can't be written \(No space left on device\)"):
        save(model, {}, small_config)
    assert model.read_bytes() == before
    assert list(model.parent.iterdir()) == [model]


def test_a_changed_tensor_is_noticed(model: Path) -> None:
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    with pytest.raises(ModelError, match=r"m\.safetensors: tensors and architecture hash to \w{12}, the header"):
        load_state(model)


def test_a_changed_header_is_noticed(model: Path) -> None:
    data = model.read_bytes()
    assert data.count(b"unknown") == 1  # the licence
    model.write_bytes(data.replace(b"unknown", b"unknowo"))
    with pytest.raises(ModelError, match=r"m\.safetensors: its header is damaged \(its checksum is wrong\); fetch or"):
        load_state(model)


@pytest.mark.parametrize("keep", [0, 4, 200, -100])
def test_a_cut_off_file_is_refused_in_one_line(model: Path, keep: int) -> None:
    model.write_bytes(model.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"m\.safetensors: .*(cut off|whole|damaged)") as caught:
        load(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\x02" + bytes(7) + b"[]", b"\x04" + bytes(7) + b"null", b"\xff" * 64])
def test_what_only_begins_like_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.safetensors: "):
        load(tmp_path / "m.safetensors")


def test_safetensors_of_another_project_are_refused_with_the_way_in(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=r"not a nirgen model .* 'nirgen models import'"):
        load(tmp_path / "m.safetensors")


def test_another_schema_is_refused(model: Path) -> None:
    rewrite(model, schema=2)
    with pytest.raises(ModelError, match="has schema 2, and this nirgen reads 1; update nirgen"):
        load(model)


@pytest.mark.parametrize("entry", ["architecture", "model_id", "training", "licence"])
def test_a_header_without_an_entry_is_refused(model: Path, entry: str) -> None:
    rewrite(model, **{entry: None})
    with pytest.raises(ModelError, match=f"the header lacks '{entry}'"):
        load(model)


def test_another_architecture_is_refused_naming_the_first_tensor(model: Path, small_config: GeneratorConfig) -> None:
    wider = small_config.model_copy(update={"stem_channels": 16})
    rewrite(model, architecture=wider.model_dump(mode="json"))
    message = (
        r"another architecture: 'encoder\.0\.0\.conv1\.weight' has shape \(8, 8, 3, 3\) in the file, \(8, 16, 3, 3\)"
    )
    with pytest.raises(ModelError, match=message):
        load(model)


def test_an_architecture_with_an_unknown_key_is_refused(model: Path, small_config: GeneratorConfig) -> None:
    rewrite(model, architecture=small_config.model_dump(mode="json") | {"attentoin": "B"})
    with pytest.raises(ConfigError, match=r"m\.safetensors \(architecture\): unknown key 'attentoin'.*'attention'"):
        load(model)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model file; 'nirgen models list'"):
        load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("architecture", "compact", "the header's 'architecture' is a str, not a dict"),
        ("training", ["a"], "the header's 'training' is a list, not a dict"),
        ("training", {"pairs": {"a": 1}}, "the header's 'training.pairs' is no list of nir_sha256"),
        ("training", {"pairs": ["a"]}, "the header's 'training.pairs' is no list of nir_sha256"),
        ("metrics", [{"name": "psnr"}], "the header's 'metrics' is no list of name, on, value"),
        ("licence", 3, "the header's 'licence' is a int, not a str"),
    ],
)
def test_a_header_with_an_entry_of_another_kind_is_refused(
    model: Path, entry: str, value: object, message: str
) -> None:
    rewrite(model, **{entry: value})
    with pytest.raises(ModelError) as caught:
        load(model)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_heads_that_do_not_divide_the_channels_are_refused_at_loading(
    model: Path, small_config: GeneratorConfig
) -> None:
    rewrite(model, architecture=small_config.model_dump(mode="json") | {"attention_heads": 3})
    with pytest.raises(ConfigError, match="attention_heads is 3, which doesn't divide the 8 channels"):
        load(model)


def test_numbers_can_be_written_into_a_header_later(model: Path) -> None:
    before, tensors = read_header(model), load_file(model)
    metrics = [{"name": "SSIM", "value": 0.5, "on": "val"}]
    record_metrics(model, metrics)
    generator, header = load(model)
    assert header == before | {"metrics": metrics}
    assert torch.equal(generator.stem.weight, tensors["stem.weight"])
