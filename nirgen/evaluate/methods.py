"""Real NIR images (cases) and the methods that generate them.

A method is a model, a folder of images, or a baseline that needs no model (`floor` in tables and files).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.evaluate import folders
from nirgen.files import read_bytes, sha256_of
from nirgen.models.baselines import LinearFit
from nirgen.pairs import read_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.model import NirModel
    from nirgen.pairs import PairList
    from nirgen.pairs.listing import Pair


Size = int | Literal["truth", "pred"] | None
"""Size of comparison: a side in pixels, all images being squashed to squares; that of the real image (`truth`) or of a
folder's generated one (`pred`), others being resized to it; or that of the real one, others being refused (None)."""

REMEDY = "squash both to one size with --size 256, or resize one with --size truth or --size pred"
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
    generated: Path | None = None  # the image whose size `pred` stands for


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


def from_folders(
    nir: Path,
    rgb: Path | None = None,
    readings: images.Readings = images.Readings(),  # noqa: B008 - frozen
    remarks: images.Remarks | None = None,
) -> tuple[Case, ...]:
    """Return the images of a folder of real NIR, sorted by key, with the photos of `rgb`; a subfolder is a sequence."""
    reals = folders.reals_of(nir)
    taken = {} if rgb is None else folders.partners(rgb, reals, folders.PHOTO)
    there = {} if rgb is None else folders.images_by_key(rgb)

    def to_case(key: str, path: Path) -> Case:
        photo, sequence = there.get(taken.get(key, "")), PurePosixPath(key).parent.as_posix()

        def read() -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8]]:
            real = folders.read_grey(path, readings.nir, remarks)
            return None if photo is None else images.read(photo, readings.rgb), real

        return Case(key, sequence, "", path, photo, sha256_of(path), read)

    return tuple(map(to_case, reals, reals.values()))


def read_frame(case: Case, size: Size) -> Frame:
    """Decode a case at the size of comparison; images are resized bilinearly, as in Pillow.

    For None the photo must have the NIR image's size. `pred` is `truth` for a case without a generated image.
    """
    rgb, nir = case.read()
    if size is not None:
        shape = (nir.shape[0], nir.shape[1])
        if isinstance(size, int):
            shape = (size, size)
        elif size == "pred" and case.generated is not None:
            shape = images.size_of(read_bytes(case.generated), f"'{case.generated}'")
        nir = images.resize(nir, shape, resample="bilinear")
        rgb = None if rgb is None else images.resize(rgb, shape, resample="bilinear")
    where = f"{case.nir}: {shown(nir)}, but"
    if min(nir.shape) < SMALLEST_SIDE:
        least = f"{SMALLEST_SIDE} pixels a side are the least that can be compared"
        raise ImageError(f"{where} {least}; squash all to one size with --size 256")
    if rgb is not None and rgb.shape[:2] != nir.shape:
        raise ImageError(f"{where} its photo is {shown(rgb)}; {REMEDY}")
    return Frame(case, rgb, nir)


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
    averaged: set[str] = field(default_factory=set, repr=False)  # keys of images made grey; grows while generating
    model: NirModel | None = field(default=None, repr=False)  # of the kind `model`
    licence: str = "unknown"  # of the model, or of the images
    seconds: list[float] = field(default_factory=list, repr=False)  # that each image took; grows while scoring


def from_model(model: NirModel, name: str = "model", about: str = "") -> Method:
    """Return a model as a method: it translates the frame's RGB image."""
    trained_on = frozenset(pair["nir_sha256"] for pair in model.training_pairs)
    licence = str(model.header.get("licence") or "unknown")
    return Method(name, "model", lambda frame: model(frame.photo), about, trained_on, model=model, licence=licence)


def from_folder(
    folder: Path,
    cases: Sequence[Case],
    size: Size,
    name: str,
    reading: images.Reading = images.Reading(),  # noqa: B008 - frozen
    *,
    licence: str = "unknown",
) -> tuple[Method, int]:
    """Return a folder of generated images as a method, and the number of its images that belong to no case."""
    taken, there = folders.partners(folder, reals_of_cases(cases), folders.GENERATED), folders.images_by_key(folder)
    averaged: set[str] = set()

    def generate(frame: Frame) -> NDArray[np.uint8]:
        path, case = there[taken[frame.case.key]], frame.case
        generated, in_colour = folders.read_generated(path, reading)
        averaged.update([case.key] if in_colour else [])
        if size is not None:
            return images.resize(generated, frame.nir.shape, resample="bilinear")
        if generated.shape != frame.nir.shape:
            sizes = f"{shown(generated)}, but {case.nir} is {shown(frame.nir)}"
            raise ImageError(f"{path}: {sizes}; {REMEDY}")
        return generated

    others = folders.unclaimed(folder, taken)
    return Method(name, "folder", generate, "images made elsewhere", averaged=averaged, licence=licence), others


def reals_of_cases(cases: Iterable[Case]) -> dict[str, Path]:
    """Return the real NIR file of each case by key."""
    return {case.key: case.nir for case in cases}


def sized_by(folder: Path, cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return the cases with the images of a folder that the size `pred` is taken from."""
    taken, there = folders.partners(folder, reals_of_cases(cases), folders.GENERATED), folders.images_by_key(folder)
    return tuple(replace(case, generated=there[taken[case.key]]) for case in cases)


def grey() -> Method:
    """Return the baseline `grey`."""
    return Method(BASELINE, "floor", lambda frame: images.to_grey(frame.photo), FLOORS[BASELINE])


def red() -> Method:
    """Return the baseline `red`."""
    return Method("red", "floor", lambda frame: frame.photo[..., 0], FLOORS["red"])


def linear(training: Sequence[Case], size: Size, progress: Callable[[int, int], None] | None = None) -> Method:
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
