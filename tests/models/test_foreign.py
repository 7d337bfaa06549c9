from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nirgen.errors import ConfigError, ModelError, ShapeError
from nirgen.model import load_model
from nirgen.models.foreign import open_network
from nirgen.translate.manifest import read_manifest

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FLOAT, HALF, BYTES = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8


def write(
    path: Path, nodes, *, shape=(1, 3, "h", "w"), kind=FLOAT, out=None, inputs=1, constants=(), **metadata
) -> Path:
    """Write an ONNX file of nodes that map `x` to `y`."""
    make = onnx.helper
    given = [make.make_tensor_value_info(f"x{number or ''}", kind, shape) for number in range(inputs)]
    made = [make.make_tensor_value_info("y", kind, out or (1, None, None, None))]
    held = [onnx.numpy_helper.from_array(value, name) for name, value in dict(constants).items()]
    model = make.make_model(
        make.make_graph(nodes, "net", given, made, held), opset_imports=[make.make_opsetid("", 20)], ir_version=9
    )
    make.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def node(operator: str, *inputs: str, out: str = "y", **attributes):
    return onnx.helper.make_node(operator, list(inputs), [out], **attributes)


def red(path: Path, **settings) -> Path:
    """Write a network that gives the red channel."""
    weight = np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1)
    return write(path, [node("Conv", "x", "w")], constants={"w": weight}, **settings)


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("value_range", ["0,1", "-1,1", "0,255"])
def test_values_are_scaled_to_the_range_of_an_onnx_network(value_range: str, tmp_path: Path) -> None:
    model = load_model(red(tmp_path / "red.onnx"), value_range=value_range, device="cpu")
    assert np.array_equal(model(photo()), photo()[..., 0])


def test_a_file_states_its_own_range_and_stride(tmp_path: Path) -> None:
    path = red(tmp_path / "red.onnx", range="-1,1", stride="8", licence="MIT")
    network = open_network(path)
    assert (network.low, network.high, network.stride, network.header["licence"]) == (-1, 1, 8, "MIT")


def test_an_exported_model_is_a_model_again(tmp_path: Path, small_config) -> None:
    from nirgen.models.checkpoint import build, save
    from nirgen.models.onnx import export_onnx

    torch.manual_seed(0)
    generator = build(small_config).eval()
    header = {
        "model_id": "0",
        "licence": "CC0-1.0",
        "provenance": "",
        "training": {},
        "architecture": {},
        "nirgen": "0",
    }
    export_onnx(generator, header, generator.stride, tmp_path / "model.onnx")
    save(tmp_path / "model.safetensors", generator.state_dict(), small_config, training={}, licence="", provenance="")
    made = [load_model(tmp_path / name, device="cpu")(photo(64, 96)) for name in ("model.onnx", "model.safetensors")]
    assert np.abs(made[0].astype(int) - made[1]).max() <= 1


def test_channels_may_come_last_and_values_be_bytes(tmp_path: Path) -> None:
    nodes = [node("Gather", "x", "zero", axis=3)]
    constants = {"zero": np.array([0])}
    path = write(tmp_path / "bytes.onnx", nodes, shape=(1, "h", "w", 3), kind=BYTES, constants=constants)
    assert np.array_equal(load_model(path, device="cpu")(photo()), photo()[..., 0])


def test_a_network_of_one_size_is_computed_in_windows(tmp_path: Path) -> None:
    path = red(tmp_path / "fixed.onnx", shape=(1, 3, 32, 48), range="0,1")
    model = load_model(path, device="cpu")
    for height, width in ((32, 48), (100, 130), (20, 30)):
        assert np.array_equal(model(photo(height, width)), photo(height, width)[..., 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (red, "doesn't state the range of its values; give it with --range"),
        (lambda path: path.write_bytes(b"no protobuf"), "ONNX Runtime can't read it"),
        (lambda path: red(path, shape=(1, 4, "h", "w"), range="0,1"), "takes an input of shape"),
        (lambda path: red(path, shape=(2, 3, "h", "w"), range="0,1"), "takes an input of shape"),
        (lambda path: write(path, [node("Add", "x", "x1")], inputs=2, range="0,1"), "takes 2 inputs"),
        (
            lambda path: write(path, [node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2])], range="0,1"),
            r"gives 1x3x32x48 for an image of 96x64 pixels; a network is needed whose output has the size of its input",
        ),
        (
            lambda path: write(path, [node("Sub", "x", "two", out="z"), node("Log", "z")], range="0,1",
                               constants={"two": np.float32(2)}),
            "gives values that are not finite",
        ),
        (
            lambda path: write(path, [node("Mul", "x", "two")], range="0,1", constants={"two": np.float32(2)}),
            r"gives values from 0 to 1.\d+, outside of its range 0 to 1; give another --range",
        ),
        (
            lambda path: write(path, [node("Expand", "x", "huge")], range="0,1",
                               constants={"huge": np.array([2**20, 3, 2**20, 2**20])}),
            "fails on 96x64 pixels",
        ),
    ],
    ids=["no range", "no onnx", "four channels", "two images", "two inputs", "smaller", "not finite",
         "too large", "huge"],
)  # fmt: skip
def test_what_is_no_network_of_images_is_one_line(make, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    make(path)
    with pytest.raises((ModelError, ConfigError), match=message) as caught:
        open_network(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_torchscript_file_is_a_model(tmp_path: Path) -> None:
    convolution = torch.nn.Conv2d(3, 1, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1))
        with warnings.catch_warnings(action="ignore"):
            torch.jit.trace(convolution, torch.rand(1, 3, 32, 32)).save(str(tmp_path / "green.torchscript"))
    model = load_model(tmp_path / "green.torchscript", value_range="-1,1", device="cpu")
    assert np.array_equal(model(photo()), photo()[..., 1])
    assert model.header["architecture"]["kind"] == "torchscript"


def test_weights_without_a_network_are_no_torchscript(tmp_path: Path) -> None:
    torch.save({"weight": torch.rand(3)}, tmp_path / "weights.torchscript")
    with pytest.raises(ModelError, match=r"weights\.torchscript: no TorchScript file .*; weights alone are read by"):
        open_network(tmp_path / "weights.torchscript", value_range="0,1")


FUNCTION = """
def blue(rgb):
    if rgb[0, 0, 0] == 7:
        raise ValueError("seven")
    return rgb[..., 2]

blue.licence = "MIT"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a module of the user's, in the present folder; its name."""
    (tmp_path / "colours_of_mine.py").write_text(FUNCTION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "colours_of_mine", raising=False)
    return "colours_of_mine"


def test_a_function_translates_a_folder(module: str, nirgen, save, tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"photos/{number}.png", seed=number)
    code, out, _ = nirgen("translate", "photos", "nir", "--model", f"{module}:blue")
    assert code == 0, out
    manifest = read_manifest(tmp_path / "nir")
    assert [row.status for row in manifest.rows] == ["done"] * 3
    assert (manifest.model["licence"], manifest.model["architecture"]["function"]) == ("MIT", f"{module}:blue")
    from nirgen import images

    for number in range(3):
        made = images.read(tmp_path / f"nir/{number}.png")
        assert np.array_equal(made[..., 0], images.read(tmp_path / f"photos/{number}.png")[..., 2])


def test_an_image_that_a_function_refuses_is_a_row(module: str, nirgen, save, tmp_path: Path) -> None:
    from PIL import Image

    save(tmp_path / "photos/a.png")
    Image.fromarray(np.full((20, 30, 3), 7, np.uint8)).save(tmp_path / "photos/b.png")
    code, _, errors = nirgen("translate", "photos", "nir", "--model", f"{module}:blue", "--batch", "2")
    assert code == 3
    assert f"failed: 'b.png': {module}:blue fails: ValueError: seven" in errors
    assert [row.status for row in read_manifest(tmp_path / "nir").rows] == ["done", "failed"]


def test_another_source_is_another_model(module: str, tmp_path: Path) -> None:
    first = open_network(f"{module}:blue").id
    (tmp_path / "colours_of_mine.py").write_text(FUNCTION.replace("2]", "1]"))
    assert open_network(f"{module}:blue").id != first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "colours_of_mine:grey",
            r"can't be imported \(AttributeError: module 'colours_of_mine' has no attribute 'grey'",
        ),
        ("nothing_of_mine:grey", r"can't be imported \(ModuleNotFoundError: No module named 'nothing_of_mine'"),
        ("colours_of_mine:__name__", "no function of a Python file"),
    ],
)
def test_what_is_no_function_is_one_line(name: str, message: str, module: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_network(name)


def test_an_image_of_another_shape_is_named(module: str, tmp_path: Path) -> None:
    (tmp_path / "colours_of_mine.py").write_text("def half(rgb):\n    return rgb[::2, :, 0]\n")
    model = load_model(f"{module}:half", device="cpu")
    with pytest.raises(ShapeError, match=r"half returns 20x60 of uint8 for 40x60x3; return \(H, W\) uint8"):
        model(photo())


def test_an_onnx_file_translates_a_folder_with_the_same_bytes_again(nirgen, save, tmp_path: Path) -> None:
    save(tmp_path / "photos/a.png")
    path = red(tmp_path / "red.onnx")
    for out in ("one", "two"):
        words = ("translate", tmp_path / "photos", tmp_path / out, "--model", path, "--range", "0,1")
        assert nirgen(*words)[0] == 0
    names = ("a.png", "manifest.parquet")
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
