"""One picture of a few sources beside their outputs, to look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import ImageError, OutputError
from nirgen.files import write_whole
from nirgen.translate.manifest import iter_rows
from nirgen.translate.ordered import join
from nirgen.translate.url import Url

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nirgen.translate.plan import Item, Plan
    from nirgen.translate.url import Place


def check_preview(picture: Path, source: Place | None, out: Place) -> None:
    """Refuse, before any work, a picture that could not or should not be written after it.

    Args:
        picture: The file to write.
        source: The folder of the sources, or the one source, if given.
        out: The translation folder, which need not exist.

    Raises:
        OutputError: It does not end in `.png`, is a folder, its folder does not exist or can't be written, or lies in
            OUT or SRC, where it could take an output's or a photo's place.
    """
    if isinstance(source, Url) or isinstance(out, Url):
        raise OutputError("--preview shows folders of this machine, and no URLs; leave it out")
    folder, target = picture.resolve().parent, out.resolve()
    if picture.suffix.lower() != ".png":
        raise OutputError(f"the preview {str(picture)!r} is written as PNG; give it a name that ends in .png")
    if picture.is_dir():
        raise OutputError(f"the preview {str(picture)!r} is a folder; name a file")
    if target in (folder, *folder.parents):
        raise OutputError(f"the preview {str(picture)!r} lies inside OUT {str(out)!r}; put it outside of it")
    if source is not None and source.resolve() in (picture.resolve(), folder, *folder.parents):
        raise OutputError(f"the preview {str(picture)!r} lies inside SRC {str(source)!r}; put it outside of it")
    if folder in target.parents and not folder.exists():  # made on the way to OUT
        return
    if not folder.is_dir():
        raise OutputError(f"the preview's folder {str(picture.parent)!r} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"the preview's folder {str(picture.parent)!r} can't be written; use another")


def write_preview(
    plan: Plan, out: Place, picture: Path, *, count: int = 4, pixel_limit: int = images.PIXEL_LIMIT
) -> int:
    """Write a picture with a row for each of the first images of a run: the source, then the output.

    Args:
        plan: What the run was about.
        out: The translation folder.
        picture: The PNG file to write.
        count: How many images to show at most.
        pixel_limit: Sources of more pixels are not shown.

    Returns:
        How many are shown: those that failed or can't be read any more are skipped. If 0, nothing is written.

    Raises:
        OutputError: The picture can't be written.
    """
    assert isinstance(out, Path)
    recorded = join(plan, iter_rows(out))
    rows: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for item, row in recorded:
        if item is None or row is None or row.output != item.output:
            continue
        pair = _read_pair(item, out, pixel_limit)
        rows += [pair] if pair is not None else []
        if len(rows) == count:
            break
    if rows:
        try:
            write_whole(picture, images.encode(images.side_by_side(rows), "png"))
        except OSError as error:
            raise OutputError(
                f"the preview {str(picture)!r} can't be written: {error.strerror}; use another"
            ) from error
    return len(rows)


def _read_pair(item: Item, out: Path, pixel_limit: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """A source and its output; None if one of them can't be read."""
    try:
        assert isinstance(item.path, Path)
        source = images.read(item.path, pixel_limit=pixel_limit)
        return source, images.read(out / item.output, pixel_limit=max(pixel_limit, images.PIXEL_LIMIT))
    except (ImageError, MemoryError):
        return None
