"""Pair lists as CSV files, and reading the images of a pair."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Self

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.files import output_file

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


HALVES = ("#left", "#right")
"""What a path ends in where one file holds both images side by side."""


@dataclass(frozen=True)
class Pair:
    """One scene in both spectra.

    Attributes:
        name: The stem that both files share, with the folders above it where stems repeat; unique in its split.
        rgb: Path of the RGB image, POSIX, relative to the list's root; `#left` or `#right` behind it says which half.
        nir: Path of the NIR image, likewise.
        sequence: The recording session or scene; a split never cuts one.
        split: `train`, `val` or `test`.
        category: What the scene shows, or an empty string.
        rgb_sha256: Of the file's bytes.
        nir_sha256: Of the file's bytes.
    """

    name: str
    rgb: str
    nir: str
    sequence: str
    split: str
    category: str
    rgb_sha256: str
    nir_sha256: str


@dataclass(frozen=True)
class PairList:
    """Pairs and the folder that their paths are relative to."""

    root: Path
    pairs: tuple[Pair, ...]

    @classmethod
    def read(cls, path: Path, root: Path | None = None, *, missing_ok: bool = False) -> Self:
        """Read a list that `nirgen pairs` wrote.

        Args:
            path: The CSV file.
            root: The folder of the images; the CSV's own by default.
            missing_ok: Whether to let pass an image that isn't there, as long as others are.

        Returns:
            The list, in the file's order.

        Raises:
            NirgenError: The file is missing or empty, lacks a column, or names an image that isn't there.
        """
        pairs = read_rows(path)
        root = root if root is not None else path.parent
        absent = [image for pair in pairs for image in (pair.rgb, pair.nir) if not (root / file_of(image)).is_file()]
        if absent and not (missing_ok and len(absent) < 2 * len(pairs)):
            raise NirgenError(f"{path}: '{file_of(absent[0])}' isn't in {root}; name its folder with --root")
        return cls(root, pairs)

    def write(self, path: Path) -> None:
        """Write the list as CSV, sorted by split and name.

        Raises:
            OutputError: The file can't be written.
        """
        with io.StringIO(newline="") as text:
            writer = csv.DictWriter(text, [field.name for field in fields(Pair)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(pair) for pair in sorted(self.pairs, key=lambda pair: (pair.split, pair.name)))
            with output_file(path) as temporary:
                temporary.write_text(text.getvalue(), encoding="utf-8", newline="")

    def split(self, name: str) -> Self:
        """The pairs of one split.

        Raises:
            NirgenError: There are none; the message names the splits there are.
        """
        pairs = tuple(pair for pair in self.pairs if pair.split == name)
        if not pairs:
            there = ", ".join(sorted({pair.split for pair in self.pairs}))
            raise NirgenError(f"no pairs in split '{name}'; the list has: {there}")
        return type(self)(self.root, pairs)


def read_rows(path: Path) -> tuple[Pair, ...]:
    """Read the rows of a list, whether or not its images are anywhere.

    Args:
        path: The CSV file.

    Returns:
        The pairs, in the file's order.

    Raises:
        NirgenError: The file is missing or empty, or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NirgenError(f"{path}: can't be read ({error}); 'nirgen pairs' writes such a list") from None
    columns = [field.name for field in fields(Pair)]
    missing = [name for name in columns if rows and name not in rows[0]]
    if not rows or missing:
        raise NirgenError(
            f"{path}: {'no rows' if not rows else f'no column {missing[0]!r}'}; 'nirgen pairs' writes such a list"
        )
    for line, row in enumerate(rows, start=2):
        if any(row[name] is None for name in columns):
            raise NirgenError(f"{path}, line {line}: too few columns; write the list again with 'nirgen pairs'")
    return tuple(Pair(**{name: row[name] for name in columns}) for row in rows)


def file_of(image: str) -> str:
    """The path of the file that holds an image of a list.

    Example:
        >>> file_of("train/a.jpg#left"), file_of("train/rgb/a#1.jpg")
        ('train/a.jpg', 'train/rgb/a#1.jpg')
    """
    for half in HALVES:
        image = image.removesuffix(half)
    return image


GREY_TOLERANCE = 8
"""Levels of 255 by which the channels of a grey image may differ, as lossy compression makes them."""

SEAM = 16
"""Columns beside the seam of two halves that JPEG's blocks of colour may reach over."""


def read_pair(pairs: PairList, pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode a pair of a list, after making sure that it is still the one that was listed.

    Args:
        pairs: The list.
        pair: One of its pairs.

    Returns:
        RGB (H, W, 3) and NIR (h, w), uint8 in [0, 255], upright.

    Raises:
        ImageError: A file can't be read, or was changed since it was listed; or the NIR image is in colour, its
            channels differing by more than `GREY_TOLERANCE`.
    """
    rgb = _read_unchanged(pairs.root, pair.rgb, pair.rgb_sha256)
    nir = _read_unchanged(pairs.root, pair.nir, pair.nir_sha256)
    difference = colour_difference(nir, pair.nir)
    if difference > GREY_TOLERANCE:
        raise ImageError(
            f"{pairs.root / pair.nir}: a NIR image in colour (its channels differ by {difference} levels of 255); save "
            "its intensity as a grey image, and make sure that 'rgb' and 'nir' aren't swapped"
        )
    # of a half, luma is what JPEG keeps of its intensity free of its neighbour's colour
    return rgb, nir[..., 0] if file_of(pair.nir) == pair.nir else images.to_grey(nir)


def colour_difference(pixels: NDArray[np.uint8], image: str = "") -> int:
    """By how many levels the channels of an image differ at most.

    Args:
        pixels: (H, W, 3) uint8.
        image: The image's path; that of a half says at which side to leave out what colour JPEG spreads over the seam.
    """
    seam = min(SEAM, pixels.shape[1] // 4)
    left, right = seam * image.endswith("#right"), seam * image.endswith("#left")
    inner = pixels[:, left : pixels.shape[1] - right]
    return int((inner.max(axis=2) - inner.min(axis=2)).max())


def cut_half(pixels: NDArray[np.uint8], image: str) -> NDArray[np.uint8]:
    """The half of an (H, W, 3) image that a path asks for; all of it if none."""
    middle = pixels.shape[1] // 2
    if image.endswith("#left"):
        return pixels[:, :middle]
    return pixels[:, middle:] if image.endswith("#right") else pixels


def _read_unchanged(root: Path, image: str, sha256: str) -> NDArray[np.uint8]:
    """Decode an image of a list whose file has a hash: (H, W, 3) uint8."""
    path = root / file_of(image)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror}); bring it back, or list the pairs again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError(f"{path}: changed since it was listed; run 'nirgen pairs' again")
    return cut_half(images.decode(data, str(path)), image)
