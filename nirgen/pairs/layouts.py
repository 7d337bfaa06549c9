"""Folder layouts of paired data sets, each with its recognition; docs/formats.md describes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.config import SPLITS
from nirgen.errors import ImageError, NirgenError, nearest
from nirgen.files import read_lines
from nirgen.pairs.listing import GREY_TOLERANCE, HALVES, colour_difference, cut_half, list_images, read_csv
from nirgen.pairs.matching import Match, Rules, frame_sequences, match_files, match_folders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


WEATHERS = ("FOG", "RAIN", "LOWLIGHT", "SNOW")


@dataclass(frozen=True)
class Layout:
    """One layout of pairs on disk."""

    pattern: str  # expected files, as messages describe them
    recognises: Callable[[Path], bool]
    find: Callable[[Path, Rules], list[Match]]
    note: str = ""  # warning to users of such data


def find_matches(root: Path, layout: str, rules: Rules) -> list[Match]:
    """Find the pairs of a folder, or of a CSV file, in a layout of `LAYOUTS`, or in the one that `auto` recognises."""
    if not root.exists():
        raise NirgenError(f"{root}: doesn't exist; give the folder of the pairs")
    if layout == "auto":
        layout = recognise(root)
    elif layout not in LAYOUTS:
        raise NirgenError(f"no layout '{layout}'{nearest(layout, LAYOUTS)} (known: auto, {', '.join(LAYOUTS)})")
    matches = LAYOUTS[layout].find(root, rules)
    if not matches:
        raise NirgenError(f"{root}: no pairs; expected {LAYOUTS[layout].pattern}, for layout '{layout}'")
    return matches


def recognise(root: Path) -> str:
    """Return the one layout that a folder has."""
    fitting = [name for name, layout in LAYOUTS.items() if layout.recognises(root)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise NirgenError(f"{root}: fits several layouts ({', '.join(fitting)}); choose one with --layout")
    known = "; ".join(f"{name}: {layout.pattern}" for name, layout in LAYOUTS.items())
    raise NirgenError(
        f"{root}: no pairs; expected one of these layouts, or two folders given by --rgb and --nir ({known})"
    )


def find_two_folders(rgb: Path, nir: Path, rules: Rules) -> list[Match]:
    """Find the pairs of two folders, without splits; a subfolder is a sequence."""
    for folder in (rgb, nir):
        if not folder.is_dir():
            raise NirgenError(f"{folder}: no folder; give the folder of the images")
    found = match_folders(rgb, nir, rules)
    if not found:
        raise NirgenError(f"{rgb} and {nir}: no pairs; give folders of images, and the suffixes of both spectra")
    sequences = frame_sequences([key for key, _, _ in found])
    return [Match(rgb, nir, key, sequence=sequences[key]) for key, rgb, nir in found]


def _folder(root: Path, name: str) -> Path:
    """Return the subfolder of that name in any case; without one, the path with the exact name."""
    there = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return next((path for path in there if path.name.lower() == name.lower()), root / name)


def _holds_both(root: Path) -> bool:
    return _folder(root, "rgb").is_dir() and _folder(root, "nir").is_dir()


def _find_split_folders(root: Path, rules: Rules) -> list[Match]:
    return [
        Match(rgb, nir, key, folder.name, f"{folder.name}/{key.rpartition('/')[0]}" if "/" in key else None)
        for folder in _split_folders(root)
        for key, rgb, nir in match_folders(folder / "rgb", folder / "nir", rules)
    ]


def _split_folders(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/rgb") if path.is_dir())


def _find_plain_folders(root: Path, rules: Rules) -> list[Match]:
    return find_two_folders(_folder(root, "rgb"), _folder(root, "nir"), rules) if _holds_both(root) else []


def _is_ranus(root: Path) -> bool:
    folders = [path for path in _folder(root, "rgb").iterdir() if path.is_dir()] if _holds_both(root) else []
    return any(re.fullmatch(r"\d{2}", path.name) for path in folders)


def _find_pix2pix(root: Path, rules: Rules) -> list[Match]:
    found = []
    for split, a, b in _pix2pix_folders(root):
        rgb, nir = (a, b) if rules.rgb_first else (b, a)
        found += [(split, *match) for match in match_folders(rgb, nir, rules)]
    sequences = frame_sequences([key for _, key, _, _ in found])
    return [Match(rgb, nir, key, split, sequences[key]) for split, key, rgb, nir in found]


def _pix2pix_folders(root: Path) -> list[tuple[str, Path, Path]]:
    """Return split, A and B of `train_A`, `trainA` or `A/train`; A or B may be missing on disk."""
    folders = [path.name for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    matches = [re.fullmatch(r"(train|val|test)_?[AB]", name) for name in folders]
    found = []
    for split in sorted({match[1] for match in matches if match}):
        joint = "_" if {f"{split}_A", f"{split}_B"} & {*folders} else ""
        found.append((split, root / f"{split}{joint}A", root / f"{split}{joint}B"))
    if not found and {"A", "B"} <= {*folders}:
        splits = {path.name for side in "AB" for path in (root / side).iterdir() if path.is_dir()}
        found = [(split, root / "A" / split, root / "B" / split) for split in sorted(splits & set(SPLITS))]
    return found


def _find_side_by_side(root: Path, rules: Rules) -> list[Match]:
    left, right = HALVES
    halves = (left, right) if rules.rgb_first else (right, left)
    found = [
        (split, path, path.relative_to(root / split).with_suffix("").as_posix())
        for split in SPLITS
        for path in list_images(root / split)
    ]
    sequences = frame_sequences([key for _, _, key in found])
    return [Match(path, path, key, split, sequences[key], halves=halves) for split, path, key in found]


def _is_side_by_side(root: Path) -> bool:
    """Return True if one half of the first image is in colour and the other is grey."""
    first = [path for split in SPLITS for path in list_images(root / split) if path.parent == root / split][:1]
    try:
        pixels = [images.read(path) for path in first]
    except ImageError:
        return False
    halves = [(half, cut_half(each, half)) for each in pixels for half in HALVES if each.shape[1] > 1]
    return [colour_difference(half, name) <= GREY_TOLERANCE for name, half in halves].count(True) == 1


def _find_idd_aw(root: Path, rules: Rules) -> list[Match]:
    return [
        Match(rgb, nir, f"{weather}/{key}", split, f"{split}/{weather}/{key.rpartition('/')[0]}", weather)
        for split in SPLITS
        for weather in WEATHERS
        for key, rgb, nir in match_folders(root / split / weather / "rgb", root / split / weather / "nir", rules)
    ]


def _is_idd_aw(root: Path) -> bool:
    return any((root / split / weather / "nir").is_dir() for split in SPLITS for weather in WEATHERS)


def _find_flir(root: Path, rules: Rules) -> list[Match]:
    """Pair `*_RGB.jpg` and `*_PreviewData.jpeg` as far as the lists of FLIR name them."""
    folder = root / "JPEGImages"
    files = {path.stem: path for path in list_images(folder)}
    found = []
    for split, name in (("train", "align_train.txt"), ("val", "align_validation.txt")):
        if not (root / name).is_file():
            raise NirgenError(f"{root / name}: missing; the layout 'flir' needs it for its splits")
        stems = read_lines(root / name)
        missing = [stem for stem in stems if stem not in files]
        if missing:
            raise NirgenError(f"{root / name}: '{missing[0]}' isn't in {folder}; add the image or remove the line")
        keys = {stem.removesuffix("_PreviewData") for stem in stems}
        rgb = [path for stem, path in files.items() if stem.removesuffix("_RGB") in keys and stem not in stems]
        nir = [files[stem] for stem in stems]
        found += [Match(rgb, nir, key, split) for key, rgb, nir in match_files(rgb, nir, folder, folder, rules)]
    return found


def _find_csv(path: Path, rules: Rules) -> list[Match]:  # noqa: ARG001 - the file names both images itself
    rows = read_csv(path, "give a CSV with the columns rgb and nir")
    if rows and not {"rgb", "nir"} <= rows[0][1].keys():
        raise NirgenError(f"{path}: has the columns {', '.join(rows[0][1])}; it needs rgb and nir")
    found: list[Match] = []
    partners: dict[Path, Path] = {}
    for line, row in rows:
        absent = next((row[kind] for kind in ("rgb", "nir") if not (path.parent / (row[kind] or "")).is_file()), None)
        if absent is not None or not (row["rgb"] and row["nir"]):
            raise NirgenError(f"{path}, line {line}: {absent!r} isn't in {path.parent}; correct the path")
        rgb, nir = path.parent / row["rgb"], path.parent / row["nir"]
        key = row.get("name") or PurePath(row["rgb"]).with_suffix("").as_posix()
        sequence = row.get("scene_group") or row.get("sequence") or None
        found.append(Match(rgb, nir, key, row.get("split") or None, sequence, row.get("category") or ""))
        for image, partner in ((rgb, nir), (nir, rgb)):
            if partners.setdefault(image, partner) != partner:
                both = f"{partners[image].name} and {partner.name}"
                raise NirgenError(f"{path}: '{image.name}' has two partners, {both}; keep one")
    return found


LAYOUTS: dict[str, Layout] = {
    "splits": Layout(
        "<split>/rgb/NAME.* and <split>/nir/NAME.*", lambda root: bool(_split_folders(root)), _find_split_folders
    ),
    "folders": Layout(
        "rgb/NAME.* and nir/NAME.*", lambda root: _holds_both(root) and not _is_ranus(root), _find_plain_folders
    ),
    "pix2pix": Layout("train_A/NAME.* and train_B/NAME.*", lambda root: bool(_pix2pix_folders(root)), _find_pix2pix),
    "side-by-side": Layout(
        "train/NAME.*, each file with colour in one half and grey in the other", _is_side_by_side, _find_side_by_side
    ),
    "ranus": Layout("RGB/<01..50>/*_rgb.png and NIR/<01..50>/*_nir.png", _is_ranus, _find_plain_folders),
    "idd-aw": Layout("<split>/<FOG|RAIN|LOWLIGHT|SNOW>/{rgb,nir}/<sequence>/", _is_idd_aw, _find_idd_aw),
    "flir": Layout(
        "JPEGImages/ with align_train.txt",
        lambda root: (root / "JPEGImages").is_dir() and (root / "align_train.txt").is_file(),
        _find_flir,
        "FLIR's second image is thermal (LWIR) and not NIR: a model trained on it makes thermal images",
    ),
    "csv": Layout("a CSV file with the columns rgb and nir", lambda root: root.is_file(), _find_csv),
}
