from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nirgen.errors import ConfigError, ModelError
from nirgen.model import load_model
from nirgen.models import onnx as onnx_files
from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import build, load, save
from nirgen.models.config import (
    AnyGeneratorConfig,
    GeneratorConfig,
    IRFormerConfig,
    MUNITConfig,
    ResNetConfig,
    UNetViTConfig,
)

if TYPE_CHECKING:
    from pathlib import Path


onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of all parts that `compact` has, tiny."""
    torch.manual_seed(0)
    config = GeneratorConfig(
        stem_channels=8,
        encoder=((), (8,)),
        bottleneck=((8,), (8,), (8,)),
        decoder=((8,), ()),
        attention_heads=2,
        norm_groups=4,
        output_block=True,
        extractor={"kind": "internimage", "width": 8, "depths": [1, 1, 1, 1], "groups": [1, 2, 4, 8]},
    )
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    training = {"steps": 7, "seed": 1, "pairs": [{"nir_sha256": "0"}, {"nir_sha256": "1"}]}
    save(path, build(config).state_dict(), config, training=training, licence="CC0-1.0", provenance="made for a test")
    return path


@pytest.fixture(scope="module")
def exported(path: Path) -> Path:
    """What the command makes of it."""
    target = path.parent / "deep" / "model.onnx"
    command = [sys.executable, "-m", "nirgen", "export", str(path), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = [f"loading the model {path} ...", f"next: nirgen translate PHOTOS nir --model {target}"]
    assert done.stderr.splitlines() == said
    assert done.stdout.startswith("sides are multiples of 32; the largest difference from torch is ")
    assert f"\n{target}: model " in done.stdout
    return target


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 96, 160), (4, 64, 32)])
def test_onnx_runtime_gives_what_the_model_gives_at_any_size(exported: Path, path: Path, shape) -> None:
    images, height, width = shape
    rgb = np.random.default_rng(0).integers(0, 256, (images, 3, height, width), dtype=np.uint8)
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    found = session.run(["nir"], {"rgb": rgb.astype(np.float32) / 255})[0]
    expected = load_model(path, device="cpu").translate(torch.from_numpy(rgb), [(height, width)] * images)
    assert found.dtype == np.float32
    assert found.shape == (images, 1, height, width)
    assert np.abs(found - expected.numpy()).max() < 1e-4


def test_a_backbone_with_tensorflows_padding_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(
        stem_channels=8,
        encoder=((8,), (8,)),
        bottleneck=((8,), (8,), (8,)),
        decoder=((8,), (8,)),
        attention_heads=2,
        norm_groups=4,
        extractor={"kind": "timm", "name": "tf_mobilenetv3_small_minimal_100"},
    )
    path, target = tmp_path / "model.safetensors", tmp_path / "model.onnx"
    generator = build(config)
    save(path, generator.state_dict(), config, training={}, licence="CC0-1.0", provenance="made for a test")
    stride, difference = onnx_files.export_onnx(generator, read_header(path), generator.stride, target)
    assert stride == 32
    assert difference < 1e-4
    rgb = np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32)
    found = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"]).run(None, {"rgb": rgb})[0]
    expected = load_model(path, device="cpu").translate(
        torch.from_numpy((rgb * 255).round().astype(np.uint8)), [(64, 96)]
    )
    assert np.abs(found - expected.numpy()).max() < 0.02  # of rounding to 8 bits
    facts = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert facts["stride"] == "32"


def test_the_embedded_model_is_exported(tmp_path: Path) -> None:
    target = tmp_path / "compact.onnx"
    command = [sys.executable, "-m", "nirgen", "export", "compact", "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert f"\n{target}: model 03d581ae" in done.stdout
    rgb = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 96), dtype=np.uint8)
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    found = session.run(["nir"], {"rgb": rgb.astype(np.float32) / 255})[0]
    expected = load_model("compact", device="cpu").translate(torch.from_numpy(rgb), [(64, 96)])
    assert np.abs(found - expected.numpy()).max() < 1e-4


@pytest.mark.parametrize(
    ("config", "sides"),
    [
        (IRFormerConfig(width=8, blocks=1), 128),
        (ResNetConfig(filters=2, levels=2, blocks=1, norm="batch", dropout=0.5), 32),
        (UNetViTConfig(widths=(4, 8), transformer_width=12, blocks=1, hidden=16, embedding=6), 32),
        (MUNITConfig(filters=2, blocks=1), 32),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_generator_of_another_kind_is_exported(config: AnyGeneratorConfig, sides: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    header = save(tmp_path / "m.safetensors", build(config).state_dict(), config)
    generator, _ = load(tmp_path / "m.safetensors")
    stride, difference = onnx_files.export_onnx(generator, header, 32, tmp_path / "m.onnx")
    assert (stride, difference < 1e-3) == (sides, True)


def test_the_file_says_what_it_is(exported: Path, path: Path) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["model_id"] == read_header(path)["model_id"]
    assert (facts["licence"], facts["provenance"], facts["stride"]) == ("CC0-1.0", "made for a test", "32")
    assert json.loads(facts["training"]) == {"steps": 7, "seed": 1, "pairs": 2}
    assert facts["input"] == "rgb: (N, 3, H, W) float32, sRGB in [0, 1]; H and W are multiples of 32"
    assert {entry.domain for entry in model.opset_import} <= {"", "pkg.onnxscript.torch_lib"}


def test_a_file_that_computes_something_else_is_refused(exported: Path, path: Path) -> None:
    generator, _ = load(path)
    network, data = onnx_files.ForDeployment(generator).eval(), exported.read_bytes()
    assert onnx_files.check_same(network, data, 32, exported) < 1e-4
    with torch.no_grad():
        generator.output.bias += 0.01  # of 2: half a hundredth of what the file's [0, 1] spans
    with pytest.raises(ModelError, match=r"model\.onnx: not written: .* differs from torch's by 0\.005 of 1"):
        onnx_files.check_same(network, data, 32, exported)


def test_a_file_that_onnx_runtime_can_not_run_is_refused(path: Path, tmp_path: Path) -> None:
    network = onnx_files.ForDeployment(load(path)[0]).eval()
    with pytest.raises(ModelError, match=r"m\.onnx: not written: ONNX Runtime can't run it at every size \(") as caught:
        onnx_files.check_same(network, b"no protobuf", 32, tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def test_what_onnx_has_no_word_for_is_one_line(small_config: GeneratorConfig, tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.mean()) > 0 else -x

    generator = build(small_config).eval()
    generator.stem.register_module("odd", Odd())
    generator.output = torch.nn.Sequential(generator.output, generator.stem.odd)
    with pytest.raises(ModelError, match="this architecture can't be written as ONNX") as caught:
        onnx_files.export_onnx(generator, {}, 32, tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"'nirgen export' needs onnxscript: pip install 'nirgen\[onnx\]'"):
        onnx_files.check_packages()
