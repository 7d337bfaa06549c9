"""What an evaluation compares: real NIR images (cases) and the methods that generate them.

A method is a model, a folder of images made elsewhere, or a baseline that needs no model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.pairs import read_pair
from nirgen.pairs.listing import GREY_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.model import NirModel
    from nirgen.pairs import PairList


SMALLEST_SIDE = 32
"""Pixels that each side must have at least: below, the windows and networks of the measures don't fit."""


@dataclass(frozen=True)
class Case:
    """One real NIR image.

    Attributes:
        key: What it is called in tables: a pair's name, or the path without ending in a folder.
        sequence: The recording or scene that it belongs to; images of one sequence are not independent.
        category: What it shows, or an empty string.
        nir: Its file.
        rgb: The photo's file, or None.
        nir_sha256: Of the file's bytes.
        read: Decodes RGB (H, W, 3), or None, and NIR (h, w), uint8.
    """

    key: str
    sequence: str
    category: str
    nir: Path
    rgb: Path | None
    nir_sha256: str
    read: Callable[[], tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]]


@dataclass(frozen=True)
class Frame:
    """The pixels of a case at the size of comparison.

    Attributes:
        case: The case.
        rgb: (H, W, 3) uint8, or None.
        nir: (H, W) uint8, the real NIR image.
    """

    case: Case
    rgb: NDArray[np.uint8] | None
    nir: NDArray[np.uint8]


def from_pairs(pairs: PairList, split: str) -> tuple[Case, ...]:
    """The cases of a list's split.

    Raises:
        NirgenError: The split is empty.
    """
    chosen = pairs.split(split)
    return tuple(
        Case(
            key=pair.name,
            sequence=pair.sequence,
            category=pair.category,
            nir=chosen.root / pair.nir,
            rgb=chosen.root / pair.rgb,
            nir_sha256=pair.nir_sha256,
            read=partial(read_pair, chosen, pair),
        )
        for pair in chosen.pairs
    )


def from_folders(nir: Path, rgb: Path | None = None) -> tuple[Case, ...]:
    """The images of a folder of real NIR; a subfolder is a sequence.

    Args:
        nir: The folder.
        rgb: A folder of photos, matched by relative path without ending.

    Returns:
        The cases, sorted by key.

    Raises:
        NirgenError: A folder is missing or empty, an image has no photo, or two images are told apart by their ending
            alone.
    """
    reals = images_by_key(nir)
    photos = {} if rgb is None else partners(rgb, reals)
    return tuple(
        Case(
            key=key,
            sequence=PurePosixPath(key).parent.as_posix(),
            category="",
            nir=path,
            rgb=photos.get(key),
            nir_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            read=partial(_read_files, photos.get(key), path),
        )
        for key, path in reals.items()
    )


def read_frame(case: Case, size: int | None) -> Frame:
    """Decode a case at the size of comparison.

    Args:
        case: The case.
        size: Height and width that both images are squashed to by Pillow's bilinear filter; None for the NIR image's
            own, which the photo must share.

    Raises:
        ImageError: A file can't be read; the NIR image is in colour or too small; or the two sizes differ.
    """
    rgb, nir = case.read()
    if size is not None:
        nir = images.resize(nir, (size, size), resample="bilinear")
        rgb = None if rgb is None else images.resize(rgb, (size, size), resample="bilinear")
    if min(nir.shape) < SMALLEST_SIDE:
        raise ImageError(
            f"{case.nir}: {shown(nir)}, but {SMALLEST_SIDE} pixels a side are the least that can be compared; "
            "squash all to one size with --size 256"
        )
    if rgb is not None and rgb.shape[:2] != nir.shape:
        raise ImageError(
            f"{case.nir}: {shown(nir)}, but its photo is {shown(rgb)}; squash both to one size with --size 256"
        )
    return Frame(case, rgb, nir)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Decode a NIR image: (H, W) uint8; 16 bits are scaled to 8, and the first of equal channels is taken.

    Raises:
        ImageError: It can't be read, or is in colour.
    """
    pixels = images.read(path)
    difference = int((pixels.max(axis=2) - pixels.min(axis=2)).max())
    if difference > GREY_TOLERANCE:
        raise ImageError(
            f"{path}: in colour, where NIR is expected (its channels differ by {difference} levels of 255); save its "
            "intensity as a grey image, and make sure that folders aren't swapped"
        )
    return pixels[..., 0]


def images_by_key(folder: Path) -> dict[str, Path]:
    """The images under a folder by their relative path without ending, sorted; hidden files are left aside.

    Raises:
        NirgenError: There is no such folder, it holds no images, or two have one key.
    """
    if not folder.is_dir():
        raise NirgenError(f"{folder}: no such folder; name one of images")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or path.suffix.lower() not in images.SUFFIXES or not path.is_file():
            continue
        key = relative.with_suffix("").as_posix()
        if key in found:
            raise NirgenError(f"{path}: {found[key].name} differs in its ending alone; keep one of the two")
        found[key] = path
    if not found:
        raise NirgenError(f"{folder}: no images ({' '.join(sorted(images.SUFFIXES))}); name a folder that has some")
    return dict(sorted(found.items()))


def partners(folder: Path, reals: dict[str, Path]) -> dict[str, Path]:
    """The images of a folder that belong to real NIR images, by key.

    Raises:
        NirgenError: As `images_by_key`; or a real image has no partner.
    """
    there = images_by_key(folder)
    for key, path in reals.items():
        if key not in there:
            raise NirgenError(f"{path}: no '{key}.*' in {folder}; add it there, or remove this one")
    return {key: there[key] for key in reals}


def shown(image: NDArray[np.uint8]) -> str:
    """An image's size for people: `640x480`, width first, as file managers have it."""
    return f"{image.shape[1]}x{image.shape[0]}"


def _read_files(rgb: Path | None, nir: Path) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]:
    return None if rgb is None else images.read(rgb), read_grey(nir)


Kind = Literal["model", "folder", "floor"]
FLOORS = {
    "luma": "the photo's luma (ITU-R BT.601)",
    "red": "the photo's red channel",
    "linear": "the map a R + b G + c B + d of least squared error over the split 'train'",
}
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Method:
    """Something that gives a NIR image for each case.

    Attributes:
        name: What tables call it; unique among the methods of a table.
        kind: `model`, `folder` or `floor`.
        generate: Gives (H, W) uint8 of the size of the frame's NIR image.
        about: One line on what it is.
        trained_on: Hashes of the NIR files that it was fitted on.
    """

    name: str
    kind: Kind
    generate: Callable[[Frame], NDArray[np.uint8]]
    about: str = ""
    trained_on: frozenset[str] = field(default=frozenset(), repr=False)


def from_model(model: NirModel, name: str = "model", about: str = "") -> Method:
    """A model, which translates the frame's RGB image."""
    trained_on = frozenset(pair["nir_sha256"] for pair in model.training_pairs)
    return Method(name, "model", lambda frame: model(_photo(frame)), about, trained_on)


def from_folder(folder: Path, cases: Sequence[Case], size: int | None, name: str) -> tuple[Method, int]:
    """A folder of generated images, matched by relative path without ending, never by position.

    Args:
        folder: The folder, such as one that `nirgen translate` wrote.
        cases: Those to be judged on.
        size: As for `read_frame`.
        name: What tables call it.

    Returns:
        The method, and the number of images in the folder that belong to no case.

    Raises:
        NirgenError: There is no such folder, or an image is missing or there twice.
    """
    files = partners(folder, {case.key: case.nir for case in cases})

    def generate(frame: Frame) -> NDArray[np.uint8]:
        path = files[frame.case.key]
        generated = read_grey(path)
        if size is not None:
            return images.resize(generated, frame.nir.shape, resample="bilinear")
        if generated.shape != frame.nir.shape:
            raise ImageError(
                f"{path}: {shown(generated)}, but {frame.case.nir} is {shown(frame.nir)}; "
                "squash both to one size with --size 256"
            )
        return generated

    return Method(name, "folder", generate, "images made elsewhere"), len(images_by_key(folder)) - len(files)


def luma() -> Method:
    """The floor `luma`."""
    return Method("luma", "floor", lambda frame: np.rint(_photo(frame) @ LUMA).astype(np.uint8), FLOORS["luma"])


def red() -> Method:
    """The floor `red`."""
    return Method("red", "floor", lambda frame: _photo(frame)[..., 0], FLOORS["red"])


def linear(training: Sequence[Case], size: int | None, progress: Callable[[int, int], None] | None = None) -> Method:
    """The floor `linear`, fitted on cases that are not judged on.

    Args:
        training: The cases, with photos.
        size: As for `read_frame`.
        progress: Called with the cases read and their total.

    Raises:
        ImageError: As `read_frame`.
    """
    products, targets = np.zeros((4, 4)), np.zeros(4)
    for done, case in enumerate(training, start=1):
        frame = read_frame(case, size)
        columns = _with_ones(_photo(frame)).reshape(-1, 4)
        products += columns.T @ columns
        targets += columns.T @ frame.nir.reshape(-1)
        if progress is not None:
            progress(done, len(training))
    weights = np.linalg.lstsq(products, targets, rcond=None)[0]

    def generate(frame: Frame) -> NDArray[np.uint8]:
        mapped: NDArray[np.uint8] = np.rint(_with_ones(_photo(frame)) @ weights).clip(0, 255).astype(np.uint8)
        return mapped

    formula = " ".join(f"{weight:+.3f} {channel}" for weight, channel in zip(weights, "RGB", strict=False))
    about = f"{FLOORS['linear']}: {formula} {weights[3]:+.1f}"
    return Method("linear", "floor", generate, about, frozenset(case.nir_sha256 for case in training))


def refuse_trained_on(methods: Iterable[Method], cases: Iterable[Case]) -> None:
    """Refuse to judge what was trained on the very images.

    Raises:
        NirgenError: A case is among those that a method was trained on.
    """
    hashes: Mapping[str, Case] = {case.nir_sha256: case for case in cases}
    for method in methods:
        for sha256 in sorted(method.trained_on & hashes.keys(), key=lambda sha256: hashes[sha256].key):
            raise NirgenError(
                f"{hashes[sha256].nir}: the model was trained on it; judge it on pairs that it has not seen "
                f"('{method.name}')"
            )


def _photo(frame: Frame) -> NDArray[np.uint8]:
    """The frame's RGB image: (H, W, 3) uint8; whoever asks for it made sure that there is one."""
    assert frame.rgb is not None
    return frame.rgb


def _with_ones(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) -> (H, W, 4)."""
    return np.concatenate((rgb, np.ones((*rgb.shape[:2], 1))), axis=2)
