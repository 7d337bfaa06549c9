"""Choices of how image files are read, and the result of reading one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from nirgen.config import FrozenConfig
from nirgen.errors import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nirgen.images.metadata import Capture

DARK_SHARE = 0.125
"""Share of its range that a run's 16-bit images stay below if their samples likely have fewer significant bits."""
DARK_NOTE = (
    "every 16-bit image stays below an eighth of its range: samples of 10 or 12 bits are read as nearly black unless "
    "--white-level names their white, such as 4095"
)


class Reading(FrozenConfig):
    """Choices that a file itself doesn't settle; the same ones go for every command."""

    damaged: Literal["fail", "keep"] = "fail"
    """Images whose decoder reports corrupt data: an error, or the pixels as far as the decoder has them."""
    alpha: Literal["blend", "ignore"] = "blend"
    """Fourth channels that are tagged as opacity: composited over black, or left out."""
    white_level: int | None = Field(None, ge=1, le=65535)
    """Sample that is white in images of more than 8 bits; None takes the file's own statement, or its largest."""


class Readings(FrozenConfig):
    """Choices for both images of pairs."""

    rgb: Reading = Reading()
    nir: Reading = Reading()

    @classmethod
    def of(
        cls,
        damaged: Literal["fail", "keep"] = "fail",
        alpha: Literal["blend", "ignore"] = "blend",
        white_levels: tuple[int | None, int | None] = (None, None),
    ) -> Readings:
        """Return the same choices for both, but for the white levels of RGB and of NIR."""
        rgb, nir = (Reading(damaged=damaged, alpha=alpha, white_level=level) for level in white_levels)
        return cls(rgb=rgb, nir=nir)


@dataclass(frozen=True)
class Decoded:
    """The pixels of an image file, with what has to be said of them."""

    rgb: NDArray[np.uint8]  # (H, W, 3), sRGB in [0, 255], upright
    damage: str | None = None  # words of the decoder on corrupt data, in one line; None if there is none
    notes: tuple[str, ...] = ()  # remarks on a sound file, such as an end marker that is missing
    brightest: float | None = None  # largest sample of more than 8 bits, divided by that of white; None for 8 bits
    capture: Capture | None = None  # time and place; None if the file doesn't state them


class Remarks:
    """Remarks on the images that a command has read, each image counted once; for several threads."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str | None, tuple[str, ...], float | None]] = {}

    def add(self, name: str, decoded: Decoded) -> None:
        """Note an image that was read."""
        self._found[name] = decoded.damage, decoded.notes, decoded.brightest

    def lines(self) -> list[str]:
        """Return a line for each remark, with the number of images; none if nothing has to be said."""
        found = list(self._found.values())
        damaged = sum(damage is not None for damage, _, _ in found)
        counts = Counter(note for _, notes, _ in found for note in notes)
        lines = [f"{counted(damaged, 'image')}: its data are corrupt, and were kept"] if damaged else []
        lines += [f"{counted(count, 'image')}: {note}" for note, count in counts.most_common()]
        deep = [brightest for _, _, brightest in found if brightest is not None]
        return [*lines, DARK_NOTE] if deep and max(deep) < DARK_SHARE else lines
