"""RANUS's colour-coded masks: an image for each frame, boxes derived from what hangs together."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from pycocotools import mask as rle_tools

from nirgen import images
from nirgen.labels.frames import Frame, Label, Reading
from nirgen.labels.names import safe_path
from nirgen.labels.sizes import Sizes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.labels.frames import ReadOptions
    from nirgen.labels.sources import Source

COLOURS = {"vehicle": (0, 0, 128), "human": (64, 0, 128)}
"""sRGB of the classes that have boxes; RANUS's others are ground and background."""

TOLERANCE = 10
"""By how much a colour may be off, the differences of its channels added up."""

SMALLEST = 20
"""Pixels that a piece needs, to be more than a fray."""

STEM_END, ENDINGS = "_gt", (".png",)


def read(source: Source, files: Sequence[Path], options: ReadOptions) -> Reading:
    """Read one or several masks.

    A mask `01/x_gt.png` is taken for that of `01/x_nir.png`; with a folder of images, for that of the one in it. The
    folder is the sequence.

    Args:
        source: The mask, or the folder of them.
        files: All of them.
        options: What the user says.

    Raises:
        ImageError: A mask can't be read.
    """
    sizes = Sizes(options)
    return Reading((_frame(path, source.name_of(path), sizes) for path in files), len(files))


def _frame(path: Path, relative: str, sizes: Sizes) -> Frame:
    pixels = images.read(path)
    name = PurePosixPath(relative)
    bare = name.with_name(name.stem.removesuffix(STEM_END)).as_posix()
    found = sizes.name(bare)
    folder = name.parent
    return Frame(
        file_name=safe_path(found if found != bare else f"{bare}_nir.png", str(path)),
        width=pixels.shape[1],
        height=pixels.shape[0],
        labels=[label for category, colour in COLOURS.items() for label in _pieces(pixels, category, colour)],
        sequence=folder.as_posix() if folder.parts else None,
    )


def _pieces(pixels: NDArray[np.uint8], category: str, colour: tuple[int, int, int]) -> Iterator[Label]:
    """The connected pieces of one colour in an (H, W, 3) mask, diagonal neighbours among them."""
    from scipy import ndimage  # takes seconds to import, and masks are rare

    near = np.abs(pixels.astype(np.int16) - colour).sum(axis=2) <= TOLERANCE
    pieces, _ = ndimage.label(near, structure=np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
        piece = pieces == number
        if piece[rows, columns].sum() < SMALLEST:
            yield Label(category, None, lost=f"under {SMALLEST} pixels")
            continue
        rle = rle_tools.encode(np.asfortranarray(piece, dtype=np.uint8))
        yield Label(
            category,
            bbox=(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start),
            segmentation={"size": rle["size"], "counts": rle["counts"].decode()},
            derived="mask",
        )
