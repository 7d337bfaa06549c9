"""A loaded model: as a `Translator` for bulk work, and as a function of one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from PIL import Image

from nirgen import images
from nirgen.errors import ConfigError, ShapeError
from nirgen.models.catalog import find_model
from nirgen.models.checkpoint import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from nirgen.models.generator import Pix2Next


class NirModel:
    """A Pix2Next generator, ready to translate; it is a `nirgen.translate.translator.Translator`.

    Args:
        generator: The network, in evaluation mode.
        header: The model file's header.
        device: Where it runs, such as `cpu` or `cuda:0`.

    Example:
        ```python
        model = nirgen.load_model("compact")
        nir = model(Image.open("photo.jpg"))
        ```
    """

    def __init__(self, generator: Pix2Next, header: Mapping[str, Any], device: torch.device) -> None:
        self.generator = generator.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.device = device
        self._header = dict(header)

    @property
    def id(self) -> str:
        """Sha256 of the model's architecture and tensors, as 64 hexadecimal digits."""
        return str(self._header["model_id"])

    @property
    def stride(self) -> int:
        """Heights and widths that the network takes are multiples of this; at least 32, to see some context."""
        return int(np.lcm(self.generator.stride, 32))

    @property
    def header(self) -> Mapping[str, Any]:
        """The model file's header, which a manifest records: the list of training pairs tells leaks later."""
        return self._header

    @property
    def training_pairs(self) -> list[dict[str, str]]:
        """The pairs that the model was trained on, each with `name`, `rgb_sha256`, `nir_sha256`, `sequence`."""
        return list(self._header.get("training", {}).get("pairs", []))

    @torch.inference_mode()
    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Translate a batch of padded images, one after the other, so that none depends on its neighbours.

        Args:
            rgb: (N, 3, H, W) uint8, sRGB; H and W are multiples of `stride`.
            sizes: (height, width) of each image without its padding.

        Returns:
            (N, C, H, W) float32 on the CPU: NIR intensity in [0, 1], clamped; C is 1 or 3.

        Raises:
            ShapeError: H or W is not a multiple of the stride.
        """
        if len(sizes) != len(rgb):
            raise ShapeError(f"{len(rgb)} images, but {len(sizes)} sizes; give one size an image")
        results = []
        for image in rgb:
            batch = image[None].to(self.device).float().div(127.5).sub(1)
            nir = self.generator(batch.contiguous(memory_format=torch.channels_last))
            results.append(nir.add(1).div(2).clamp(0, 1).float().cpu())
        return torch.cat(results).contiguous()

    @overload
    def __call__(self, image: Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
    def __call__(self, image: Image.Image | NDArray[np.uint8]) -> Image.Image | NDArray[np.uint8]:
        """Translate one image of any size.

        Args:
            image: A PIL image of any mode (its EXIF orientation is applied), or (H, W, 3) uint8 sRGB.

        Returns:
            Near-infrared of the same height and width: a PIL image of mode `L` for a PIL image, (H, W) uint8 for an
            array.

        Raises:
            ShapeError: An array that isn't (H, W, 3) uint8, or is empty.
            ImageError: A PIL image that can't be read, or is of a mode that has no stated range.
        """
        if isinstance(image, Image.Image):
            return Image.fromarray(self._array(images.to_rgb(image)))
        if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.dtype != np.uint8:
            raise ShapeError(
                f"an array of shape {image.shape} and type {image.dtype}; give (height, width, 3) uint8 sRGB"
            )
        return self._array(image)

    def _array(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 -> (H, W) uint8."""
        height, width = rgb.shape[:2]
        padded = np.ascontiguousarray(images.pad_to_stride(rgb, self.stride).transpose(2, 0, 1))
        nir = self.translate(torch.from_numpy(padded)[None], [(height, width)])[0, :, :height, :width]
        return images.to_pixels(images.to_channels(nir.numpy(), 1)).astype(np.uint8)


def load_model(name: str | Path = "compact", *, device: str | None = None) -> NirModel:
    """Load a model.

    Args:
        name: An embedded name, a `.safetensors` file, or a run folder.
        device: `cpu`, `cuda`, `cuda:1`, `mps`...; the best there is by default.

    Returns:
        The model.

    Raises:
        ModelError: There is no such model, or its file is damaged or of another architecture.
        ConfigError: There is no such device.
    """
    path = find_model(name)
    chosen = choose_device(device)
    generator, header = load(path)
    return NirModel(generator, header, chosen)


def choose_device(name: str | None) -> torch.device:
    """The device of a name, or the best there is.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`...; None for the best.

    Raises:
        ConfigError: There is no such device, or it can't compute.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device '{name}' can't be used ({reason}); 'nirgen doctor' shows what there is") from None
    return device
