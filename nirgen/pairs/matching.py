"""Matching of RGB files to NIR files by folder and stem, never by position."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nirgen.errors import NirgenError
from nirgen.pairs.listing import list_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


RGB_SUFFIXES = ("_rgb", "-rgb", "_vis", "-vis", "_visible", "_color", "_colour")
NIR_SUFFIXES = ("_nir", "-nir", "_ir", "-ir", "_infrared", "_thermal", "_previewdata")


@dataclass(frozen=True)
class Rules:
    """Naming rules of the two spectra."""

    rgb_suffix: str | None = None  # suffix of RGB stems; None tries `RGB_SUFFIXES`, in any case
    nir_suffix: str | None = None
    rgb_first: bool = True  # RGB is A of pix2pix, and the left half of a file that holds both


@dataclass(frozen=True)
class Match:
    """Two files of one scene, with what the layout says about them."""

    rgb: Path  # holds both images if they lie side by side
    nir: Path
    key: str  # common POSIX path without suffix and ending, relative to the searched folder
    split: str | None = None
    sequence: str | None = None
    category: str = ""
    halves: tuple[str, str] = ("", "")  # appended to the paths of RGB and NIR


def match_folders(rgb: Path, nir: Path, rules: Rules) -> list[tuple[str, Path, Path]]:
    """Match the images of two folders and their subfolders, or of one folder that holds both kinds.

    Partners lie in the same subfolder and have the same stem once `_rgb`, `_nir` and the like are removed. Where a
    suffix is given, or both kinds lie in one folder, only files with the suffix count.

    Returns:
        Key, RGB file and NIR file of each pair, sorted by key.
    """
    return match_files(list_images(rgb), list_images(nir), rgb, nir, rules)


def match_files(
    rgb_files: Iterable[Path], nir_files: Iterable[Path], rgb_root: Path, nir_root: Path, rules: Rules
) -> list[tuple[str, Path, Path]]:
    """Match listed files as `match_folders` does."""
    one_folder = rgb_root == nir_root
    rgb = _by_stem(rgb_files, rgb_root, rules.rgb_suffix, RGB_SUFFIXES if one_folder else ())
    nir = _by_stem(nir_files, nir_root, rules.nir_suffix, NIR_SUFFIXES if one_folder else ())
    same = rgb.keys() & nir.keys()
    rgb = _without_suffix(rgb, same, (rules.rgb_suffix,) if rules.rgb_suffix else RGB_SUFFIXES)
    nir = _without_suffix(nir, same, (rules.nir_suffix,) if rules.nir_suffix else NIR_SUFFIXES)
    alone = sorted((rgb[key], "NIR", nir_root) for key in rgb.keys() - nir.keys())
    alone += sorted((nir[key], "RGB", rgb_root) for key in nir.keys() - rgb.keys())
    if alone:
        path, kind, folder = alone[0]
        more = f" ({len(alone) - 1} more without a partner)" if len(alone) > 1 else ""
        raise NirgenError(
            f"{path}: no {kind} partner of the same stem in {str(folder)!r}{more}; add or remove it, or give the "
            "suffixes of the stems with --rgb-suffix and --nir-suffix"
        )
    return [(key, rgb[key], nir[key]) for key in sorted(rgb)]


def frame_sequences(keys: Sequence[str]) -> dict[str, str | None]:
    """Return the sequence of each key: its folder, or the session of flattened RANUS names if all are such.

    Example:
        >>> frame_sequences(["01_0357", "02_0001"])
        {'01_0357': '01', '02_0001': '02'}
        >>> frame_sequences(["street/0001", "a"])
        {'street/0001': 'street', 'a': None}
    """
    sessions = [re.fullmatch(r"(\d{2})_\d{4,}", key) for key in keys]
    if all(sessions):
        return {key: session[1] for key, session in zip(keys, sessions, strict=True) if session}
    return {key: key.rpartition("/")[0] or None for key in keys}


def _by_stem(files: Iterable[Path], root: Path, suffix: str | None, known: Sequence[str]) -> dict[str, Path]:
    required = tuple(each.lower() for each in ([suffix] if suffix else known))
    found: dict[str, Path] = {}
    for path in files:
        key = path.relative_to(root).with_suffix("").as_posix()
        if required and not key.lower().endswith(required):
            continue
        if key in found:
            raise _two_candidates(path, found[key])
        found[key] = path
    return found


def _without_suffix(files: Mapping[str, Path], matched: set[str], suffixes: Sequence[str]) -> dict[str, Path]:
    """Remove the suffix from each key that is not in `matched`."""
    found: dict[str, Path] = {}
    for key, path in files.items():
        suffix = next((each for each in suffixes if key.lower().endswith(each.lower())), "")
        stem = key if key in matched else key[: len(key) - len(suffix)]
        if stem in found:
            raise _two_candidates(path, found[stem])
        found[stem] = path
    return found


def _two_candidates(path: Path, other: Path) -> NirgenError:
    return NirgenError(f"{path}: {other.name} has the same stem, and a pair needs one image of each kind; remove one")
