"""Methods on shifted photos: seeded conditions of light, weather and camera, which the real NIR doesn't share."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nirgen.errors import NirgenError
from nirgen.evaluate.methods import BASELINE, read_frame
from nirgen.evaluate.supplement import Column, Supplement, SupplementRow
from nirgen.files import sha256_of
from nirgen.images.conditions import SHIFTS
from nirgen.metrics import PSNR_CEILING, psnr_affine
from nirgen.pairs.listing import file_of
from nirgen.stats import estimate_means

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nirgen.evaluate.methods import Case, Frame, Method, Size
    from nirgen.stats import Estimate


UNSHIFTED = "none"


def shift(photo: NDArray[np.uint8], kind: str, source: str) -> NDArray[np.uint8]:
    """Return a photo, (H, W, 3), in a condition of `SHIFTS`, drawn by the hash of its file: the same one anywhere."""
    digest = hashlib.sha256(f"{source} {kind}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    shifted = SHIFTS[kind](photo.astype(np.float32) / np.float32(255), random)
    return np.rint(shifted * 255).astype(np.uint8)


def judge_shifted(
    cases: Sequence[Case],
    methods: Sequence[Method],
    groups: Sequence[str],
    *,
    size: Size,
    resamples: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Supplement:
    """Return the table of affine PSNR on shifted photos, with the differences from the baseline grey.

    Folders of images are left out, because they were made of the photos as they are.

    Args:
        cases: All with a photo.
        methods: Models and baselines, grey among them.
        groups: Units that the bootstrap draws, an entry for each case.
        size: Height and width of comparison; None: the images' own.
        resamples: Bootstrap samples.
        seed: Seed of the bootstrap.
        progress: Called with the number of cases that are done, and of all.

    Raises:
        NirgenError: A case has no photo.
    """
    if any(case.rgb is None for case in cases):
        raise NirgenError("no photos to shift; name their folder with --rgb")
    judged = [method for method in methods if method.kind != "folder"]
    kinds = (UNSHIFTED, *SHIFTS)
    values = np.empty((len(cases), len(kinds), len(judged)))
    for number, case in enumerate(cases):
        frame = read_frame(case, size)
        for column, shifted in enumerate(_shifted(frame)):
            for row, method in enumerate(judged):
                values[number, column, row] = min(psnr_affine(method.generate(shifted), frame.nir), PSNR_CEILING)
        if progress is not None:
            progress(number + 1, len(cases))
    grey = [method.name for method in judged].index(BASELINE)
    compared = [row for row, method in enumerate(judged) if method.kind != "floor"]
    differences = values[..., compared] - values[..., [grey]]
    flat = np.concatenate((values, differences), axis=2).reshape(len(cases), -1)
    estimates = estimate_means(flat, groups, resamples=resamples, seed=seed)
    names = [method.name for method in judged] + [f"{judged[row].name} - {BASELINE}" for row in compared]
    rows = []
    for row, name in enumerate(names):
        found = dict(zip(kinds, estimates[row :: len(names)], strict=True))
        if row < len(judged):
            rows.append(SupplementRow(name, judged[row].kind, found))
        else:
            marks = {kind: _mark(difference) for kind, difference in found.items()}
            rows.append(SupplementRow(name, "reference", found, marks))
    columns = tuple(Column(kind, kind, 2, _definition(kind)) for kind in kinds)
    return Supplement("shifts", "PSNR affine ↑ on shifted photos", columns, tuple(rows))


def _shifted(frame: Frame) -> list[Frame]:
    """Return the frame as it is, and with its photo in each condition."""
    assert frame.case.rgb is not None
    source = sha256_of(Path(file_of(str(frame.case.rgb))))
    return [frame, *(replace(frame, rgb=shift(frame.photo, kind, source)) for kind in SHIFTS)]


def _mark(difference: Estimate) -> str:
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return "undecided"
    return "better" if difference.low > 0 else "worse"


def _definition(kind: str) -> str:
    if kind == UNSHIFTED:
        return "mean PSNR affine in dB, the photos as they are"
    return f"the same, after: {(SHIFTS[kind].__doc__ or kind).splitlines()[0]}"
