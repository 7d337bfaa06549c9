from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nirgen.evaluate.cost import count_gmac, count_parameters
from nirgen.model import GeneratorModel, load_model
from nirgen.models.checkpoint import build
from nirgen.models.config import UNetConfig


def test_the_operations_of_convolutions_are_counted_at_the_padded_size() -> None:
    model = GeneratorModel(build(UNetConfig(filters=2)), {}, torch.device("cpu"))
    counted = []

    def count(layer: nn.Conv2d | nn.ConvTranspose2d, given: tuple[torch.Tensor], made: torch.Tensor) -> None:
        places = made if isinstance(layer, nn.Conv2d) else given[0]
        counted.append(places[0, 0].numel() * layer.weight.numel())

    layers = [layer for layer in model.generator.modules() if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    model.generator(torch.zeros(1, 3, 512, 256))
    for handle in handles:
        handle.remove()
    assert counted
    assert count_gmac(model, (300, 256)) == pytest.approx(sum(counted) / 1e9)
    assert count_parameters(model) == sum(parameter.numel() for parameter in model.generator.parameters())


def test_the_floating_point_initializers_of_an_onnx_file_are_counted(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper
    sides = (make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, None, "h", "w")) for name in "y")
    rgb = make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (1, 3, "h", "w"))
    held = [
        onnx.numpy_helper.from_array(np.full((1, 3, 1, 1), 0.3, np.float32), "w"),
        onnx.numpy_helper.from_array(np.array([1, -1, 1, 1], np.int64), "unused"),
    ]
    graph = make.make_graph([make.make_node("Conv", ["x", "w"], ["y"])], "net", [rgb], list(sides), held)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 20)], ir_version=9), tmp_path / "a.onnx")
    model = load_model(tmp_path / "a.onnx", value_range="0,1", device="cpu")
    assert count_parameters(model) == 3
    assert count_gmac(model, (64, 64)) is None
