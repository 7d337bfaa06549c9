"""Contact sheet of a translation folder: a few photos beside their NIR images, spread over folders and brightness."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import ImageError, OutputError
from nirgen.files import read_bytes, sha256_of, write_whole
from nirgen.translate.manifest import NAME, is_named, iter_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.translate.items import Row

ROWS = 6
_CANDIDATES = 24  # photos that are read to choose from
_PIXELS = 120_000_000  # of all candidates; the first one may have more
_OTHER_FOLDER = 0.2  # difference of brightness, in [0, 1], that another folder counts as


@dataclass(frozen=True)
class _Photo:
    row: Row
    rgb: NDArray[np.uint8]  # (H, W, 3), as large as in the sheet
    brightness: float  # mean luma, in [0, 1]


def write_preview(
    out: Path,
    photos: Path,
    *,
    model: str,
    file: Path | None = None,
    reading: images.Reading = images.Reading(),  # noqa: B008 - frozen
    pixel_limit: int = images.PIXEL_LIMIT,
) -> Path | None:
    """Draw some photos of a translation folder beside their NIR images; those that can't be read are left out.

    A preview in OUT is left as it is if it belongs to the present manifest, and removed if there is nothing to show.

    Args:
        out: Translation folder.
        photos: Folder that the manifest's sources are relative to.
        model: Name of the model, for the heading.
        file: PNG file to write; None for `preview.png` in OUT, unless that is an image or somebody else's file.
        reading: Choices of how the photos were read.
        pixel_limit: Largest photo that is read.

    Returns:
        The file; None if there is nothing to show, or another file in its place.

    Raises:
        OutputError: The file can't be written.
    """
    target = out / images.PREVIEW if file is None else file
    try:
        mark = sha256_of(out / NAME)
        if file is None and (target.is_symlink() or target.exists()):
            found = images.preview_mark(target)
            if found in {None, mark}:
                return None if found is None else target
        chosen = _choose(list(_candidates(out, photos, reading, pixel_limit)))
        rows = [row for photo in chosen if (row := _sheet_row(out, photo, pixel_limit)) is not None]
        if not rows:
            if file is None:
                target.unlink(missing_ok=True)
            return None
        sheet = images.contact_sheet(rows, headings=("RGB", f"NIR, model {model}"))
        if len(rows) < len(chosen):
            mark = f"without {len(chosen) - len(rows)} of {mark}"  # so that the next run draws it anew
        write_whole(target, images.encode_preview(sheet, mark))
    except OSError as error:
        raise OutputError(f"the preview {str(target)!r} can't be written: {error.strerror}; use another") from error
    return target


def _translated(out: Path) -> Iterator[Row]:
    return (row for row in iter_rows(out) if row.output is not None and is_named(row))


def _candidates(out: Path, photos: Path, reading: images.Reading, pixel_limit: int) -> Iterator[_Photo]:
    """Read photos that are spread over the folders, and evenly over each of them."""
    counts, largest = Counter[str](), 1
    for row in _translated(out):
        counts[_folder_of(row)] += 1
        largest = max(largest, (row.source_width or 0) * (row.source_height or 0))
    wanted = _spread(counts, min(_CANDIDATES, max(2, _PIXELS // largest)))
    seen = Counter[str]()
    for row in _translated(out):
        folder = _folder_of(row)
        seen[folder] += 1
        if seen[folder] - 1 in wanted.get(folder, ()):
            pixels = _read(photos / row.source, reading, pixel_limit)
            if pixels is not None:
                yield _Photo(row, pixels, float(images.to_grey(pixels).mean()) / 255)


def _folder_of(row: Row) -> str:
    return row.source.rpartition("/")[0]


def _spread(counts: Mapping[str, int], total: int) -> dict[str, set[int]]:
    """Return up to `total` positions by folder, of folders with these numbers of images."""
    folders = sorted(counts)
    quota = Counter(folders[at] for at in _evenly(len(folders), total))
    while (left := total - quota.total()) > 0 and (open_ones := [each for each in quota if quota[each] < counts[each]]):
        quota.update(open_ones[:left])
    return {folder: set(_evenly(counts[folder], each)) for folder, each in quota.items()}


def _evenly(length: int, count: int) -> list[int]:
    """Return at most `count` positions in a sequence: the middles of equal parts.

    Example:
        >>> _evenly(9, 3), _evenly(2, 5)
        ([1, 4, 7], [0, 1])
    """
    count = min(count, length)
    return [(2 * at + 1) * length // (2 * count) for at in range(count)]


def _choose(photos: list[_Photo]) -> list[_Photo]:
    """Choose photos one by one, each the most different from those chosen in brightness and folder; sorted by name."""
    left = sorted(photos, key=lambda photo: photo.brightness)
    chosen = [left.pop(len(left) // 2)] if left else []
    while left and len(chosen) < ROWS:
        apart = [min(_difference(photo, other) for other in chosen) for photo in left]
        chosen.append(left.pop(apart.index(max(apart))))
    return sorted(chosen, key=lambda photo: photo.row.source)


def _difference(one: _Photo, other: _Photo) -> float:
    return abs(one.brightness - other.brightness) + _OTHER_FOLDER * (_folder_of(one.row) != _folder_of(other.row))


def _sheet_row(out: Path, photo: _Photo, pixel_limit: int) -> images.SheetRow | None:
    output = photo.row.output or ""
    nir = _read(out / output, images.Reading(), max(pixel_limit, images.PIXEL_LIMIT))
    if nir is None:
        return None
    return images.SheetRow((images.resize(photo.rgb, nir.shape[:2]), nir), (photo.row.source, output))


def _read(path: Path, reading: images.Reading, pixel_limit: int) -> NDArray[np.uint8] | None:
    """Return an image as large as in the sheet; None if it can't be read."""
    try:
        pixels = images.decode_small(read_bytes(path), str(path), images.SHEET_WIDTH, reading, pixel_limit=pixel_limit)
        return images.fit(pixels)
    except (ImageError, MemoryError, OSError):
        return None
