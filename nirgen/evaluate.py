"""A model's numbers on pairs that it was not trained on, beside what needs no model at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen import images, metrics
from nirgen.errors import NirgenError
from nirgen.pairs import read_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nirgen.model import NirModel
    from nirgen.pairs import Pair, PairList

URBAN = frozenset({"urban", "street", "oldbuilding"})


@dataclass(frozen=True)
class Score:
    """Means over images.

    Attributes:
        method: `model`, or a floor: `luma`, `red`, `linear` (the best linear map of RGB on the split `train`).
        subset: `all`, `urban-like`, or `not urban-like`.
        images: How many.
        psnr: In dB.
        ssim: In [-1, 1].
    """

    method: str
    subset: str
    images: int
    psnr: float
    ssim: float


def evaluate(
    model: NirModel,
    pairs: PairList,
    split: str = "val",
    *,
    size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> list[Score]:
    """Judge a model on a split, at the size of the paper.

    RGB and NIR are squashed to size x size with Pillow's bilinear filter; outputs are rounded to 8 bits first.

    Args:
        model: The model.
        pairs: The list.
        split: Which split of it.
        size: Height and width at which images are translated and compared, in pixels.
        progress: Called with the images done and their total.

    Returns:
        A score for each method and subset.

    Raises:
        NirgenError: The split is empty, or holds a pair that the model was trained on.
        ImageError: As `nirgen.pairs.read_pair`.
    """
    chosen = pairs.split(split)
    trained_on = {pair["nir_sha256"] for pair in model.training_pairs}
    for pair in chosen.pairs:
        if pair.nir_sha256 in trained_on:
            raise NirgenError(f"{pair.nir}: the model was trained on it; judge it on pairs that it has not seen")
    methods: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        "model": model,
        "luma": _luma,
        "red": lambda rgb: rgb[..., 0],
    }
    if any(pair.split == "train" for pair in pairs.pairs):
        methods["linear"] = _best_linear_map(pairs.split("train"), size)
    rows: list[tuple[str, Pair, float, float]] = []
    for done, pair in enumerate(chosen.pairs, start=1):
        rgb, nir = _read(chosen, pair, size)
        for method, translate in methods.items():
            generated = translate(rgb)
            rows.append((method, pair, metrics.psnr(generated, nir), metrics.ssim(generated, nir)))
        if progress is not None:
            progress(done, len(chosen.pairs))
    subsets: dict[str, Callable[[Pair], bool]] = {
        "all": lambda _: True,
        "urban-like": lambda pair: pair.category in URBAN,
        "not urban-like": lambda pair: pair.category not in URBAN,
    }
    scores = []
    for method in methods:
        for subset, belongs in subsets.items():
            values = [(row[2], row[3]) for row in rows if row[0] == method and belongs(row[1])]
            if values:
                mean = np.mean(values, axis=0)
                scores.append(Score(method, subset, len(values), float(mean[0]), float(mean[1])))
    return scores


def as_metrics(scores: list[Score], split: str, size: int = 256) -> list[dict[str, Any]]:
    """The model's own scores as a model file's header has them.

    Args:
        scores: Of `evaluate`.
        split: On which split.
        size: At which height and width, in pixels.

    Returns:
        One mapping a number: `name`, `value`, `on`; a number that is not finite is left out, for JSON has none.
    """
    return [
        {
            "name": name,
            "value": round(value, 4),
            "on": f"{split}, {score.subset}: {score.images} images at {size}x{size}",
        }
        for score in scores
        if score.method == "model"
        for name, value in (("PSNR dB", score.psnr), ("SSIM", score.ssim))
        if np.isfinite(value)
    ]


def _read(pairs: PairList, pair: Pair, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """RGB (size, size, 3) and NIR (size, size), uint8, of a pair."""
    rgb, nir = (images.resize(image, (size, size), resample="bilinear") for image in read_pair(pairs, pair))
    return rgb, nir


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (H, W) uint8, by the weights of ITU-R BT.601."""
    luma: NDArray[np.uint8] = np.rint(rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return luma


def _best_linear_map(pairs: PairList, size: int) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """The map a R + b G + c B + d of least squared error over all pixels of some pairs."""
    products, targets = np.zeros((4, 4)), np.zeros(4)
    for pair in pairs.pairs:
        rgb, nir = _read(pairs, pair, size)
        columns = _with_ones(rgb).reshape(-1, 4)
        products += columns.T @ columns
        targets += columns.T @ nir.reshape(-1)
    weights = np.linalg.lstsq(products, targets, rcond=None)[0]
    return lambda rgb: np.rint(_with_ones(rgb) @ weights).clip(0, 255).astype(np.uint8)


def _with_ones(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(H, W, 3) -> (H, W, 4)."""
    return np.concatenate((rgb, np.ones((*rgb.shape[:2], 1))), axis=2)
