"""What `nirgen pairs check` found, as a Parquet file; its columns stand in docs/formats.md."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from nirgen import __version__
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

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
