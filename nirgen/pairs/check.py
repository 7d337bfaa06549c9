"""Check every pair of a list: alignment, exposure, copies; a bad image becomes a row."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nirgen.errors import ImageError
from nirgen.pairs.alignment import Alignment, find_partners, measure_alignment
from nirgen.pairs.duplicates import Fingerprint, find_duplicates, find_leaks, fingerprint
from nirgen.pairs.listing import PairList, read_pair
from nirgen.pairs.report import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.pairs.listing import Pair


TOLERANCE = 3.0
"""Pixels that partners may lie apart without being suspect."""

CLIPPED_SHARE = 0.25
"""Of the samples of an image at 0, or at 255, that makes it suspect."""

_CHUNK = 4


@dataclass(frozen=True)
class Measured:
    """What one pair's pixels tell; None for what can't be measured.

    Attributes:
        size: (height, width) in pixels.
        alignment: Where NIR fits RGB best.
        information: Mutual information in bits, and normalised.
        rgb_clipped: Shares of the samples at 0 and at 255.
        nir_clipped: The same.
        fingerprint: Of the RGB image.
        error: Why the pair can't be measured, in one line.
    """

    size: tuple[int, int] | None = None
    alignment: Alignment | None = None
    information: tuple[float, float] | None = None
    rgb_clipped: tuple[float, float] | None = None
    nir_clipped: tuple[float, float] | None = None
    fingerprint: Fingerprint | None = None
    error: str | None = None


def check_pairs(
    pairs: PairList,
    *,
    tolerance: float = TOLERANCE,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Check all pairs of a list.

    Args:
        pairs: The list.
        tolerance: Pixels that partners may lie apart.
        workers: Processes; by default as many as there are processors, but not over 4. 1 works in this process.
        progress: Called with (done, total) after each pair.

    Returns:
        A row for each pair, sorted by split and name.
    """
    ordered = sorted(pairs.pairs, key=lambda pair: (pair.split, pair.name))
    measured: list[Measured] = []
    with _mapping(min(workers or _default_workers(), len(ordered))) as map_pairs:
        for result in map_pairs(partial(measure_pair, pairs.root), ordered):
            measured.append(result)
            if progress is not None:
                progress(len(measured), len(ordered))
    strangers = [
        position for position, each in enumerate(measured) if each.alignment and not each.alignment.shows_one_scene
    ]
    partners = find_partners(PairList(pairs.root, tuple(ordered)), strangers)
    copies = find_duplicates(ordered)
    leaks = find_leaks(ordered, [result.fingerprint for result in measured])
    rows = []
    for position, (pair, result) in enumerate(zip(ordered, measured, strict=True)):
        leak = leaks.get(position)
        rows.append(
            _row(
                pair,
                result,
                partner=_label(ordered[partners[position]]) if position in partners else None,
                duplicate_of=_label(ordered[copies[position]]) if position in copies else None,
                leak_of=_label(ordered[leak[0]]) if leak else None,
                leak_distance=leak[1] if leak else None,
                tolerance=tolerance,
            )
        )
    return rows


def measure_pair(root: Path, pair: Pair) -> Measured:
    """Measure one pair; what can't be read or compared is an error in the result, with paths relative to the root."""
    try:
        rgb, nir = read_pair(PairList(root, (pair,)), pair)
    except ImageError as error:
        return Measured(error=str(error).replace(f"{root}{os.sep}", ""))
    size = (nir.shape[0], nir.shape[1])
    if rgb.shape[:2] != size:
        return Measured(
            fingerprint=fingerprint(rgb),
            error=f"{pair.nir}: {size[1]}x{size[0]}, but its RGB partner is {rgb.shape[1]}x{rgb.shape[0]}; "
            "align and crop them alike",
        )
    return Measured(
        size,
        measure_alignment(rgb, nir),
        mutual_information(rgb, nir),
        clipped_shares(rgb),
        clipped_shares(nir),
        fingerprint(rgb),
    )


def clean_pairs(pairs: PairList, rows: Iterable[Row], worse_than: float) -> PairList:
    """The pairs that are worth training on.

    Args:
        pairs: The list.
        rows: What `check_pairs` found of it.
        worse_than: Pairs that lie farther apart than so many pixels are left out, and so are damaged pairs and those
            whose images show different scenes. Copies and leaks stay: which one should go is not for a machine.
    """
    bad = {
        (row.split, row.name)
        for row in rows
        if {"damaged", "unrelated"} & set(row.suspect) or (row.shift is not None and row.shift > worse_than)
    }
    return PairList(pairs.root, tuple(pair for pair in pairs.pairs if (pair.split, pair.name) not in bad))


def _row(
    pair: Pair,
    result: Measured,
    *,
    partner: str | None,
    duplicate_of: str | None,
    leak_of: str | None,
    leak_distance: int | None,
    tolerance: float,
) -> Row:
    found = result.alignment
    reasons = {
        "damaged": result.error is not None,
        "swapped": partner is not None,
        "unrelated": found is not None and not found.shows_one_scene,
        "misaligned": found is not None and found.shows_one_scene and found.shift > tolerance,
        "unmeasured": result.error is None and found is None,
        "clipped": any(share > CLIPPED_SHARE for share in (*(result.rgb_clipped or ()), *(result.nir_clipped or ()))),
        "duplicate": duplicate_of is not None,
        "leak": leak_of is not None,
    }
    rgb_black, rgb_white = result.rgb_clipped or (None, None)
    nir_black, nir_white = result.nir_clipped or (None, None)
    information, normalised_information = result.information or (None, None)
    height, width = result.size or (None, None)
    return Row(
        split=pair.split,
        name=pair.name,
        sequence=pair.sequence,
        rgb=pair.rgb,
        nir=pair.nir,
        width=width,
        height=height,
        shift_x=found.shift_x if found else None,
        shift_y=found.shift_y if found else None,
        shift=found.shift if found else None,
        correlation=found.correlation if found else None,
        significance=found.significance if found else None,
        mutual_information=information,
        normalised_mutual_information=normalised_information,
        rgb_black=rgb_black,
        rgb_white=rgb_white,
        nir_black=nir_black,
        nir_white=nir_white,
        fits_nir_of=partner,
        duplicate_of=duplicate_of,
        leak_of=leak_of,
        leak_distance=leak_distance,
        suspect=tuple(reason for reason, holds in reasons.items() if holds),
        error=result.error,
    )


def _label(pair: Pair) -> str:
    return f"{pair.split}/{pair.name}"


def _default_workers() -> int:
    return min(4, os.cpu_count() or 1)


@contextmanager
def _mapping(
    workers: int,
) -> Generator[Callable[[Callable[[Pair], Measured], list[Pair]], Iterator[Measured]]]:
    """`map`, in this process or in several."""
    if workers <= 1:
        yield map
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker)
    try:
        yield partial(pool.map, chunksize=_CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    """Leave Ctrl-C to the process that asked for the work, and odd metadata unmentioned."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


LEVELS = 32
"""Into how many levels each image is divided for their joint histogram."""


def mutual_information(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> tuple[float, float]:
    """How much the RGB image's luma says of the NIR image, pixel by pixel.

    Args:
        rgb: (H, W, 3) uint8.
        nir: (H, W) uint8.

    Returns:
        Mutual information in bits, from the joint histogram of `LEVELS` levels each; and the same divided by the mean
        of both entropies, in [0, 1].

    Example:
        >>> ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
        >>> mutual_information(np.stack([ramp] * 3, axis=2), 255 - ramp)
        (5.0, 1.0)
    """
    luma = (rgb.astype(np.uint32) @ np.array([299, 587, 114], np.uint32) + 500) // 1000
    step = 256 // LEVELS
    cells = (luma // step) * LEVELS + nir // step
    joint = np.bincount(cells.ravel(), minlength=LEVELS**2).reshape(LEVELS, LEVELS) / cells.size
    entropies = _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1))
    information = max(0.0, entropies - _entropy(joint))
    return information, 2 * information / entropies if entropies > 0 else 0.0


def clipped_shares(image: NDArray[np.uint8]) -> tuple[float, float]:
    """The shares of samples that are 0 and 255.

    Example:
        >>> clipped_shares(np.array([[0, 1], [255, 255]], np.uint8))
        (0.25, 0.5)
    """
    return float(np.mean(image == 0)), float(np.mean(image == 255))


def _entropy(shares: NDArray[np.float64]) -> float:
    """Entropy of a distribution, in bits."""
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())
