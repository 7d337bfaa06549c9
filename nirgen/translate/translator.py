"""All that translation knows of a model: the `Translator` protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class Translator(Protocol):
    """Turns RGB images into NIR images; any generator can stand behind it.

    An implementation computes each image of a batch as if it were alone, so that the same source gives the same bytes
    whatever it shares a batch with.

    It may have more, which is used where it is there:

    - `device`: Where it runs, a `torch.device` or its name; else `cpu`.
    - `bytes_per_pixel`: Memory that one image takes while it is translated, for each of its padded pixels; by it,
      batches and tiles are chosen before memory runs out.
    - `translate_on_device(rgb, sizes)`: As `translate`, but `rgb` is on `device` in any memory format, and so is what
      it gives, in any floating type. It doesn't wait for the device, so that copies and other batches go on meanwhile.
    """

    @property
    def id(self) -> str:
        """Sha256 of all that decides what the model computes, as 64 hexadecimal digits."""
        ...

    @property
    def stride(self) -> int:
        """Heights and widths of a batch must be multiples of this many pixels."""
        ...

    @property
    def header(self) -> Mapping[str, Any]:
        """What the manifest records of the model; plain values that JSON can hold."""
        ...

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Translate a batch of padded images.

        Args:
            rgb: (N, 3, H, W) uint8, sRGB, in any memory format; H and W are multiples of `stride`. Each image lies at
                the top left; what is right of and below it is padding.
            sizes: (height, width) of each image without its padding.

        Returns:
            (N, C, H, W) float32 on the CPU: NIR intensity in [0, 1], clamped; C is 1 or 3. What lies outside `sizes` is
            without meaning.
        """
        ...
