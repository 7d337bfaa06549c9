"""Report of `nirgen pairs check` as Parquet (columns in docs/formats.md), and a contact sheet of the worst pairs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen._version import __version__
from nirgen.errors import ImageError, OutputError
from nirgen.files import write_output
from nirgen.pairs.alignment import squared_gradient
from nirgen.pairs.listing import read_pair

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.files import WrittenFile
    from nirgen.pairs.listing import PairList


SCHEMA = 1
WIDTH = 400  # pixels of an image of a sheet
WHITE_QUANTILE = 0.97  # quantile of the gradients that is drawn white


@dataclass(frozen=True)
class Row:
    """Findings on one pair; None for what couldn't be measured."""

    split: str
    name: str
    sequence: str
    rgb: str
    nir: str
    width: int | None = None  # pixels
    height: int | None = None
    shift_x: float | None = None  # pixels by which NIR lies to the right of RGB
    shift_y: float | None = None  # pixels by which NIR lies below RGB
    shift: float | None = None  # length of both
    correlation: float | None = None  # of the edges at that shift, in [-1, 1]
    significance: float | None = None  # standard deviations above the correlation at other shifts
    parts: int | None = None  # of 16 parts that agree, if no shift fits the whole; then `shift` is their median
    mutual_information: float | None = None  # of luma and NIR, in bits
    normalised_mutual_information: float | None = None  # in [0, 1]
    rgb_black: float | None = None  # share of samples that are 0
    rgb_white: float | None = None  # share of samples that are 255
    nir_black: float | None = None
    nir_white: float | None = None
    fits_nir_of: str | None = None  # SPLIT/NAME of another pair whose NIR image fits this RGB image
    duplicate_of: str | None = None  # SPLIT/NAME of the first pair with the same RGB or NIR file
    leak_of: str | None = None  # SPLIT/NAME of the nearest copy in another split
    leak_distance: int | None = None  # bits of 64 in which the perceptual hashes differ
    suspect: tuple[str, ...] = ()  # damaged, swapped, unrelated, misaligned, unmeasured, clipped, duplicate, leak
    error: str | None = None  # one line
    note: str | None = None  # remarks on how its images were read, one line


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Sort rows: damaged, swapped and unrelated pairs, then the others by their shift."""
    worst = ("damaged", "swapped", "unrelated")
    return sorted(rows, key=lambda row: (*(reason in row.suspect for reason in worst), row.shift or 0.0), reverse=True)


def write_report(path: Path, rows: Iterable[Row]) -> WrittenFile:
    """Write rows as Parquet; the same rows give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"str": pa.string(), "int": pa.int32(), "float": pa.float32(), "tuple[str, ...]": pa.list_(pa.string())}
    columns = [
        pa.field(field.name, types[str(field.type).removesuffix(" | None")], "None" in str(field.type))
        for field in fields(Row)
    ]
    schema = pa.schema(columns, {"nirgen.schema": str(SCHEMA), "nirgen.version": __version__})
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema)
    data = pa.BufferOutputStream()
    pq.write_table(table, data, compression="zstd")
    return write_output(path, [data.getvalue().to_pybytes()])


def write_sheet(path: Path, pairs: PairList, rows: Iterable[Row], *, count: int = 12) -> tuple[int, WrittenFile | None]:
    """Draw the worst `count` pairs, one a row: RGB, NIR, and their edges as `overlay` draws them.

    The number drawn, without unreadable pairs, is returned with the file; if it is 0, none is written.
    """
    kinds: dict[str, images.Format] = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg"}
    if path.suffix.lower() not in kinds:
        raise OutputError(f"{path}: the sheet is an image; give it a name that ends in .png or .jpg")
    by_name = {(pair.split, pair.name): pair for pair in pairs.pairs}
    shown: list[images.SheetRow] = []
    for row in worst_first(rows):
        try:
            rgb, nir = read_pair(pairs, by_name[row.split, row.name])
        except ImageError:
            continue
        edges = images.fit(overlay(rgb, nir), WIDTH) if rgb.shape[:2] == nir.shape else None
        shown.append(images.SheetRow((images.fit(rgb, WIDTH), images.fit(nir, WIDTH), edges), (_caption(row),)))
        if len(shown) == count:
            break
    if not shown:
        return 0, None
    picture = images.contact_sheet(shown, headings=("RGB", "NIR", "edges: RGB red, NIR cyan, both white"), width=WIDTH)
    return len(shown), write_output(path, [images.encode(picture, kinds[path.suffix.lower()])])


def overlay(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the edges of RGB (H, W, 3) in red and of NIR (H, W) in cyan, of both in white: (H, W, 3) uint8."""
    red, cyan = (_edges(image) for image in (rgb, nir[..., np.newaxis]))
    return np.stack([red, cyan, cyan], axis=2)


def _edges(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, C) -> gradients (H, W)."""
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
    if row.parts and "unrelated" not in row.suspect:
        found += f" at the median of {row.parts} of 16 parts"
    numbers = f"correlation {row.correlation:.2f}, significance {row.significance:.1f}"
    return f"{row.split}/{row.name}: {found}, {numbers}; {what}"
