"""A loaded model: as a `Translator` for bulk work, and as a function of one image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from PIL import Image

from nirgen import images
from nirgen.devices import choose_device, choose_precision, computing_in
from nirgen.errors import ShapeError
from nirgen.models.catalog import architecture_of, find_model, generator_of, read_header, with_steps
from nirgen.models.checkpoint import load, load_baseline
from nirgen.models.config import GeneratorConfig, NetworkConfig
from nirgen.models.fast import layout_of, speed_up
from nirgen.models.foreign import is_foreign, open_network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from nirgen.devices import Precision, Wanted
    from nirgen.models.baselines import Linear, Trees
    from nirgen.models.foreign_network import ForeignNetwork
    from nirgen.models.network import Generator


class NirModel(ABC):
    """A model, ready to translate; it is a `nirgen.translate.items.Translator`.

    `load_model` makes one: a `GeneratorModel`, or a `BaselineModel`.

    Args:
        header: The model file's header.
        device: Device that computes.
        precision: Precision of the network; None if there is none.

    Example:
        ```python
        model = nirgen.load_model("compact")
        nir = model(Image.open("photo.jpg"))
        ```
    """

    def __init__(self, header: Mapping[str, Any], device: torch.device, precision: Precision | None) -> None:
        self._header = dict(header)
        self.device = device
        self.precision = precision

    @property
    def id(self) -> str:
        """Sha256 of the model's architecture and tensors, as 64 hexadecimal digits."""
        return str(self._header["model_id"])

    @property
    @abstractmethod
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""

    @property
    def header(self) -> Mapping[str, Any]:
        """The model file's header; a manifest records it, so that leaks can be detected by the training pairs."""
        return self._header

    @property
    def training_pairs(self) -> list[dict[str, str]]:
        """The training set, each pair with `name`, `rgb_sha256`, `nir_sha256`, `sequence`."""
        return list(self._header.get("training", {}).get("pairs", []))

    @property
    @abstractmethod
    def bytes_per_pixel(self) -> int:
        """Upper bound of the memory of a translation, in bytes for each padded pixel of an image."""

    def describe(self) -> dict[str, Any]:
        """Return the model's id, device, precision, stride and `bytes_per_pixel` as plain values."""
        return {
            "model_id": self.id,
            "device": str(self.device),
            "precision": self.precision,
            "stride": self.stride,
            "bytes_per_pixel": self.bytes_per_pixel,
        }

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Translate a batch of padded images.

        Args:
            rgb: (N, 3, H, W) uint8, sRGB, in any memory format; H and W are multiples of `stride`.
            sizes: (height, width) of each image without its padding.

        Returns:
            (N, C, H, W) float32 on the CPU: NIR intensity in [0, 1], clamped; C is 1 or 3.
        """
        return self.translate_on_device(rgb.to(self.device), sizes).cpu().contiguous()

    @torch.inference_mode()
    def translate_on_device(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """`translate` for tensors on `device`, without waiting for the device.

        A CPU computes images one by one, so that none depends on its neighbours. On a GPU the order of summation may
        depend on the batch's shape: only batches of one shape give the same bytes, so translation fills up the last.
        """
        if len(sizes) != len(rgb):
            raise ShapeError(f"{len(rgb)} images, but {len(sizes)} sizes; give one size an image")
        return self._translate(rgb, sizes)

    @abstractmethod
    def _translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """`translate_on_device` of as many images as sizes."""

    @overload
    def __call__(self, image: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
    def __call__(self, image: Image.Image | NDArray[np.uint8]) -> Image.Image | NDArray[np.uint8]:
        """Translate one image of any size.

        Args:
            image: A PIL image of any mode (its EXIF orientation is applied), or (H, W, 3) uint8 sRGB.

        Returns:
            NIR of the same height and width: a PIL image of mode `L` for a PIL image, (H, W) uint8 for an array.

        Raises:
            ShapeError: It is neither, or an array that isn't (H, W, 3) uint8 or is empty.
            ImageError: The PIL image can't be read, or its mode has no defined range.
        """
        if isinstance(image, Image.Image):
            return Image.fromarray(self(images.to_rgb(image)))
        given: object = image
        if not isinstance(given, np.ndarray):
            remedy = "give a PIL image, such as Image.open('photo.jpg'), or (height, width, 3) uint8 sRGB"
            raise ShapeError(f"an image of type {type(image).__name__}; {remedy}")
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.uint8:
            found = f"an array of shape {image.shape} and type {image.dtype}"
            raise ShapeError(f"{found}; give (height, width, 3) uint8 sRGB")
        height, width = image.shape[:2]
        padded = np.ascontiguousarray(images.pad_to_stride(image, self.stride).transpose(2, 0, 1))
        nir = self.translate(torch.from_numpy(padded)[None], [(height, width)])[0, :, :height, :width]
        return images.to_pixels(images.to_channels(nir.numpy(), 1)).astype(np.uint8)


class GeneratorModel(NirModel):
    """A generator of any kind.

    On a CPU in `fp32`, a faster copy of the network computes: after a change of the weights, make the model anew.

    Args:
        generator: The network, in evaluation mode.
        header: The model file's header.
        device: Device that computes.
        precision: Precision of the network; outputs in another precision differ by a grey level in places.
        compiled: Compile the network for each batch size, which takes minutes once; for GPUs.
    """

    precision: Precision

    def __init__(
        self,
        generator: Generator,
        header: Mapping[str, Any],
        device: torch.device,
        precision: Precision = "fp32",
        *,
        compiled: bool = False,
    ) -> None:
        super().__init__(header, device, precision)
        self.generator: Generator = generator.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        eager = device.type != "cpu" or precision != "fp32"
        network = self.generator if eager else speed_up(self.generator)
        self._layout = torch.channels_last if eager else layout_of(network)
        self._network = torch.compile(network, mode="reduce-overhead") if compiled else network

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this; at least 32, for some context."""
        return int(np.lcm(self.generator.stride, 32))

    @property
    def bytes_per_pixel(self) -> int:
        """Upper bound of the memory of a translation, in bytes for each padded pixel of an image."""
        size = 4 if self.precision == "fp32" else 2
        config = self.generator.config
        if not isinstance(config, GeneratorConfig):
            return int(_MARGIN * size * config.values_per_pixel)
        return bytes_per_pixel(config, pyramid=self.generator.pyramid, bytes_per_value=size)

    @property
    def whole_only(self) -> bool:
        """True if images can't be translated in tiles: an image has one style, or noise of its own."""
        return self.generator.config.whole_only

    @property
    def least_side(self) -> int:
        """Least height and width that the network takes, in pixels; smaller images are padded to it by reflection."""
        return self.generator.config.least_side

    def _translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:  # noqa: ARG002 - padding is an image too
        outputs = []
        height, width = rgb.shape[-2:]
        rgb = _reflected(rgb, self.least_side)
        with computing_in(self.precision, self.device):
            for part in rgb.split(1) if self.device.type == "cpu" else (rgb,):
                nir = self._network(part.float().div_(127.5).sub_(1).contiguous(memory_format=self._layout))
                outputs.append(nir.float().add_(1).div_(2).clamp_(0, 1))
            return torch.cat(outputs)[..., :height, :width]


def _reflected(rgb: Tensor, least: int) -> Tensor:
    """Pad images, (N, 3, H, W), by reflection to at least so many pixels a side."""
    for axis, side in ((-2, rgb.shape[-2]), (-1, rgb.shape[-1])):
        if side < least:
            positions = np.pad(np.arange(side), (0, least - side), mode="reflect" if side > 1 else "edge")
            rgb = rgb.index_select(axis, torch.from_numpy(positions).to(rgb.device))
    return rgb


class BaselineModel(NirModel):
    """A linear map or boosted trees; it computes on the CPU, in double precision.

    Args:
        baseline: The fitted baseline that computes.
        header: The model file's header.
    """

    def __init__(self, baseline: Linear | Trees, header: Mapping[str, Any]) -> None:
        super().__init__(header, torch.device("cpu"), None)
        self.baseline = baseline

    @property
    def stride(self) -> int:
        """Inputs have any height and width."""
        return 1

    @property
    def whole_only(self) -> bool:
        """True if images can't be translated in tiles: `Trees` read a pixel's row."""
        return self.baseline.config.whole_only

    @property
    def bytes_per_pixel(self) -> int:
        """Upper bound of the memory of a translation, in bytes for each padded pixel of an image."""
        return _BYTES_OF_A_BASELINE

    def _translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        nir = torch.zeros((len(rgb), 1, *rgb.shape[2:]))
        for photo, (height, width), made in zip(rgb.permute(0, 2, 3, 1).numpy(), sizes, nir, strict=True):
            levels = self.baseline.intensities(photo[:height, :width])
            made[0, :height, :width] = torch.from_numpy(levels).div_(255).clamp_(0, 1)
        return nir


class ForeignModel(NirModel):
    """A network of another program, or a function; images one by one, whole.

    Args:
        network: The network that computes.
        device: Device that it was opened on.
    """

    whole_only = True

    def __init__(self, network: ForeignNetwork, device: torch.device) -> None:
        super().__init__(network.header, torch.device("cpu"), None)
        network.load()
        self.network, self.computes_on = network, device

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of this."""
        return self.network.stride

    @property
    def bytes_per_pixel(self) -> int:
        """Guess of the memory of a translation, in bytes for each padded pixel of an image."""
        return _BYTES_OF_A_FOREIGN

    def _translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        nir = torch.zeros((len(rgb), 1, *rgb.shape[2:]))
        for photo, (height, width), made in zip(rgb.permute(0, 2, 3, 1).numpy(), sizes, nir, strict=True):
            below, right = height + -height % self.stride, width + -width % self.stride
            levels = self.network.intensities(np.ascontiguousarray(photo[:below, :right]))
            made[0, :below, :right] = torch.from_numpy(levels)
        return nir


def load_model(
    name: str | Path = "compact",
    *,
    device: str | None = None,
    precision: Wanted = "auto",
    compiled: bool = False,
    value_range: str | None = None,
    steps: int | None = None,
) -> NirModel:
    """Load a model: a generator, a network of another program, or a baseline, which computes on the CPU.

    Args:
        name: An embedded name, a `.safetensors` file, a run folder, an ONNX or TorchScript file,
            `diffusers:FOLDER`, or `MODULE:FUNCTION`.
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best available one by default.
        precision: `fp32`, `bf16`, `fp16`; or `auto`: `bf16` on GPUs with hardware for it, else `fp32`.
        compiled: Compile the network for each batch size, which takes minutes once; for GPUs.
        value_range: Range of ONNX and TorchScript files that don't state it: `0,1`, `-1,1` or `0,255`.
        steps: Steps of a model of diffusion, instead of those in its file; the model's id differs with them.

    Raises:
        ModelError: There is no such model, or its file is damaged or of another architecture.
        ConfigError: There is no such device or precision, or the model takes no steps.
    """
    chosen = choose_device(device)
    if is_foreign(name):
        with_steps({"architecture": {}}, name, steps)
        return ForeignModel(open_network(name, value_range=value_range, device=str(chosen)), chosen)
    path = find_model(name)
    computed = choose_precision(precision, chosen)
    with_steps(read_header(path), path, steps)  # refused before the tensors are read
    if isinstance(architecture_of(read_header(path), path), NetworkConfig):
        generator, header = load(path)
        header = with_steps(header, path, steps)
        generator.config = generator_of(header, path)
        return GeneratorModel(generator, header, chosen, computed, compiled=compiled)
    return BaselineModel(*load_baseline(path))


_BYTES_OF_A_FOREIGN = 2_000  # as `compact` takes about
_BYTES_OF_A_BASELINE = 100  # 57 were measured for trees, 32 for a linear map, without the result
_MARGIN = 1.75  # the measured memory of `compact`, which scatters by a third, and of the released generator lies below


def bytes_per_pixel(
    config: GeneratorConfig, *, pyramid: Mapping[int, int] | None = None, bytes_per_value: int = 4
) -> int:
    """Return an upper bound of the memory of a translation, in bytes for each padded pixel of an image.

    It is the peak of the feature maps alive at once: in each group's first block, its input, the joined skip, the
    normalised copy and the result, beside the stem, the extractor's maps (`pyramid`, channels by stride) and all skips
    that still wait. Weights are not included.
    """
    maps = pyramid or {}
    beside = config.stem_channels + sum(width / stride**2 for stride, width in maps.items())
    stem, levels = config.stem_channels, len(config.encoder)
    channels, waiting, most = stem, 0.0, float(3 + beside + stem)
    skips: list[float] = []
    for level, widths in enumerate(config.encoder):
        scale = 4.0**-level
        for position, width in enumerate(widths):
            joined: float = channels + (maps.get(2**level, 0) if position == 0 else 0)
            most = max(most, beside + waiting + scale * (channels + joined + 2 * width))
            channels = width
        if level and not widths:
            channels = maps.get(2**level, channels)
        skips.append(scale * channels)
        waiting += skips[-1]
        most = max(most, beside + waiting + scale * channels * 2)
    for level, widths in enumerate(config.decoder):
        scale = 4.0 ** (level + 1 - levels)
        skip = skips.pop()
        for position, width in enumerate(widths):
            joined = channels + (skip / scale if position == 0 else 0)
            most = max(most, beside + waiting + scale * (channels + 2 * joined + 2 * width))
            channels = width
        waiting -= skip
        if level < levels - 1:
            most = max(most, beside + waiting + scale * channels * (1 + 4 + 4))  # the folded upsampling's phases
    if config.output_block:
        most = max(most, beside - stem + 3 * (channels + stem) + 3 * channels)
    return int(_MARGIN * bytes_per_value * most)
