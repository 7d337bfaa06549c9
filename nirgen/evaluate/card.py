"""The few numbers that a model's header and card have: PSNR and SSIM, beside what needs no model at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.evaluate import cases as of
from nirgen.evaluate import methods as by
from nirgen.evaluate.scores import score
from nirgen.evaluate.summary import subsets_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nirgen.model import NirModel
    from nirgen.pairs import PairList


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
    cases = of.from_pairs(pairs, split)
    methods = [by.from_model(model), by.luma(), by.red()]
    by.refuse_trained_on(methods, cases)
    if any(pair.split == "train" for pair in pairs.pairs):
        methods.append(by.linear(of.from_pairs(pairs, "train"), size))
    found = score(cases, methods, size=size, measures=("psnr", "ssim"), progress=progress)
    scores = []
    for method in methods:
        values = found.values[method.name]
        for subset, mask in subsets_of(cases, "urban").items():
            psnr, ssim = (float(np.mean(values[name][mask])) for name in ("psnr", "ssim"))
            scores.append(Score(method.name, subset, int(mask.sum()), psnr, ssim))
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
