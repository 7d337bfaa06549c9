"""Records and protocols of a translation: item, manifest row, source, sink, translator. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from nirgen.translate.url import Place


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


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one source; the columns of the manifest, and a line of the journal.

    Attributes:
        source: POSIX path relative to the root of the sources.
        model_id: The translator's id.
        options_id: The id of the options that change pixels.
        status: `done` or `failed`.
        source_sha256: Of the file's bytes; None if they could not be read.
        source_width: In pixels, upright; None if the source could not be decoded.
        source_height: The same.
        output: POSIX path relative to the output folder; None if failed.
        output_sha256: Of the file's bytes; None if failed.
        width: Of the output, in pixels; None if failed.
        height: The same.
        error: Why it failed, in one line; None if done.
        method: How the network saw the image: `whole` or `tiled`.
        tiles: Into how many tiles it was cut; None if whole.
        seam: How much stands out at the tiles' borders; None if whole.
    """

    source: str
    model_id: str
    options_id: str
    status: Literal["done", "failed"]
    source_sha256: str | None = None
    source_width: int | None = None
    source_height: int | None = None
    output: str | None = None
    output_sha256: str | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None
    method: str = "whole"
    tiles: int | None = None
    seam: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One source and its output.

    Attributes:
        source: POSIX path relative to the plan's root. Names that are not UTF-8 are written with escapes.
        path: Where the source is.
        output: POSIX path relative to the output folder.
        problem: Why this source can't be translated whatever its content, in one line; empty if it can.
    """

    source: str
    path: Place
    output: str
    problem: str = ""


State = Literal["new", "done", "changed", "retry", "missing", "renamed", "fails"]


class Source(Protocol):
    """Gives the bytes of images; called from several threads."""

    def read(self, item: Item) -> bytes:
        """The whole file.

        Raises:
            ImageError: It can't be read.
        """
        ...


class Sink(Protocol):
    """Takes the bytes of images; called from several threads."""

    def write(self, item: Item, data: bytes) -> None:
        """Store an output, whole or not at all.

        Raises:
            ImageError: This output can't be stored.
            OutputError: No output can be stored.
        """
        ...
