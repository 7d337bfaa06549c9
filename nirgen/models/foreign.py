"""Networks of other programs: ONNX and TorchScript files, and functions of the user's own Python.

Each maps an sRGB image to a NIR image of the same height and width. `nirgen.model` makes models of them.
"""

from __future__ import annotations

import importlib
import inspect
import math
import re
import sys
import warnings
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.errors import ConfigError, ModelError, ShapeError, first_line
from nirgen.files import sha256_of
from nirgen.models.foreign_network import ForeignNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Values = NDArray[np.float32]


RANGES = {"0,1": (0.0, 1.0), "-1,1": (-1.0, 1.0), "0,255": (0.0, 255.0)}
SUFFIXES = (".onnx", ".torchscript")
PIPELINE = "diffusers:"
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_STRIDE = 32  # where a network doesn't state one
_TOLERANCE = 0.1  # outputs may leave their range by this share of it
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


def is_foreign(name: str | Path) -> bool:
    """Return True if a model's name is a file of another program, `diffusers:FOLDER` or `MODULE:FUNCTION`."""
    return Path(name).suffix.lower() in SUFFIXES or str(name).startswith(PIPELINE) or is_function(name)


def is_function(name: str | Path) -> bool:
    """Return True for `MODULE:FUNCTION`."""
    return _FUNCTION.fullmatch(str(name)) is not None and not Path(name).exists()


def open_network(name: str | Path, *, value_range: str | None = None, device: str = "cpu") -> ForeignNetwork:
    """Open a network of another program, and try it on one image; a pipeline is tried when it is loaded.

    Args:
        name: A path that ends in one of `SUFFIXES`, `diffusers:FOLDER`, or `MODULE:FUNCTION`.
        value_range: Key of `RANGES`, of inputs and outputs; None if an ONNX file states it.
        device: Device of the network, such as `cuda:0`.

    Raises:
        ConfigError: The range is missing or unknown, or a package is.
        ModelError: The file or function is missing or unfit: it isn't from one RGB image to one image of its size,
            fails, or gives values that are not finite or outside of its range.
    """
    if str(name).startswith(PIPELINE):
        from nirgen.models.pipelines import PipelineNetwork

        return PipelineNetwork(Path(str(name).removeprefix(PIPELINE)), device)
    if is_function(name):
        return FunctionNetwork(str(name))
    path = Path(name)
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    if value_range is not None and value_range not in RANGES:
        raise ConfigError(f"range '{value_range}': unknown (there are {', '.join(RANGES)})")
    network = (OnnxNetwork if path.suffix.lower() == ".onnx" else ScriptNetwork)(path, value_range, device)
    _try(network, path)
    return network


class _FileNetwork(ForeignNetwork):
    """A network in a file, with images as tensors in a range."""

    channels_last = False  # (1, H, W, 3), not (1, 3, H, W)
    type: Any = np.float32

    def __init__(self, path: Path) -> None:
        self.path = path
        self.low, self.high = 0.0, 1.0

    def set_range(self, value_range: str | None) -> None:
        """Set the range of inputs and outputs; ConfigError without one."""
        if value_range is None:
            raise ConfigError(
                f"{self.path}: doesn't state the range of its values; give it with --range, as {' or '.join(RANGES)}"
            )
        self.low, self.high = RANGES[value_range]

    @abstractmethod
    def run(self, images: NDArray[Any]) -> NDArray[Any]:
        """Compute a batch of one image."""

    def intensities(self, rgb: NDArray[np.uint8]) -> Values:
        if self.window is not None and rgb.shape[:2] != self.window:
            return _in_windows(rgb, self.window, self._whole)
        return self._whole(rgb)

    def _whole(self, rgb: NDArray[np.uint8]) -> Values:
        made = self.outputs(rgb)
        grey = made.mean(axis=-1, dtype=np.float32)
        return ((grey - self.low) / (self.high - self.low)).clip(0, 1)  # type: ignore[no-any-return]

    def outputs(self, rgb: NDArray[np.uint8]) -> Values:
        """Return what the network computes, (H, W, C) in its range; ShapeError if that isn't an image."""
        image = rgb[None].astype(np.float32) / 255 * (self.high - self.low) + self.low
        image = np.rint(image).astype(np.uint8) if self.type == np.uint8 else image.astype(self.type)
        if not self.channels_last:
            image = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
        try:
            made = np.asarray(self.run(image), np.float32)
        except Exception as error:  # noqa: BLE001 - libraries' errors have no common class
            raise ShapeError(
                f"{self.path} fails on {rgb.shape[1]}x{rgb.shape[0]} pixels: {first_line(error)}"
            ) from None
        found = _shape(made)
        if made.ndim == 4 and made.shape[0] == 1:
            made = made[0] if self.channels_last else made[0].transpose(1, 2, 0)
        if made.ndim != 3 or made.shape[:2] != rgb.shape[:2] or made.shape[2] not in {1, 3}:
            raise ShapeError(
                f"{self.path} gives {found} for an image of {rgb.shape[1]}x{rgb.shape[0]} pixels; a network is "
                "needed whose output has the size of its input, and one or three channels"
            )
        return made


class OnnxNetwork(_FileNetwork):
    """An ONNX file with one input, an RGB image, whose first output is an image.

    Its metadata may have `range` (a key of `RANGES`), `stride` and `licence`; files of `nirgen export` do.
    """

    def __init__(self, path: Path, value_range: str | None, device: str) -> None:
        super().__init__(path)
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(f"{path}: ONNX files need onnxruntime: pip install 'nirgen[onnx]'") from None
        wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
        there = onnxruntime.get_available_providers()
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                path, settings, providers=[*(each for each in wanted if each in there), "CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common class
            raise ModelError(f"{path}: ONNX Runtime can't read it ({first_line(error)}); export it anew") from None
        self._read_input()
        about = self._session.get_modelmeta().custom_metadata_map
        stated = "0,1" if "nirgen" in about else about.get("range")
        self.set_range(
            value_range or (stated if stated in RANGES else None) or ("0,255" if self.type == np.uint8 else None)
        )
        stride = about.get("stride", "")
        self.stride = int(stride) if re.fullmatch("[1-9][0-9]{0,3}", stride) else _STRIDE
        self.stride = 1 if self.window else self.stride
        facts = {"sha256": sha256_of(path), "range": [self.low, self.high], "stride": self.stride}
        self.describe("onnx", facts, about.get("licence", "unknown"))

    def _read_input(self) -> None:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"{self.path}: takes {len(inputs)} inputs; a network of one RGB image is needed")
        shape, kind = inputs[0].shape, inputs[0].type
        if kind not in _TYPES:
            raise ModelError(f"{self.path}: takes {kind}; a network of images in {', '.join(_TYPES)} is needed")
        self._name, self.type = inputs[0].name, _TYPES[kind]
        axes = {side: shape[place] for side, place in (("first", 1), ("last", 3))} if len(shape) == 4 else {}
        if 3 not in axes.values() or (isinstance(shape[0], int) and shape[0] != 1):
            raise ModelError(f"{self.path}: takes an input of shape {shape}; one RGB image is needed, (1, 3, H, W)")
        self.channels_last = axes["first"] != 3
        sides = shape[1:3] if self.channels_last else shape[2:]
        if all(isinstance(side, int) and side > 0 for side in sides):
            self.window = (sides[0], sides[1])

    def run(self, images: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        made: NDArray[Any] = self._session.run(None, {self._name: images})[0]
        return made

    def count_parameters(self) -> int | None:
        """Return the number of values of the floating-point initializers; None without the package onnx."""
        try:
            import onnx
        except ImportError:
            return None
        floats = {getattr(onnx.TensorProto, name) for name in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")}
        graph = onnx.load(self.path, load_external_data=False).graph
        return sum(math.prod(each.dims) for each in graph.initializer if each.data_type in floats) or None


class ScriptNetwork(_FileNetwork):
    """A TorchScript file of a network (1, 3, H, W) -> (1, C, H, W). It is a program: open none of unknown origin."""

    stride = _STRIDE

    def __init__(self, path: Path, value_range: str | None, device: str) -> None:
        import torch

        super().__init__(path)
        self.set_range(value_range)
        self._device = device
        try:
            with warnings.catch_warnings(action="ignore", category=FutureWarning):  # it is deprecated, and files exist
                self._network = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError, EOFError) as error:
            raise ModelError(
                f"{path}: no TorchScript file ({first_line(error)}); weights alone are read by 'nirgen models import'"
            ) from None
        facts = {"sha256": sha256_of(path), "range": [self.low, self.high], "stride": self.stride}
        self.describe("torchscript", facts, "unknown")

    def run(self, images: NDArray[Any]) -> NDArray[Any]:  # noqa: D102
        import torch

        with torch.inference_mode():
            made = self._network(torch.from_numpy(images).to(self._device))
        if not isinstance(made, torch.Tensor):
            raise TypeError("it gives no tensor")
        return made.float().cpu().numpy()

    def count_parameters(self) -> int | None:
        """Return the number of the network's values; None for a frozen one, whose values are constants."""
        return sum(parameter.numel() for parameter in self._network.parameters()) or None


class FunctionNetwork(ForeignNetwork):
    """A function of the user: (H, W, 3) uint8 sRGB -> (H, W) uint8, or float in [0, 1].

    Its source file, and its attribute `version` if it has one, are its identity. `licence` and `stride` may be
    attributes too.
    """

    def __init__(self, name: str) -> None:
        module, _, function = name.partition(":")
        if "" not in sys.path:
            sys.path.insert(0, "")  # the present folder, as for `python -m`
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), function)
            source = inspect.getsourcefile(inspect.unwrap(found) if inspect.isfunction(found) else type(found))
        except TypeError:  # neither a function nor an object of a class in a file
            source = None
        except Exception as error:  # noqa: BLE001 - of the user's module
            raise ModelError(f"{name}: can't be imported ({type(error).__name__}: {first_line(error)})") from None
        if not callable(found) or source is None:
            raise ModelError(f"{name}: no function of a Python file; name one that takes and returns an image")
        self._name, self._function = name, found
        self.stride = int(getattr(found, "stride", 1))
        facts = {
            "function": name,
            "sha256": sha256_of(Path(source)),
            "version": str(getattr(found, "version", "")),
            "stride": self.stride,
        }
        self.describe("function", facts, str(getattr(found, "licence", "unknown")))

    def intensities(self, rgb: NDArray[np.uint8]) -> Values:  # noqa: D102
        try:
            made = np.asarray(self._function(rgb))
        except Exception as error:  # of the user's function
            raise ShapeError(f"{self._name} fails: {type(error).__name__}: {first_line(error)}") from error
        if made.shape != rgb.shape[:2] or not (made.dtype == np.uint8 or np.issubdtype(made.dtype, np.floating)):
            raise ShapeError(
                f"{self._name} returns {_shape(made)} of {made.dtype} for {_shape(rgb)}; return (H, W) uint8, or "
                "float in [0, 1]"
            )
        scale = 255 if made.dtype == np.uint8 else 1
        return (made.astype(np.float32) / np.float32(scale)).clip(0, 1)


def _try(network: _FileNetwork, path: Path) -> None:
    """Raise a ModelError if a network is unfit, by what it makes of an image of all colours."""
    height, width = network.window or (2 * network.stride, 3 * network.stride)
    rows, columns = np.mgrid[:height, :width]
    image = np.stack(
        [rows * 255 // height, columns * 255 // width, (rows + columns) * 255 // (height + width)], axis=-1
    )
    try:
        made = network.outputs(image.astype(np.uint8))
    except ShapeError as error:
        raise ModelError(str(error)) from None
    if not np.isfinite(made).all():
        raise ModelError(f"{path}: gives values that are not finite; export it anew")
    slack = _TOLERANCE * (network.high - network.low)
    if made.min() < network.low - slack or made.max() > network.high + slack:
        raise ModelError(
            f"{path}: gives values from {made.min():.3g} to {made.max():.3g}, outside of its range {network.low:g} to "
            f"{network.high:g}; give another --range ({', '.join(RANGES)})"
        )


def _in_windows(
    rgb: NDArray[np.uint8], window: tuple[int, int], compute: Callable[[NDArray[np.uint8]], Values]
) -> Values:
    """Compute an image in overlapping windows, blended linearly; smaller images are padded by reflection."""
    height, width = rgb.shape[:2]
    below, right = max(0, window[0] - height), max(0, window[1] - width)
    padded = np.pad(rgb, ((0, below), (0, right), (0, 0)), mode="reflect" if min(height, width) > 1 else "edge")
    ramps = [np.minimum(np.arange(1, side + 1), np.arange(side, 0, -1)).astype(np.float32) for side in window]
    weight = np.minimum(ramps[0][:, None], ramps[1][None])
    total, weights = np.zeros(padded.shape[:2], np.float32), np.zeros(padded.shape[:2], np.float32)
    for top in _starts(padded.shape[0], window[0]):
        for left in _starts(padded.shape[1], window[1]):
            place = slice(top, top + window[0]), slice(left, left + window[1])
            total[place] += weight * compute(np.ascontiguousarray(padded[place]))
            weights[place] += weight
    made: Values = (total / weights)[:height, :width]
    return made


def _starts(length: int, window: int) -> list[int]:
    """Return the starts of windows that overlap by a quarter at least and cover a length."""
    count = 1 + -(-(length - window) // max(1, window * 3 // 4))
    return [round(start) for start in np.linspace(0, length - window, count)]


def _shape(array: NDArray[Any]) -> str:
    return "x".join(map(str, array.shape)) or "a number"
