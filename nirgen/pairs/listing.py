"""Pair lists as CSV files, and the images of a folder or a pair."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Self

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.files import read_bytes, write_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.files import WrittenFile


HALVES = ("#left", "#right")  # suffixes of paths whose file holds both images side by side
GREY_TOLERANCE = 8  # largest difference between the channels of a grey image after lossy compression, in levels of 255
_CLEAN = ".clean.csv"
SEAM = 16  # columns beside the seam of two halves that blocks of JPEG chroma may reach over


@dataclass(frozen=True)
class Pair:
    """An RGB image and the NIR image of the same scene; paths are POSIX and relative to the root of the list."""

    name: str  # stem that both files share, with its folders where stems repeat; unique in its split
    rgb: str  # path; ends in one of `HALVES` if the file holds both images
    nir: str  # likewise
    sequence: str  # recording session or scene; a split never cuts one
    split: str  # train, val or test
    category: str  # kind of scene; may be empty
    rgb_sha256: str  # of the whole file
    nir_sha256: str


@dataclass(frozen=True)
class PairList:
    """Pairs and the folder that their paths are relative to."""

    root: Path
    pairs: tuple[Pair, ...]
    readings: images.Readings = field(default_factory=images.Readings)  # choices of how the images are read
    remarks: images.Remarks = field(default_factory=images.Remarks, compare=False, repr=False)  # on those read so far

    @classmethod
    def read(cls, path: Path, root: Path | None = None, *, missing_ok: bool = False) -> Self:
        """Read a list written by `nirgen pairs`, in the file's order; `root` is by default its folder.

        Missing images are an error unless they are `missing_ok`; that all are missing always is.
        """
        pairs = read_rows(path)
        root = root if root is not None else path.parent
        absent = [image for pair in pairs for image in (pair.rgb, pair.nir) if not (root / file_of(image)).is_file()]
        if absent and not (missing_ok and len(absent) < 2 * len(pairs)):
            raise NirgenError(f"{path}: '{file_of(absent[0])}' isn't in {root}; give its folder with --root")
        return cls(root, pairs)

    def write(self, path: Path) -> WrittenFile:
        """Write the list as CSV, sorted by split and name."""
        with io.StringIO(newline="") as text:
            writer = csv.DictWriter(text, [field.name for field in fields(Pair)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(pair) for pair in sorted(self.pairs, key=lambda pair: (pair.split, pair.name)))
            return write_output(path, [text.getvalue().encode()])

    def split(self, name: str) -> Self:
        """Return the pairs of one split; there must be some."""
        pairs = tuple(pair for pair in self.pairs if pair.split == name)
        if not pairs:
            there = ", ".join(sorted({pair.split for pair in self.pairs}))
            raise NirgenError(f"no pairs in split '{name}'; the list has: {there}")
        return self.of(pairs)

    def of(self, pairs: Iterable[Pair]) -> Self:
        """Return a list of other pairs below the same root, read alike."""
        return replace(self, pairs=tuple(pairs))


def read_rows(path: Path) -> tuple[Pair, ...]:
    """Read the rows of a list without looking for its images."""
    rows = read_csv(path, "write the list with 'nirgen pairs'")
    columns = [field.name for field in fields(Pair)]
    missing = [name for name in columns if rows and name not in rows[0][1]]
    if not rows or missing:
        problem = f"no column {missing[0]!r}" if missing else "no rows"
        raise NirgenError(f"{path}: {problem}; write the list with 'nirgen pairs'")
    for line, row in rows:
        if any(row[name] is None for name in columns):
            raise NirgenError(f"{path}, line {line}: too few columns; write the list again with 'nirgen pairs'")
    return tuple(Pair(**{name: row[name] for name in columns}) for _, row in rows)


def read_csv(path: Path, remedy: str) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file as spreadsheets save it: commas, semicolons or tabs, with a byte order mark or without one.

    Returns:
        The line of each row in the file, and its values by their headings in lower case; empty rows are left out.
    """
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines(keepends=True)
        heading = next((line for line in lines if line.strip()), "")
        reader = csv.DictReader(lines, delimiter=max(",;\t", key=heading.count))
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
        return [(reader.line_num, row) for row in reader if any(row.values())]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NirgenError(f"{path}: can't be read as CSV ({error}); {remedy}") from None


def check_report_of(listing: Path) -> Path:
    """Return the report that `nirgen pairs check` writes beside a list."""
    return listing.with_suffix(".check.parquet")


def clean_list_of(listing: Path) -> Path:
    """Return the clean list that `nirgen pairs check` writes beside a list."""
    return listing.with_suffix(_CLEAN)


def is_checked(listing: Path) -> bool:
    """Return True if a report of `nirgen pairs check` lies beside a list, or beside the list that it is a part of."""
    return check_report_of(listing.with_name(listing.name.removesuffix(_CLEAN))).is_file()


def file_of(image: str) -> str:
    """Return the path of the file that holds an image of a list.

    Example:
        >>> file_of("train/a.jpg#left"), file_of("train/rgb/a#1.jpg")
        ('train/a.jpg', 'train/rgb/a#1.jpg')
    """
    for half in HALVES:
        image = image.removesuffix(half)
    return image


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder and its subfolders, sorted, without hidden ones."""
    found = (path for path in folder.rglob("*") if images.is_listed(path.relative_to(folder)) and path.is_file())
    return sorted(path for path in found if not images.is_preview(path)) if folder.is_dir() else []


def read_pair(pairs: PairList, pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Decode a pair after checking the hashes of its files.

    Returns:
        RGB (H, W, 3) and NIR (h, w), uint8 in [0, 255], upright.

    Raises:
        ImageError: A file can't be read or has changed since it was listed, or the NIR image is in colour.
    """
    return read_rgb(pairs, pair), read_nir(pairs, pair)


def read_rgb(pairs: PairList, pair: Pair) -> NDArray[np.uint8]:
    """Decode the RGB image of a pair, (H, W, 3) uint8, as `read_pair`."""
    return _read_unchanged(pairs, pair.rgb, pair.rgb_sha256, pairs.readings.rgb)


def read_nir(pairs: PairList, pair: Pair) -> NDArray[np.uint8]:
    """Decode the NIR image of a pair, (h, w) uint8, as `read_pair`."""
    nir = _read_unchanged(pairs, pair.nir, pair.nir_sha256, pairs.readings.nir)
    difference = colour_difference(nir, pair.nir)
    if difference > GREY_TOLERANCE:
        raise ImageError(
            f"{pairs.root / pair.nir}: a NIR image in colour (its channels differ by {difference} levels of 255); save "
            "its intensity as a grey image, and check that 'rgb' and 'nir' aren't swapped"
        )
    # In a half, JPEG's luma is the only channel without colour from the other half.
    return nir[..., 0] if file_of(pair.nir) == pair.nir else images.to_grey(nir)


def size_problem(nir: object, nir_shape: Sequence[int], rgb_shape: Sequence[int]) -> str:
    """Return a message if the shapes (H, W, ...) of two partners differ in size, or an empty string."""
    (height, width), (rgb_height, rgb_width) = nir_shape[:2], rgb_shape[:2]
    if (height, width) == (rgb_height, rgb_width):
        return ""
    return f"{nir}: {width}x{height}, but its RGB partner is {rgb_width}x{rgb_height}; align and crop them alike"


def colour_difference(pixels: NDArray[np.uint8], image: str = "") -> int:
    """Return the largest difference between the channels of an (H, W, 3) image, in levels.

    If its path `image` names a half, the columns at the seam don't count.
    """
    seam = min(SEAM, pixels.shape[1] // 4)
    left, right = seam * image.endswith("#right"), seam * image.endswith("#left")
    inner = pixels[:, left : pixels.shape[1] - right]
    return int((inner.max(axis=2) - inner.min(axis=2)).max())


_EVERY = 5  # of the rows and columns, one is in the sample: 4 % of the pixels
_COLOURED = 0.02  # share of an image in colour; a coloured caption covers less


def is_in_colour(pixels: NDArray[np.uint8]) -> bool:
    """Return True if an (H, W, 3) image is in colour, by a sample of its pixels.

    Example:
        >>> import numpy as np
        >>> grey = np.full((20, 20, 3), 90, np.uint8)
        >>> is_in_colour(grey), is_in_colour(grey + np.array([40, 0, 0], np.uint8))
        (False, True)
    """
    sample = pixels[::_EVERY, ::_EVERY]
    return bool((sample.max(axis=2) - sample.min(axis=2) > GREY_TOLERANCE).mean() > _COLOURED)


def cut_half(pixels: NDArray[np.uint8], image: str) -> NDArray[np.uint8]:
    """Return the half of an (H, W, 3) image that its path names, or all of it."""
    middle = pixels.shape[1] // 2
    if image.endswith("#left"):
        return pixels[:, :middle]
    return pixels[:, middle:] if image.endswith("#right") else pixels


def _read_unchanged(pairs: PairList, image: str, sha256: str, reading: images.Reading) -> NDArray[np.uint8]:
    path = pairs.root / file_of(image)
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror}); restore it, or list the pairs again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError(f"{path}: changed since it was listed; run 'nirgen pairs' again")
    decoded = images.decode_noted(data, str(path), reading)
    pairs.remarks.add(image, decoded)
    return cut_half(decoded.rgb, image)
