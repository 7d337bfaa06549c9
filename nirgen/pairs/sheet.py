"""A picture of the worst pairs: RGB, NIR, and the edges of both in two colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from nirgen import images
from nirgen.errors import ImageError, OutputError
from nirgen.files import output_file
from nirgen.pairs.alignment import squared_gradient
from nirgen.pairs.reading import read_pair
from nirgen.pairs.report import worst_first

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.pairs.listing import PairList
    from nirgen.pairs.report import Row

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
