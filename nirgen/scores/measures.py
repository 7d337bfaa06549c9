"""Measures of an image and of its boxes, relative to its RGB image or alone."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.errors import ImageError
from nirgen.files import read_bytes
from nirgen.scores.artefacts import blocks, blots, lift
from nirgen.scores.planes import BLACK, SMALLEST_SIDE, WHITE, Planes, tile_means

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.dataset.read import Box, Image
    from nirgen.scores.planes import Map, Plane


VERSION = 2  # of the measures; another version measures known images again

TILE = 16  # side in pixels of the maps (32 of the image) of the squares that are averaged
LEVEL_FLOOR = 3.0  # standard deviation in levels that is noise
LEAST_SHOWN = 0.03  # share of detail in RGB below which structure, sharpness and contrast are undefined
ORDINARY_DETAIL, ORDINARY_DEVIATION = 1.0, 14.0  # a photograph's sqrt(fine / coarse) and deviation, in place of RGB's
DARK, BRIGHT = 32, 223  # levels in RGB at which NIR may be black or white
SAMPLES = 96  # approximate number of pixels of a row or column that stripes are measured on
SMALLEST_BOX = 12  # pixels; boxes with a smaller visible side are not measured
MARGIN = 0.1  # share of its shorter side that a box is enlarged by to measure contrast; at least 2 pixels

# compared with real NIR; levels, and natural logarithms of strengths
STATISTICS = ("mean", "deviation", "dark", "bright", "fine", "coarse", "sparsity", "local", "noise")


@dataclass(frozen=True, slots=True)
class ImageMeasures:
    """Measures of an image; see `nirgen.scores.trouble.IMAGE_SCORES`."""

    structure: float | None  # -1 to 1; None without RGB, or without detail in it
    sharpness: float | None  # None without detail
    contrast: float | None
    clipping: float  # 0 to 1
    noise: float  # levels
    banding: float  # levels
    blots: float  # natural logarithm
    blocks: float  # levels
    lift: float  # levels
    statistics: tuple[float, ...]  # in the order of `STATISTICS`


@dataclass(frozen=True, slots=True)
class BoxMeasures:
    """Measures of a box; low is bad in all, and a box without detail in RGB has ordinary ones."""

    agreement: float  # -1 to 1: edges lie and run as in RGB, whichever side is bright
    polarity: float  # -1 to 1: the same, and from dark to bright in both
    energy: float  # logarithm of the strength of edges relative to RGB
    detail: float  # the same of fine relative to coarse edges
    contrast: float  # the same of the standard deviation of levels in and around the box


BOX_MEASURES = tuple(field.name for field in fields(BoxMeasures))


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures of an item."""

    key: str  # the item's
    basis: str  # hash of the inputs of the measures
    generated: bool
    beside_rgb: bool  # measured relative to an RGB image
    note: str  # problem with the item's files; such an item is measured again each time
    image: ImageMeasures | None
    boxes: tuple[BoxMeasures | None, ...]  # in the order of the item's; None if not measurable


def measure_image(planes: Planes) -> ImageMeasures:
    """Measure an image of at least `planes.SMALLEST_SIDE` pixels a side."""
    nir, rgb, gain = planes.nir, planes.rgb, planes.gain
    structure, sharpness, contrast = (None, *_alone(nir)) if rgb is None else _beside_rgb(planes)
    return ImageMeasures(
        structure=structure,
        sharpness=sharpness,
        contrast=contrast,
        clipping=_clipping(nir.levels, None if rgb is None else rgb.levels),
        noise=nir.noise if rgb is None else max(0.0, nir.noise - gain * rgb.noise),
        banding=_banding(nir.levels) if rgb is None else max(0.0, _banding(nir.levels) - gain * _banding(rgb.levels)),
        blots=blots(nir, rgb),
        blocks=blocks(nir.levels, None if rgb is None else rgb.levels, gain),
        lift=lift(nir.levels, None if rgb is None else rgb.levels),
        statistics=_statistics(nir),
    )


def _beside_rgb(planes: Planes) -> tuple[float | None, float | None, float | None]:
    """Return structure, sharpness and contrast: means over squares, weighted by their detail in RGB."""
    nir, rgb, floor, gain = planes.nir, planes.rgb, planes.floor, planes.gain
    if rgb is None or planes.aligned is None:
        return None, None, None
    fine_nir, fine_rgb, aligned = (tile_means(each, TILE) for each in (nir.fine, rgb.fine, planes.aligned))
    coarse_nir, coarse_rgb = (tile_means(each.coarse, TILE) for each in (nir, rgb))
    weights = fine_rgb / (fine_rgb + 4 * floor)
    if weights.mean() < LEAST_SHOWN:
        return None, None, None
    floor_nir = floor * gain**2
    agreement = (aligned + floor * gain) / np.sqrt((fine_nir + floor_nir) * (fine_rgb + floor))
    fine, coarse = (
        0.5 * np.log((one + floor / 4) / (other + floor))
        for one, other in ((fine_nir, fine_rgb), (coarse_nir, coarse_rgb))
    )
    deviations = np.log((_deviations(nir) + LEVEL_FLOOR / 2) / (_deviations(rgb) + LEVEL_FLOOR))
    structure, detail, contrast = (np.average(each, weights=weights) for each in (agreement, fine - coarse, deviations))
    return float(structure), float(np.exp(detail)), float(np.exp(contrast))


def _alone(nir: Plane) -> tuple[float | None, float | None]:
    """Return sharpness and contrast relative to an ordinary photograph's."""
    fine, coarse = float(nir.fine.mean()), float(nir.coarse.mean())
    detail = np.sqrt((fine + 0.1) / (coarse + 0.1)) / ORDINARY_DETAIL
    return float(detail), float((np.median(_deviations(nir)) + LEVEL_FLOOR) / (ORDINARY_DEVIATION + LEVEL_FLOOR))


def _deviations(plane: Plane) -> Map:
    squares = tile_means(plane.halved**2, TILE) - tile_means(plane.halved, TILE) ** 2
    deviations: Map = np.sqrt(np.maximum(squares, 0))
    return deviations


def _clipping(nir: NDArray[np.uint8], rgb: NDArray[np.uint8] | None) -> float:
    """Return the share of pixels that are black or white, and not dark or bright in RGB."""
    nir = nir[::2, ::2]
    black, white = nir < BLACK, nir > WHITE
    if rgb is not None:
        black &= rgb[::2, ::2] > DARK
        white &= rgb[::2, ::2] < BRIGHT
    return float(black.mean() + white.mean())


def _banding(levels: NDArray[np.uint8]) -> float:
    """Return the strength of stripes plus gaps.

    Gaps are the mean number of unused grey levels between two used ones, from the 5th to the 95th percentile.
    """
    counts, (first, last) = _counts(levels)
    used = int(np.count_nonzero(counts[first : last + 1] > counts.sum() * 1e-5))
    return max(_stripes(levels), _stripes(levels.T)) + ((last - first + 1) / max(used, 1) - 1)


def _stripes(levels: NDArray[np.uint8]) -> float:
    """Return the difference in levels of rows to both neighbours, median over a row and mean over rows."""
    sampled = levels[:, :: max(1, levels.shape[1] // SAMPLES)].astype(np.int16)
    bent = np.median(2 * sampled[1:-1] - sampled[2:] - sampled[:-2], axis=1) / 2
    return float(np.abs(bent).mean())


def _counts(levels: NDArray[np.uint8]) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Return the histogram of every second row and column, and its 5th and 95th percentile."""
    counts: NDArray[np.int64] = np.bincount(levels[::2, ::2].ravel(), minlength=256)
    shares = np.cumsum(counts) / int(counts.sum())
    return counts, (int(np.searchsorted(shares, 0.05)), int(np.searchsorted(shares, 0.95)))


def _statistics(nir: Plane) -> tuple[float, ...]:
    _, (dark, bright) = _counts(nir.levels)
    fine, coarse = float(nir.fine.mean()), float(nir.coarse.mean())
    return (
        float(nir.halved.mean()),
        float(np.log(nir.halved.std() + 1)),
        float(dark),
        float(bright),
        float(np.log(fine + 0.1)) / 2,
        float(np.log(coarse + 0.1)) / 2,
        float(np.log((np.sqrt(nir.fine).mean() + 0.1) / np.sqrt(fine + 0.1))),
        float(np.log(np.median(_deviations(nir)) + 1)),
        float(np.log(nir.noise + 0.5)),
    )


def measure_box(planes: Planes, box: Box) -> BoxMeasures | None:
    """Measure a box; None without RGB, for a region to ignore, and for a box that is too small."""
    side = planes.side(box.bbox)
    if planes.rgb is None or planes.along is None or planes.aligned is None or box.ignored or side < SMALLEST_BOX:
        return None
    inside, around = planes.window(box.bbox), planes.window(box.bbox, max(2.0, MARGIN * side) / planes.scale)
    floor, gain = planes.floor, planes.gain
    floor_nir, both = floor * gain**2, (planes.nir, planes.rgb)
    fine_nir, fine_rgb = (float(plane.fine[inside].mean()) for plane in both)
    coarse_nir, coarse_rgb = (float(plane.coarse[inside].mean()) for plane in both)
    deviation_nir, deviation_rgb = (float(plane.halved[around].std()) for plane in both)
    norm = float(np.sqrt((fine_nir + floor_nir) * (fine_rgb + floor)))
    fine = 0.5 * np.log((fine_nir + floor_nir) / (fine_rgb + floor))
    coarse = 0.5 * np.log((coarse_nir + floor_nir) / (coarse_rgb + floor))
    return BoxMeasures(
        agreement=(float(planes.aligned[inside].mean()) + floor * gain) / norm,
        polarity=(float(planes.along[inside].mean()) + floor * gain) / norm,
        energy=float(fine),
        detail=float(fine - coarse),
        contrast=float(np.log((deviation_nir + LEVEL_FLOOR * gain) / (deviation_rgb + LEVEL_FLOOR))),
    )


def basis_of(item: Image, *, with_rgb: bool) -> str:
    """Return a hash of the inputs of an item's measures; `with_rgb` includes its RGB image."""
    rgb = (item.rgb_sha256 or item.rgb_name) if with_rgb else None
    boxes = [[box.key, box.category, *box.bbox, box.ignored] for box in item.boxes]
    values = [VERSION, item.sha256, rgb, item.width, item.height, boxes]
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()[:32]


def measure(item: Image) -> Measured:
    """Measure an item; a problem with its files becomes its note."""
    unknown = (None,) * len(item.boxes)
    nothing = Measured(item.key, basis_of(item, with_rgb=False), item.generated, False, "", None, unknown)
    nir, note = _read(item.path, item.sha256, "NIR")
    if nir is None:
        return replace(nothing, note=note)
    if min(nir.shape[:2]) < SMALLEST_SIDE:
        return nothing
    rgb, of_rgb = (None, "") if item.rgb is None else _read(item.rgb, item.rgb_sha256, "RGB")
    sample = nir[::4, ::4]
    grey = bool((sample == sample[..., :1]).all())
    planes = Planes.of(nir[..., 0] if grey else images.to_grey(nir), rgb)
    return replace(
        nothing,
        basis=basis_of(item, with_rgb=rgb is not None),
        beside_rgb=rgb is not None,
        note="; ".join(filter(None, (note, of_rgb))),
        image=measure_image(planes),
        boxes=tuple(measure_box(planes, box) for box in item.boxes),
    )


def _read(path: Path, sha256: str | None, what: str) -> tuple[NDArray[np.uint8] | None, str]:
    """Return the pixels and the problem of a file; no pixels of an RGB image other than the recorded one."""
    try:
        data = read_bytes(path)
        pixels = images.decode(data, path.name)
    except OSError:
        return None, f"{what} image missing"
    except ImageError:
        return None, f"{what} image damaged"
    if sha256 is None or hashlib.sha256(data).hexdigest() == sha256:
        return pixels, ""
    note = f"{what} image changed"
    return (None if what == "RGB" else pixels), note
