"""Search for pairs on disk: layout, sizes, sequences, splits and hashes."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen import images
from nirgen.errors import ConfigError, ImageError, NirgenError
from nirgen.files import read_bytes
from nirgen.pairs.layouts import find_matches, find_two_folders
from nirgen.pairs.listing import Pair, PairList, read_csv, size_problem
from nirgen.pairs.matching import Rules
from nirgen.progress import in_threads, or_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from nirgen.pairs.matching import Match
    from nirgen.progress import Progress


ATTEMPTS = 50  # deals of sequences, of which the best is taken


@dataclass(frozen=True)
class Division:
    """Division of pairs into splits."""

    shares: Mapping[str, float] = field(default_factory=dict)  # of the pairs; empty keeps the layout's splits
    by: Literal["sequence", "frame"] = "sequence"  # frame cuts sequences
    seed: int = 0


def find_pairs(
    root: Path | None,
    index: Path | None = None,
    *,
    layout: str = "auto",
    folders: tuple[Path, Path] | None = None,
    rules: Rules | None = None,
    division: Division | None = None,
    leave_out: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> PairList:
    """Find pairs on disk, matched by folder and stem, sorted by split and name.

    Args:
        root: Folder of the layout, and root of the list's paths; with `folders` by default their common folder.
        index: CSV with the columns `name`, `scene_group` (or `sequence`) and optionally `category`. A pair without
            a sequence is its own sequence, `<split>/<name>`.
        layout: A name in `layouts.LAYOUTS`, or `auto`.
        folders: Folder of the RGB images and folder of the NIR images, instead of a layout.
        rules: Naming rules.
        division: New splits; by default those of the layout, and `train` without any.
        leave_out: Called with the fault of each pair that can't be used, which the list then lacks; by default such
            pairs raise an ImageError that names all of them.
        progress: Progress callback, in files.
    """
    rules, division = rules or Rules(), division or Division()
    if folders is not None:
        rgb, nir = (folder.resolve() for folder in folders)
        matches = find_two_folders(rgb, nir, rules)
        root = (root or Path(os.path.commonpath([rgb, nir]))).resolve()
    elif root is not None:
        matches = find_matches(root, layout, rules)
        root = root if root.is_dir() else root.parent
    else:
        raise NirgenError("no pairs named; give ROOT, or two folders with --rgb and --nir")
    if index is not None:
        matches = _with_index(matches, index)
    splits = _splits(matches, division)
    hashes, faults = _check_files(matches, progress)
    if faults:
        matches, splits = _without(matches, faults, division, leave_out)
    pairs = [
        Pair(
            name=name,
            rgb=_relative(match.rgb, root) + match.halves[0],
            nir=_relative(match.nir, root) + match.halves[1],
            sequence=match.sequence or f"{match.split or split}/{name}",
            split=split,
            category=match.category,
            rgb_sha256=hashes[match.rgb],
            nir_sha256=hashes[match.nir],
        )
        for match, name, split in zip(matches, _names(matches, splits), splits, strict=True)
    ]
    if not division.shares or division.by == "sequence":
        _refuse_cut_sequences(pairs)
    return PairList(root, tuple(sorted(pairs, key=lambda pair: (pair.split, pair.name))))


def _names(matches: Sequence[Match], splits: Sequence[str | None]) -> list[str]:
    """Return stems, or as much of the paths as makes them unique in their splits."""
    candidates = (
        [match.key.rpartition("/")[2] for match in matches],
        [match.key for match in matches],
        [f"{match.split}/{match.key}" if match.split else match.key for match in matches],
    )
    for names in candidates:
        most = Counter(zip(splits, names, strict=True)).most_common(1)
        if most and most[0][1] == 1:
            return names
    raise NirgenError(f"'{most[0][0][1]}' names two pairs of one split; rename one of them")


def _with_index(matches: Sequence[Match], path: Path) -> list[Match]:
    rows = read_csv(path, "give a CSV with the columns name and sequence")
    if not rows or "name" not in rows[0][1]:
        raise NirgenError(f"{path}: no column 'name' in the index; give a CSV with the columns name and sequence")
    known = {row["name"]: row for _, row in rows}
    found = []
    for match, name in zip(matches, _names(matches, [match.split for match in matches]), strict=True):
        if name not in known:
            raise NirgenError(f"{path}: no row for '{name}' ({match.rgb}); add it, or omit the index")
        row = known[name]
        sequence = row.get("scene_group") or row.get("sequence") or match.sequence
        found.append(replace(match, sequence=sequence, category=row.get("category") or match.category))
    return found


def _splits(matches: Sequence[Match], division: Division) -> list[str]:
    if not division.shares:
        lone = [match for match in matches if match.split is None]
        if 0 < len(lone) < len(matches):
            raise NirgenError(f"{lone[0].rgb}: has no split, but other pairs have; give it one, or use --split")
        return [match.split or "train" for match in matches]
    if division.by == "frame":
        return divide([f"{match.split}/{match.key}" for match in matches], division.shares, seed=division.seed)
    unknown = next((match.rgb for match in matches if match.sequence is None), None)
    if unknown is not None:
        raise NirgenError(
            f"{unknown}: its sequence is unknown, and splits don't cut sequences; give an --index with the "
            "columns name and sequence, or split by frame with --split-by frame"
        )
    return divide([str(match.sequence) for match in matches], division.shares, seed=division.seed)


def _check_files(matches: Sequence[Match], progress: Progress | None) -> tuple[dict[Path, str], dict[Match, str]]:
    """Return the sha256 of every image file, and the fault of each pair that can't be used."""
    files = sorted({path for match in matches for path in (match.rgb, match.nir)})
    found = dict(zip(files, in_threads(or_error(_hash_and_size, ImageError), files, "hash", progress), strict=True))
    hashes: dict[Path, str] = {}
    faults: dict[Match, str] = {}
    for match in matches:
        looked = [found[match.rgb], found[match.nir]]
        fault = next((str(error) for error in looked if isinstance(error, ImageError)), "")
        good = [each for each in looked if not isinstance(each, ImageError)]
        if not fault:
            fault = _size_problem(match, good[0][1], good[1][1])
        if fault:
            faults[match] = fault
        else:
            hashes |= {match.rgb: good[0][0], match.nir: good[1][0]}
    return hashes, faults


def _without(
    matches: Sequence[Match],
    faults: Mapping[Match, str],
    division: Division,
    leave_out: Callable[[str], None] | None,
) -> tuple[list[Match], list[str]]:
    """Return the pairs without fault and their splits."""
    good = [match for match in matches if match not in faults]
    if leave_out is None or not good:
        if len(faults) == 1:
            raise ImageError(*faults.values())
        lines = "\n  ".join(faults.values())
        raise ImageError(f"{len(faults)} of {len(matches)} pairs can't be used; mend them, or --skip-bad:\n  {lines}")
    for fault in faults.values():
        leave_out(fault)
    return good, _splits(good, division)


def _hash_and_size(path: Path) -> tuple[str, tuple[int, int]]:
    """Return the sha256 of a file, and the (height, width) of its image."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise ImageError(f"{str(path)!r} can't be read: {error.strerror}") from error
    return hashlib.sha256(data).hexdigest(), images.size_of(data, str(path))


def _size_problem(match: Match, rgb: tuple[int, int], nir: tuple[int, int]) -> str:
    if not match.halves[0]:
        return size_problem(match.nir, nir, rgb)
    if rgb[1] % 2 == 0:
        return ""
    return f"{match.rgb}: {rgb[1]}x{rgb[0]} has no two equal halves; give files that hold RGB and NIR side by side"


def _relative(path: Path, root: Path) -> str:
    try:
        return path.absolute().relative_to(root.absolute()).as_posix()
    except ValueError:
        raise NirgenError(f"{path}: not inside {root}; give a ROOT that holds all images") from None


def _refuse_cut_sequences(pairs: Iterable[Pair]) -> None:
    splits: dict[str, str] = {}
    for pair in pairs:
        other = splits.setdefault(pair.sequence, pair.split)
        if other != pair.split:
            both = f"both '{other}' and '{pair.split}' ({pair.name})"
            raise NirgenError(f"sequence '{pair.sequence}' lies in {both}; move it into one split")


def parse_shares(text: str) -> dict[str, float]:
    """Parse shares of splits, which are positive and add up to 1.

    Example:
        >>> parse_shares("train=0.8,val=0.2")
        {'train': 0.8, 'val': 0.2}
    """
    example = "write it as train=0.8,val=0.1,test=0.1"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            share = float(number)
        except ValueError:
            raise ConfigError(f"split {text!r}: {part!r} is no share; {example}") from None
        if not name or name in shares or not 0 < share <= 1:
            raise ConfigError(f"split {text!r}: {part!r} needs a unique name and a share over 0; {example}")
        shares[name] = share
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(f"split {text!r}: the shares add up to {sum(shares.values()):g} and not to 1; {example}")
    return shares


def divide(sequences: Sequence[str], shares: Mapping[str, float], *, seed: int = 0) -> list[str]:
    """Choose a split for each pair, given its sequence, without cutting a sequence; `shares` are those of the pairs.

    Sequences are dealt in random order, each to the split that lacks most pairs. Of `ATTEMPTS` deals the one nearest
    to the shares is taken.
    """
    sizes = Counter(sequences)
    if len(sizes) < len(shares):
        raise NirgenError(
            f"{len(sizes)} sequence(s) of {len(sequences)} pair(s) can't fill the {len(shares)} splits "
            f"{', '.join(shares)}; ask for fewer splits, or add sequences (--split-by frame cuts them, which leaks "
            "training scenes into validation)"
        )
    random = np.random.default_rng(seed)
    names = sorted(sizes)
    wanted = {split: share * len(sequences) for split, share in shares.items()}
    deals = [_deal([names[i] for i in random.permutation(len(names))], sizes, wanted) for _ in range(ATTEMPTS)]
    best, _ = min(deals, key=lambda deal: deal[1])
    return [best[sequence] for sequence in sequences]


def _deal(names: Sequence[str], sizes: Mapping[str, int], wanted: Mapping[str, float]) -> tuple[dict[str, str], float]:
    """Return the split of each sequence, and the number of pairs by which the splits differ from `wanted`."""
    got = Counter[str]()
    lacking = dict(wanted)
    deal: dict[str, str] = {}
    for number, name in enumerate(names):
        empty = [split for split in wanted if not got[split]]
        open_to = empty if len(names) - number <= len(empty) else wanted  # the last ones fill empty splits
        split = max(open_to, key=lambda split: lacking[split])
        deal[name] = split
        lacking[split] -= sizes[name]
        got[split] += sizes[name]
    return deal, sum(abs(got[split] - count) for split, count in wanted.items())
