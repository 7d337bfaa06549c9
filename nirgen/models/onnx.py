"""Export of a generator as ONNX.

The file maps `rgb`, (N, 3, H, W) float32 in [0, 1], to `nir`, (N, C, H, W) float32 in [0, 1], for any N and any H and W
that are multiples of the stride; its metadata states this and identifies the model.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nirgen.errors import ConfigError, ModelError, first_line
from nirgen.files import output_file
from nirgen.models.config import BBDMConfig
from nirgen.models.extractors import TimmExtractor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nirgen.models.network import Generator


OPSET = 20
TOLERANCE = 1e-3  # largest accepted difference from torch's outputs in [0, 1]: a quarter of a grey level
_CHECKED = ((1, 1, 1), (1, 4, 3), (2, 2, 3), (3, 3, 1))  # images, and rows and columns in strides


class ForDeployment(nn.Module):
    """A generator, in evaluation mode, with intensities in [0, 1] on both sides."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, C, H, W) in [0, 1], clamped."""
        return (self.generator(rgb * 2 - 1) / 2 + 0.5).clamp(0, 1)  # type: ignore[no-any-return]


class _FixedPadding(nn.Module):
    """A convolution with TensorFlow's "same" padding, for sides that are multiples of its stride.

    timm computes the padding from the input's size, which makes the symbolic sizes of `torch.export` grow without end.
    """

    def __init__(self, same: nn.Conv2d) -> None:
        super().__init__()
        self.same = same
        self.padding: list[int] = []
        for kernel, stride, dilation in zip(same.kernel_size, same.stride, same.dilation, strict=True):
            total = max((kernel - 1) * dilation + 1 - stride, 0)
            self.padding = [total // 2, total - total // 2, *self.padding]  # of the last dimension first

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, D, H / stride, W / stride)."""
        same = self.same
        x = F.pad(x, self.padding)
        return F.conv2d(x, same.weight, same.bias, same.stride, dilation=same.dilation, groups=same.groups)


def export_onnx(generator: Generator, header: Mapping[str, Any], stride: int, target: Path) -> tuple[int, float]:
    """Write a generator, in float32 on the CPU, as an ONNX file.

    Returns:
        The number whose multiples the sides of its inputs are, which is `stride` unless the network or a
        backbone needs a larger one; and the largest difference from torch's result, in [0, 1].

    Raises:
        ModelError: It can't be written as ONNX (diffusion can't), or outputs differ at some size. Nothing is written.
    """
    check_packages()
    if isinstance(generator.config, BBDMConfig):
        raise ModelError(
            f"{target}: not written: this model runs its network {generator.config.steps} times an image, with noise "
            "between, which ONNX can't express; use 'nirgen translate'"
        )
    network = ForDeployment(generator).eval()
    fixed = copy.deepcopy(network)
    stride = math.lcm(stride, generator.config.least_side, _fix_padding(fixed))
    model = _translate(fixed, stride)
    _describe(model, header, stride)
    data = model.SerializeToString()
    difference = check_same(network, data, stride, target)
    with output_file(target) as temporary:
        temporary.write_bytes(data)
    return stride, difference


def check_packages() -> None:
    """Raise a ConfigError if a package that writes or runs ONNX is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"'nirgen export' needs {error.name}: pip install 'nirgen[onnx]'") from None


def _fix_padding(network: ForDeployment) -> int:
    """Fix the padding of a timm backbone that depends on the input's size; return the stride that this needs."""
    from timm.layers.conv2d_same import Conv2dSame

    stride = 1
    for extractor in [module for module in network.modules() if isinstance(module, TimmExtractor)]:
        padded = [name for name, module in extractor.named_modules() if isinstance(module, Conv2dSame)]
        for name in padded:
            extractor.set_submodule(name, _FixedPadding(cast("nn.Conv2d", extractor.get_submodule(name))))
        if padded:
            stride = extractor.backbone.feature_info.reduction()[-1]  # type: ignore[operator, union-attr]
    return stride


def _translate(network: ForDeployment, stride: int) -> Any:
    """Convert to an `onnx.ModelProto` with free numbers of images, rows and columns."""
    images, rows, columns = (torch.export.Dim(name, min=1, max=4096) for name in ("images", "rows", "columns"))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                network,
                (torch.rand(2, 3, 2 * stride, 3 * stride),),  # sides of one stride would be taken for constants
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=["rgb"],
                output_names=["nir"],
                dynamic_shapes=({0: images, 2: stride * rows, 3: stride * columns},),
            )
    except Exception as error:
        raise ModelError(
            "this architecture can't be written as ONNX with any height and width "
            f"({first_line(error.__cause__ or error)}); a model with another extractor may be"
        ) from error
    finally:
        logger.setLevel(level)
    assert program is not None
    return program.model_proto


def _describe(model: Any, header: Mapping[str, Any], stride: int) -> None:
    import onnx

    training = header["training"]
    summary = {name: value for name, value in training.items() if isinstance(value, (str, int, float))}
    summary["pairs"] = len(training.get("pairs", []))
    about = {
        "model_id": str(header["model_id"]),
        "licence": str(header["licence"]),
        "provenance": str(header["provenance"]),
        "training": json.dumps(summary, sort_keys=True),
        "architecture": json.dumps(header["architecture"], sort_keys=True),
        "nirgen": str(header["nirgen"]),
        "stride": str(stride),
        "input": f"rgb: (N, 3, H, W) float32, sRGB in [0, 1]; H and W are multiples of {stride}",
        "output": "nir: (N, C, H, W) float32, near-infrared intensity in [0, 1]",
    }
    onnx.helper.set_model_props(model, about)
    model.producer_name = "nirgen"
    model.doc_string = "Near-infrared images from RGB images"


@torch.inference_mode()
def check_same(network: ForDeployment, data: bytes, stride: int, target: Path) -> float:
    """Compare ONNX Runtime's outputs with torch's at several sizes; return the largest difference, in [0, 1].

    Raises:
        ModelError: It is above `TOLERANCE`, or not a number; or ONNX Runtime fails. The message names `target`.
    """
    import onnxruntime

    generator = torch.Generator().manual_seed(0)
    differences = []
    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for images, rows, columns in _CHECKED:
            rgb = torch.rand(images, 3, rows * stride, columns * stride, generator=generator)
            expected = network(rgb).numpy()
            found = session.run(None, {"rgb": rgb.numpy()})[0]
            same = found.shape == expected.shape
            differences.append(np.abs(found - expected).max() if same else np.inf)
    except Exception as error:  # ONNX Runtime's errors have no common class
        raise ModelError(
            f"{target}: not written: ONNX Runtime can't run it at every size ({first_line(error)}); a model with "
            "another extractor may be written"
        ) from error
    difference = float(np.max(differences))
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{target}: not written: ONNX Runtime's result differs from torch's by {difference:.2g} of 1; export "
            "with another version of torch or onnxruntime"
        )
    return difference
