"""Real NIR images (cases) and the methods that generate them.

A method is a model, a folder of images, or a baseline that needs no model (`floor` in tables and files).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.files import sha256_of
from nirgen.models.baselines import LinearFit
from nirgen.pairs import read_pair
from nirgen.pairs.listing import GREY_TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.model import NirModel
    from nirgen.pairs import PairList
    from nirgen.pairs.listing import Pair


SMALLEST_SIDE = 32  # pixels: windows and networks of the measures need that many


@dataclass(frozen=True)
class Case:
    """A real NIR image."""

    key: str  # a pair's name, or the path in a folder without its suffix
    sequence: str  # recording or scene; images of one sequence are not independent
    category: str  # of the scene; may be empty
    nir: Path
    rgb: Path | None
    nir_sha256: str  # of the file
    read: Callable[[], tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]]  # decodes RGB (H, W, 3), NIR (h, w)


@dataclass(frozen=True)
class Frame:
    """The pixels of a case at the size of comparison."""

    case: Case
    rgb: NDArray[np.uint8] | None  # (H, W, 3)
    nir: NDArray[np.uint8]  # (H, W)

    @property
    def photo(self) -> NDArray[np.uint8]:
        """The RGB image, for methods that need one."""
        assert self.rgb is not None
        return self.rgb


def from_pairs(pairs: PairList, split: str) -> tuple[Case, ...]:
    """Return the cases of a split of a pair list, at least one."""
    chosen = pairs.split(split)

    def to_case(pair: Pair) -> Case:
        nir, rgb, read = chosen.root / pair.nir, chosen.root / pair.rgb, partial(read_pair, chosen, pair)
        return Case(pair.name, pair.sequence, pair.category, nir, rgb, pair.nir_sha256, read)

    return tuple(map(to_case, chosen.pairs))


def from_folders(nir: Path, rgb: Path | None = None) -> tuple[Case, ...]:
    """Return the images of a folder of real NIR, sorted by key, with the photos of `rgb`; a subfolder is a sequence."""
    reals = images_by_key(nir)
    photos = {} if rgb is None else partners(rgb, reals)

    def to_case(key: str, path: Path) -> Case:
        photo, sequence = photos.get(key), PurePosixPath(key).parent.as_posix()

        def read() -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]:
            return None if photo is None else images.read(photo), read_grey(path)

        return Case(key, sequence, "", path, photo, sha256_of(path), read)

    return tuple(map(to_case, reals, reals.values()))


def read_frame(case: Case, size: int | None) -> Frame:
    """Decode a case at the size of comparison.

    Both images are resized to `size` x `size` (bilinear, as in Pillow); for None the photo must have the NIR image's.
    """
    rgb, nir = case.read()
    if size is not None:
        nir = images.resize(nir, (size, size), resample="bilinear")
        rgb = None if rgb is None else images.resize(rgb, (size, size), resample="bilinear")
    where = f"{case.nir}: {shown(nir)}, but"
    if min(nir.shape) < SMALLEST_SIDE:
        least = f"{SMALLEST_SIDE} pixels a side are the least that can be compared"
        raise ImageError(f"{where} {least}; squash all to one size with --size 256")
    if rgb is not None and rgb.shape[:2] != nir.shape:
        raise ImageError(f"{where} its photo is {shown(rgb)}; squash both to one size with --size 256")
    return Frame(case, rgb, nir)


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Decode a NIR image: (H, W) uint8; 16 bits are scaled to 8, and the first of equal channels is taken."""
    pixels = images.read(path)
    difference = int((pixels.max(axis=2) - pixels.min(axis=2)).max())
    if difference > GREY_TOLERANCE:
        raise ImageError(
            f"{path}: in colour, where NIR is expected (its channels differ by {difference} levels of 255); save its "
            "intensity as a grey image, and make sure that folders aren't swapped"
        )
    return pixels[..., 0]


def images_by_key(folder: Path) -> dict[str, Path]:
    """Return the images under a folder by relative path without suffix, sorted; hidden files are skipped."""
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
    """Return the image of a folder that belongs to each real NIR image, by key."""
    there = images_by_key(folder)
    for key, path in reals.items():
        if key not in there:
            raise NirgenError(f"{path}: no '{key}.*' in {folder}; add it there, or remove this one")
    return {key: there[key] for key in reals}


def shown(image: NDArray[np.uint8]) -> str:
    """Return an image's size as text, width first: `640x480`."""
    return f"{image.shape[1]}x{image.shape[0]}"


Kind = Literal["model", "folder", "floor"]
BASELINE = "grey"  # what each method is compared with first
FLOORS = {
    BASELINE: "the photo without colour: its luma (ITU-R BT.601)",
    "red": "the photo's red channel",
    "linear": "the map a R + b G + c B + d of least squared error over the split 'train'",
}


@dataclass(frozen=True)
class Method:
    """A generator of NIR images: a row of the table."""

    name: str  # unique in a table
    kind: Kind
    generate: Callable[[Frame], NDArray[np.uint8]]  # gives (H, W) of the size of the frame's NIR image
    about: str = ""  # one line
    trained_on: frozenset[str] = field(default=frozenset(), repr=False)  # sha256 of its NIR training files


def from_model(model: NirModel, name: str = "model", about: str = "") -> Method:
    """Return a model as a method: it translates the frame's RGB image."""
    trained_on = frozenset(pair["nir_sha256"] for pair in model.training_pairs)
    return Method(name, "model", lambda frame: model(frame.photo), about, trained_on)


def from_folder(folder: Path, cases: Sequence[Case], size: int | None, name: str) -> tuple[Method, int]:
    """Return a folder of generated images as a method, and the number of its images that belong to no case."""
    files = partners(folder, {case.key: case.nir for case in cases})

    def generate(frame: Frame) -> NDArray[np.uint8]:
        path, case = files[frame.case.key], frame.case
        generated = read_grey(path)
        if size is not None:
            return images.resize(generated, frame.nir.shape, resample="bilinear")
        if generated.shape != frame.nir.shape:
            sizes = f"{shown(generated)}, but {case.nir} is {shown(frame.nir)}"
            raise ImageError(f"{path}: {sizes}; squash both to one size with --size 256")
        return generated

    return Method(name, "folder", generate, "images made elsewhere"), len(images_by_key(folder)) - len(files)


def grey() -> Method:
    """Return the baseline `grey`."""
    return Method(BASELINE, "floor", lambda frame: images.to_grey(frame.photo), FLOORS[BASELINE])


def red() -> Method:
    """Return the baseline `red`."""
    return Method("red", "floor", lambda frame: frame.photo[..., 0], FLOORS["red"])


def linear(training: Sequence[Case], size: int | None, progress: Callable[[int, int], None] | None = None) -> Method:
    """Return the baseline `linear`, fitted on cases with photos."""
    fit = LinearFit()
    for done, case in enumerate(training, start=1):
        frame = read_frame(case, size)
        fit.add(frame.photo, frame.nir)
        if progress is not None:
            progress(done, len(training))
    fitted = fit.solve()
    formula = " ".join(f"{weight:+.3f} {channel}" for weight, channel in zip(fitted.weights, "RGB", strict=True))
    return Method(
        "linear",
        "floor",
        lambda frame: fitted.predict(frame.photo),
        f"{FLOORS['linear']}: {formula} {fitted.offset:+.1f}",
        frozenset(case.nir_sha256 for case in training),
    )


def refuse_trained_on(methods: Iterable[Method], cases: Iterable[Case]) -> None:
    """Raise a NirgenError if a case is in the training set of a method."""
    hashes = {case.nir_sha256: case for case in cases}
    for method in methods:
        for sha256 in sorted(method.trained_on & hashes.keys(), key=lambda sha256: hashes[sha256].key):
            raise NirgenError(
                f"{hashes[sha256].nir}: the model was trained on it; judge it on pairs that it has not seen "
                f"('{method.name}')"
            )
