"""Check of every pair of a list: alignment, exposure, copies. A damaged image becomes a row with an error."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.errors import ImageError
from nirgen.images import Readings
from nirgen.pairs.alignment import Alignment, find_partners, measure_alignment
from nirgen.pairs.duplicates import Fingerprint, find_duplicates, find_leaks, fingerprint
from nirgen.pairs.listing import PairList, read_pair, size_problem
from nirgen.pairs.report import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.pairs.listing import Pair
    from nirgen.progress import Progress


TOLERANCE = 3.0  # largest shift in pixels of a pair that isn't suspect
CLIPPED_SHARE = 0.25  # largest share of samples at 0, or at 255, in an image of a pair that isn't suspect
LEVELS = 32  # bins of each image in the joint histogram


def check_pairs(
    pairs: PairList, *, tolerance: float = TOLERANCE, workers: int | None = None, progress: Progress | None = None
) -> list[Row]:
    """Check all pairs of a list; the rows are sorted by split and name.

    Pairs with a shift of more than `tolerance` pixels are suspect. By default there is one of the `workers` (processes)
    a processor, and at most 4; 1 works in this process. Progress is in pairs.
    """
    ordered = sorted(pairs.pairs, key=lambda pair: (pair.split, pair.name))
    measured: list[tuple[Row, Alignment | None, Fingerprint | None]] = []
    with _mapping(min(workers or min(4, os.cpu_count() or 1), len(ordered))) as map_pairs:
        for result in map_pairs(partial(measure_pair, pairs.root, readings=pairs.readings), ordered):
            measured.append(result)
            if progress is not None:
                progress("check", len(measured), len(ordered))
    unrelated = [position for position, (_, found, _) in enumerate(measured) if found and not found.shows_one_scene]
    partners = find_partners(pairs.of(ordered), unrelated)
    copies = find_duplicates(ordered)
    leaks = find_leaks(ordered, [found for _, _, found in measured])

    def label(position: int | None) -> str | None:
        return None if position is None else f"{ordered[position].split}/{ordered[position].name}"

    rows = []
    for position, (row, found, _) in enumerate(measured):
        leak, distance = leaks.get(position, (None, None))
        whole = replace(
            row,
            fits_nir_of=label(partners.get(position)),
            duplicate_of=label(copies.get(position)),
            leak_of=label(leak),
            leak_distance=distance,
        )
        rows.append(replace(whole, suspect=_reasons(whole, found, tolerance)))
    return rows


def measure_pair(
    root: Path,
    pair: Pair,
    *,
    readings: Readings = Readings(),  # noqa: B008 - frozen
) -> tuple[Row, Alignment | None, Fingerprint | None]:
    """Return the row of a pair (other pairs aside), its alignment, and the fingerprint of its RGB image.

    An unreadable or unfitting image becomes an error, with paths relative to the root.
    """
    row = Row(pair.split, pair.name, pair.sequence, pair.rgb, pair.nir)
    alone = PairList(root, (pair,), readings)
    try:
        rgb, nir = read_pair(alone, pair)
    except ImageError as error:
        return replace(row, error=str(error).replace(f"{root}{os.sep}", "")), None, None
    problem = size_problem(pair.nir, nir.shape, rgb.shape)
    if problem:
        return replace(row, error=problem), None, fingerprint(rgb)
    numbers: dict[str, Any] = {"width": nir.shape[1], "height": nir.shape[0]}
    numbers["mutual_information"], numbers["normalised_mutual_information"] = mutual_information(rgb, nir)
    numbers["note"] = "; ".join(alone.remarks.lines()) or None
    numbers["rgb_black"], numbers["rgb_white"] = clipped_shares(rgb)
    numbers["nir_black"], numbers["nir_white"] = clipped_shares(nir)
    found = measure_alignment(rgb, nir)
    if found is not None:
        numbers |= {"shift": found.shift, **asdict(found)}
    return replace(row, **numbers), found, fingerprint(rgb)


def clean_pairs(pairs: PairList, rows: Iterable[Row], worse_than: float) -> PairList:
    """Return the list without damaged, unrelated and copied pairs, and without those shifted by more than `worse_than`.

    Of exact copies in a split the first stays. Of copies in several splits, near ones too, those in test stay, else
    those in val. Unmeasured and clipped pairs stay.
    """
    bad = {
        (row.split, row.name)
        for row in rows
        if {"damaged", "unrelated"} & set(row.suspect)
        or (row.shift is not None and row.shift > worse_than)
        or _is_spare(row)
    }
    return pairs.of(pair for pair in pairs.pairs if (pair.split, pair.name) not in bad)


def _is_spare(row: Row) -> bool:
    """Return True for a copy of a pair that a clean list has."""
    if row.leak_of is not None:
        other = row.leak_of.partition("/")[0]
        return row.split == "train" or (row.split, other) == ("val", "test")
    return row.duplicate_of is not None and row.duplicate_of.partition("/")[0] == row.split


def _reasons(row: Row, found: Alignment | None, tolerance: float) -> tuple[str, ...]:
    clipped = (row.rgb_black, row.rgb_white, row.nir_black, row.nir_white)
    reasons = {
        "damaged": row.error is not None,
        "swapped": row.fits_nir_of is not None,
        "unrelated": found is not None and not found.shows_one_scene,
        "misaligned": found is not None and found.shows_one_scene and found.shift > tolerance,
        "unmeasured": row.error is None and found is None,
        "clipped": any((share or 0) > CLIPPED_SHARE for share in clipped),
        "duplicate": row.duplicate_of is not None,
        "leak": row.leak_of is not None,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


@contextmanager
def _mapping(workers: int) -> Generator[Callable[..., Iterator[tuple[Row, Alignment | None, Fingerprint | None]]]]:
    """Yield `map`, in this process or in several."""
    if workers <= 1:
        yield map
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker)
    try:
        yield partial(pool.map, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def mutual_information(rgb: NDArray[np.uint8], nir: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the mutual information of the luma of (H, W, 3) RGB and of (H, W) NIR, from their joint histogram.

    Returns:
        Mutual information in bits, and the same divided by the mean of both entropies, in [0, 1].

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
    """Return the shares of samples that are 0 and 255."""
    return float(np.mean(image == 0)), float(np.mean(image == 255))


def _entropy(shares: NDArray[np.float64]) -> float:
    """Return the entropy of a distribution in bits."""
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())
