"""What is judged: models, folders of images that were made elsewhere, and floors that need no model at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from nirgen import images
from nirgen.errors import ImageError, NirgenError
from nirgen.evaluate.cases import images_by_key, partners, read_frame, read_grey, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.evaluate.cases import Case, Frame
    from nirgen.model import NirModel

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
