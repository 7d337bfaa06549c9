"""Report of `nirgen pairs check` as a Parquet file (columns in docs/formats.md), and a sheet of the worst pairs."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from nirgen import images
from nirgen._version import __version__
from nirgen.errors import ImageError, OutputError
from nirgen.files import output_file
from nirgen.pairs.alignment import squared_gradient
from nirgen.pairs.listing import read_pair

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.pairs.listing import PairList


SCHEMA = 1

_TEXT = ("split", "name", "sequence", "rgb", "nir")
_NUMBERS = (
    "shift_x",
    "shift_y",
    "shift",
    "correlation",
    "significance",
    "mutual_information",
    "normalised_mutual_information",
    "rgb_black",
    "rgb_white",
    "nir_black",
    "nir_white",
)
_COLUMNS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in _TEXT),
        *(pa.field(name, pa.int32()) for name in ("width", "height")),
        *(pa.field(name, pa.float32()) for name in _NUMBERS),
        pa.field("fits_nir_of", pa.string()),
        pa.field("duplicate_of", pa.string()),
        pa.field("leak_of", pa.string()),
        pa.field("leak_distance", pa.int32()),
        pa.field("suspect", pa.list_(pa.string()), nullable=False),
        pa.field("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class Row:
    """What was found of one pair; None for what can't be measured.

    Attributes:
        split: As in the list, and so are `name`, `sequence`, `rgb` and `nir`.
        name: See `split`.
        sequence: See `split`.
        rgb: See `split`.
        nir: See `split`.
        width: In pixels.
        height: In pixels.
        shift_x: By how many pixels NIR lies to the right of RGB.
        shift_y: The same downwards.
        shift: Length of both, in pixels.
        correlation: Of the edges at that shift, in [-1, 1].
        significance: Standard deviations by which it stands above the correlation at other shifts.
        mutual_information: Of luma and NIR, in bits.
        normalised_mutual_information: In [0, 1].
        rgb_black: Share of the samples that are 0.
        rgb_white: Share of the samples that are 255.
        nir_black: As `rgb_black`.
        nir_white: As `rgb_white`.
        fits_nir_of: `<split>/<name>` of the pair whose NIR image the RGB image fits, if it doesn't fit its own.
        duplicate_of: `<split>/<name>` of the first pair with the same RGB or NIR file.
        leak_of: `<split>/<name>` of the nearest copy in another split.
        leak_distance: Bits of 64 in which the hashes of both differ.
        suspect: Reasons to look at the pair, of `damaged`, `swapped`, `unrelated`, `misaligned`, `unmeasured`,
            `clipped`, `duplicate`, `leak`.
        error: Why it can't be measured, in one line.
    """

    split: str
    name: str
    sequence: str
    rgb: str
    nir: str
    width: int | None
    height: int | None
    shift_x: float | None
    shift_y: float | None
    shift: float | None
    correlation: float | None
    significance: float | None
    mutual_information: float | None
    normalised_mutual_information: float | None
    rgb_black: float | None
    rgb_white: float | None
    nir_black: float | None
    nir_white: float | None
    fits_nir_of: str | None
    duplicate_of: str | None
    leak_of: str | None
    leak_distance: int | None
    suspect: tuple[str, ...]
    error: str | None

    @property
    def badness(self) -> tuple[bool, bool, bool, float]:
        """Orders pairs by how badly their images fit together; the greatest is the worst."""
        damaged, swapped, unrelated = (reason in self.suspect for reason in ("damaged", "swapped", "unrelated"))
        return damaged, swapped, unrelated, self.shift or 0.0


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Rows from the worst pair to the best: damaged, swapped and unrelated ones, then by their shift."""
    return sorted(rows, key=lambda row: row.badness, reverse=True)


def write_report(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as Parquet; the same rows give the same bytes.

    Raises:
        OutputError: The file can't be written.
    """
    metadata = {"nirgen.schema": str(SCHEMA), "nirgen.version": __version__}
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_COLUMNS.with_metadata(metadata))
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    with output_file(path) as temporary:
        temporary.write_bytes(file.getvalue())


BOX = (270, 400)
"""(height, width) in pixels that each image is fitted into."""

WHITE_QUANTILE = 0.97
"""Share of the pixels whose gradients are drawn weaker than the strongest."""

GAP = 22
"""White between the images, in pixels, which the captions are written on."""


def write_sheet(path: Path, pairs: PairList, rows: Iterable[Row], *, count: int = 12) -> int:
    """Write a picture of the worst pairs, a row for each: RGB, NIR, edges (RGB's red, NIR's cyan, of both white).

    Args:
        path: The file to write, PNG or JPEG by its ending.
        pairs: The list.
        rows: What was found of it.
        count: How many pairs to show at most.

    Returns:
        How many are shown; those that can't be read are skipped. If 0, nothing is written.

    Raises:
        OutputError: The file can't be written, or has another ending.
    """
    kinds: dict[str, images.Format] = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg"}
    if path.suffix.lower() not in kinds:
        raise OutputError(f"{path}: a sheet is a picture; give it a name that ends in .png or .jpg")
    by_name = {(pair.split, pair.name): pair for pair in pairs.pairs}
    shown: list[tuple[str, list[NDArray[np.uint8]]]] = []
    for row in worst_first(rows):
        try:
            rgb, nir = read_pair(pairs, by_name[row.split, row.name])
        except ImageError:
            continue
        grey = np.repeat(nir[..., np.newaxis], 3, axis=2)
        shown.append((_caption(row), [rgb, grey, overlay(rgb, nir)] if rgb.shape == grey.shape else [rgb, grey]))
        if len(shown) == count:
            break
    if not shown:
        return 0
    picture = Image.fromarray(images.side_by_side([pictures for _, pictures in shown], box=BOX, gap=GAP))
    draw = ImageDraw.Draw(picture)
    for number, (caption, _) in enumerate(shown):
        draw.text((GAP, number * (BOX[0] + GAP) + 5), caption, fill=(0, 0, 0))
    with output_file(path) as temporary:
        temporary.write_bytes(images.encode(np.asarray(picture), kinds[path.suffix.lower()]))
    return len(shown)


def overlay(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The edges of a pair: those of RGB in red, those of NIR in cyan, where both lie in white.

    Args:
        rgb: (H, W, 3) uint8.
        nir: (H, W) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    red, cyan = (_edges(image) for image in (rgb, nir[..., np.newaxis]))
    return np.stack([red, cyan, cyan], axis=2)


def _edges(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gradients of an (H, W, C) image: (H, W), the strongest of them white."""
    strength = np.sqrt(np.abs(squared_gradient(image)))
    white = max(float(np.quantile(strength, WHITE_QUANTILE)), 1e-6)
    levels: NDArray[np.uint8] = np.rint(np.minimum(strength / white, 1) * 255).astype(np.uint8)
    return levels


def _caption(row: Row) -> str:
    what = ", ".join(row.suspect) or "not suspect"
    if row.shift is None:
        return f"{row.split}/{row.name}: {what}"
    where = f"{row.shift:.1f} px off (x {row.shift_x:+.1f}, y {row.shift_y:+.1f})"
    found = f"fits at no shift, best {where}" if "unrelated" in row.suspect else f"NIR lies {where}"
    numbers = f"correlation {row.correlation:.2f}, significance {row.significance:.1f}"
    return f"{row.split}/{row.name}: {found}, {numbers}; {what}"
