"""Aligned RGB-NIR pairs: the list of them as a file, with sequences, splits and hashes."""

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
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

GREY_TOLERANCE = 8
"""Levels of 255 by which the channels of a grey image may differ, as lossy compression makes them."""


@dataclass(frozen=True)
class Pair:
    """One scene in both spectra.

    Attributes:
        name: The stem of both files; unique in its split.
        rgb: Path of the RGB image, POSIX, relative to the list's root.
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
    def read(cls, path: Path, root: Path | None = None) -> Self:
        """Read a list that `nirgen pairs` wrote.

        Args:
            path: The CSV file.
            root: The folder of the images; the CSV's own by default.

        Returns:
            The list, in the file's order.

        Raises:
            NirgenError: The file is missing or empty, lacks a column, or names an image that isn't there.
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
        root = root if root is not None else path.parent
        for line, row in enumerate(rows, start=2):
            if any(row[name] is None for name in columns):
                raise NirgenError(f"{path}, line {line}: too few columns; write the list again with 'nirgen pairs'")
        pairs = tuple(Pair(**{name: row[name] for name in columns}) for row in rows)
        for pair in pairs:
            for image in (pair.rgb, pair.nir):
                if not (root / image).is_file():
                    raise NirgenError(f"{path}: '{image}' isn't in {root}; name its folder with --root")
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
    rgb = _read_unchanged(pairs.root / pair.rgb, pair.rgb_sha256)
    nir = _read_unchanged(pairs.root / pair.nir, pair.nir_sha256)
    difference = int((nir.max(axis=2) - nir.min(axis=2)).max())
    if difference > GREY_TOLERANCE:
        raise ImageError(
            f"{pairs.root / pair.nir}: a NIR image in colour (its channels differ by {difference} levels of 255); save "
            "its intensity as a grey image, and make sure that 'rgb' and 'nir' aren't swapped"
        )
    return rgb, nir[..., 0]


def _read_unchanged(path: Path, sha256: str) -> NDArray[np.uint8]:
    """Decode a file whose bytes have a hash: (H, W, 3) uint8."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror}); bring it back, or list the pairs again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError(f"{path}: changed since it was listed; run 'nirgen pairs' again")
    return images.decode(data, str(path))


def find_pairs(root: Path, index: Path | None = None) -> PairList:
    """Find pairs in the layout `<split>/rgb/NAME.*` and `<split>/nir/NAME.*`, paired by stem, never by position.

    Args:
        root: The folder of the splits.
        index: A CSV with the columns `name` and `scene_group` (or `sequence`) and, if known, `category`; without it
            each pair is a sequence of its own, `<split>/<stem>`.

    Returns:
        All pairs, sorted by split and name.

    Raises:
        NirgenError: No split is found; an image lacks its partner or has two; the index lacks a pair; or one sequence
            lies in two splits.
    """
    known = _read_index(index) if index is not None else {}
    pairs: list[Pair] = []
    for folder in sorted(path.parent for path in root.glob("*/rgb") if path.is_dir()):
        rgb, nir = _by_stem(folder / "rgb"), _by_stem(folder / "nir")
        for stem in sorted(rgb.keys() ^ nir.keys()):
            there = rgb.get(stem) or nir[stem]
            raise NirgenError(
                f"{there}: no partner of the same stem in '{'nir' if stem in rgb else 'rgb'}/'; add or remove it"
            )
        for stem in sorted(rgb):
            if index is not None and stem not in known:
                raise NirgenError(f"{index}: no row for '{stem}' ({rgb[stem]}); add it, or leave the index out")
            row = known.get(stem, {})
            pairs.append(
                Pair(
                    name=stem,
                    rgb=rgb[stem].relative_to(root).as_posix(),
                    nir=nir[stem].relative_to(root).as_posix(),
                    sequence=row.get("scene_group") or row.get("sequence") or f"{folder.name}/{stem}",
                    split=folder.name,
                    category=row.get("category", ""),
                    rgb_sha256=hashlib.sha256(rgb[stem].read_bytes()).hexdigest(),
                    nir_sha256=hashlib.sha256(nir[stem].read_bytes()).hexdigest(),
                )
            )
    if not pairs:
        raise NirgenError(
            f"{root}: no pairs; expected <split>/rgb/NAME.* and <split>/nir/NAME.*, as in train/rgb/a.jpg"
        )
    _refuse_cut_sequences(pairs)
    return PairList(root, tuple(pairs))


def _read_index(path: Path) -> dict[str, dict[str, str]]:
    """Rows of an index by their `name`."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["name"]: row for row in csv.DictReader(file)}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise NirgenError(f"{path}: not an index with a column 'name' ({error}); name a CSV that has one") from None


def _by_stem(folder: Path) -> dict[str, Path]:
    """Images of a folder by their stem."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix.lower() not in images.SUFFIXES:
            continue
        if path.stem in found:
            raise NirgenError(f"{path}: {found[path.stem].name} has the same stem; a pair needs exactly one of each")
        found[path.stem] = path
    return found


def _refuse_cut_sequences(pairs: Iterable[Pair]) -> None:
    """A sequence in two splits would let the network see what it is judged on."""
    splits: dict[str, str] = {}
    for pair in pairs:
        other = splits.setdefault(pair.sequence, pair.split)
        if other != pair.split:
            raise NirgenError(
                f"sequence '{pair.sequence}' lies in both '{other}' and '{pair.split}' ({pair.name}); "
                "move it into one split"
            )
