"""Records of a translation, and the protocol of its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


ELSEWHERE = "elsewhere"  # kind of an architecture in a header, of which only the `name` is known


class Translator(Protocol):
    """Turns RGB images into NIR images; any generator can stand behind it.

    An implementation computes each image of a batch as if it were alone, so that the same source gives the same bytes
    whatever it shares a batch with.

    Optional members, used where they exist:

    - `device`: Where it runs, a `torch.device` or its name; else `cpu`.
    - `precision`: `fp32`, `bf16` or `fp16`, which `run.json` records.
    - `bytes_per_pixel`: Memory that one image takes while it is translated, for each of its padded pixels; by it,
      batches and tiles are chosen before memory runs out.
    - `least_side`: Least height and width that the network computes, in pixels; the translator itself pads smaller
      images to it, and the manifest notes this.
    - `whole_only`: True if it can't translate an image in tiles, since a pixel's place in the image counts.
    - `translate_on_device(rgb, sizes)`: As `translate`, but `rgb` is on `device` in any memory format, and so is the
      result, in any floating type. It doesn't wait for the device, so that copies and other batches go on meanwhile.
    """

    @property
    def id(self) -> str:
        """Sha256 of everything that decides what the model computes, as 64 hexadecimal digits."""

    @property
    def stride(self) -> int:
        """Heights and widths of a batch must be multiples of this many pixels."""

    @property
    def header(self) -> Mapping[str, Any]:
        """Description of the model for the manifest; plain values that JSON can hold."""

    def translate(self, rgb: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """Translate a batch of padded images.

        Args:
            rgb: (N, 3, H, W) uint8, sRGB, in any memory format; H and W are multiples of `stride`. Each image lies at
                the top left; the padding is right of and below it.
            sizes: (height, width) of each image without its padding.

        Returns:
            (N, C, H, W) float32 on the CPU: NIR intensity in [0, 1], clamped; C is 1 or 3. Values outside `sizes` are
            ignored.
        """


def precision_of(translator: Translator) -> str | None:
    """Return the precision that a translator computes in; None if it doesn't state one."""
    return getattr(translator, "precision", None)


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one source: a row of the manifest and a line of the journal."""

    source: str  # POSIX path relative to the root of the sources
    model_id: str
    options_id: str  # of the options that change pixels
    status: Literal["done", "failed"]
    source_sha256: str | None = None  # None if the file could not be read
    source_width: int | None = None  # pixels, upright; None if it could not be decoded
    source_height: int | None = None
    output: str | None = None  # POSIX path relative to OUT; None if failed, like the next three
    output_sha256: str | None = None
    width: int | None = None  # pixels
    height: int | None = None
    error: str | None = None  # one line; None if done
    method: str = "whole"  # or `tiled`
    tiles: int | None = None  # None if whole
    seam: float | None = None  # see `tiling.seam_meter`; None if whole
    damage: str | None = None  # of the source, in its decoder's words, one line; None if there is none
    note: str | None = None  # remarks on how the source was read, one line; None if there are none
    brightest: float | None = None  # largest sample of a source of more than 8 bits, by its white; None for 8 bits
    captured: str | None = None  # time at which the source was taken, ISO 8601; None, like the next two, if unstated
    latitude: float | None = None  # degrees north
    longitude: float | None = None  # degrees east


@dataclass(frozen=True, slots=True)
class Item:
    """One source and its output."""

    source: str  # POSIX path relative to the root; bytes that are not UTF-8 are escaped
    output: str  # POSIX path relative to OUT
    problem: str = ""  # why the name forbids translation, in one line; empty if it doesn't


# Of an item: `done`; or why it is to do: `new`, its source `changed`, it failed before (`retry`), its output is
# `missing` or altered, or it is to be `renamed`; or it `fails` by its name alone.
State = Literal["new", "done", "changed", "retry", "missing", "renamed", "fails"]
