"""Tones of regions within one image: beside those of the real image, and beside measured reflectances of materials."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from nirgen.evaluate.regions import REGIONS
from nirgen.evaluate.supplement import Column, Supplement, SupplementRow
from nirgen.stats import Estimate, estimate_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nirgen.evaluate.methods import Frame, Kind


FEWEST_PIXELS = 50  # of a region, at the size of comparison
CLIPPED = 250  # levels from which a value says too little
DARKEST = 1 / 255 / 12.92  # linear intensity of one level; black regions count as this
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB: CIE Y

# NIR / visible reflectance of green canopy over that of road or asphalt: 5th, 50th and 95th percentile of all quotients
# of earthlib 1.1.0's 2000 canopy and 188 road and asphalt spectra (docs/metrics.md).
VEGETATION_OVER_ROAD = (2.75, 5.89, 11.0)


def linear(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Decode sRGB: levels to intensities in [0, 1].

    Example:
        >>> linear(np.array([0, 10, 188, 255], np.uint8)).round(4).tolist()
        [0.0, 0.003, 0.5029, 1.0]
    """
    values = np.arange(256) / 255
    table = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    decoded: NDArray[np.float64] = table[image]
    return decoded


class View:
    """The regions of a frame, and the tones of an image in them."""

    def __init__(self, frame: Frame, regions: Mapping[str, NDArray[np.bool_]]) -> None:
        unclipped = frame.nir < CLIPPED
        self._regions = [regions.get(name, np.zeros_like(unclipped)) & unclipped for name in REGIONS]
        self._lit = self._regions  # those whose visible intensity is known as well
        self.visible = np.full(len(REGIONS), np.nan)
        if frame.rgb is not None:
            unclipped = frame.rgb.max(axis=2) < CLIPPED
            self._lit = [region & unclipped for region in self._regions]
            self.visible = _means(linear(frame.rgb) @ LUMINANCE, self._lit)

    def tones(self, nir: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the mean linear intensity of an (H, W) image in each region, NaN where there is none: (2, regions).

        The first row is of the pixels that aren't clipped in the real NIR, the second of those that aren't clipped in
        the photo either.
        """
        intensities = linear(nir)
        return np.stack((_means(intensities, self._regions), _means(intensities, self._lit)))


def _means(intensities: NDArray[np.float64], regions: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    means = [intensities[region].mean() if region.sum() >= FEWEST_PIXELS else np.nan for region in regions]
    return np.maximum(means, DARKEST)


def plausibility(contrast: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the plausibility, (0, 1], of the NIR / visible contrast of vegetation and road.

    It is 1 from the 5th to the 95th percentile of the spectra, and falls in proportion outside: a half at half the
    lower or twice the upper end.

    Example:
        >>> plausibility(np.array([1.375, 2.75, 6.0, 11.0, 44.0])).tolist()
        [0.5, 1.0, 1.0, 1.0, 0.25]
    """
    low, _, high = VEGETATION_OVER_ROAD
    return np.minimum(1, np.minimum(contrast / low, high / contrast))


def tabulate(
    tones: Mapping[str, NDArray[np.float64]],
    visible: NDArray[np.float64],
    kinds: Mapping[str, Kind],
    groups: Sequence[str],
    *,
    about: str,
    resamples: int,
    seed: int = 0,
) -> Supplement:
    """Return the table of the regions.

    Args:
        tones: (images, 2, regions) of `View.tones` by method, of the real NIR under "".
        visible: (images, regions), mean linear luminance of the photos; NaN without one.
        kinds: The kind of each method, in the order of the table.
        groups: Units that the bootstrap draws, an entry for each image.
        about: A line on the regions.
        resamples: Bootstrap samples.
        seed: Seed of the bootstrap.
    """
    vegetation, road = REGIONS.index("vegetation"), REGIONS.index("road")
    pairs = list(combinations(range(len(REGIONS)), 2))
    measured: dict[str, dict[str, NDArray[np.float64]]] = {}
    for method, each in tones.items():
        logs = {_title(pair): np.log2(each[:, 0, pair[0]] / each[:, 0, pair[1]]) for pair in pairs}
        real = tones[""][:, 0]
        errors = [np.abs(logs[_title((a, b))] - np.log2(real[:, a] / real[:, b])) for a, b in pairs]
        matched = each[:, 1] / visible
        contrast = matched[:, vegetation] / matched[:, road]
        measured[method] = {
            "plausibility": plausibility(contrast),
            "contrast": np.log2(contrast),
            "off_real": _mean_of_known(np.stack(errors, axis=1)),
            **logs,
        }
    known = {name: ~np.isnan(column) for name, column in measured[""].items()}
    columns = tuple(_column(name, int(known[name].sum())) for name in measured[""] if known[name].any())
    estimates: dict[str, dict[str, Estimate]] = {method: {} for method in tones}
    for column in columns:
        there = known[column.name]
        values = np.stack([measured[method][column.name][there] for method in tones], axis=1)
        drawn = [group for group, here in zip(groups, there, strict=True) if here]
        for method, found in zip(tones, estimate_means(values, drawn, resamples=resamples, seed=seed), strict=True):
            logarithmic = column.name not in {"plausibility", "off_real"}
            estimates[method][column.name] = _power(found) if logarithmic else found
    estimates[""].pop("off_real", None)
    rows = [SupplementRow("real NIR", "reference", estimates[""])]
    low, median, high = VEGETATION_OVER_ROAD
    if known["contrast"].any():
        rows.append(SupplementRow("spectra", "reference", {"contrast": Estimate(median, low, high)}))
    rows += [SupplementRow(method, kinds[method], estimates[method]) for method in kinds]
    return Supplement("regions", f"tones of regions ({about})", columns, tuple(rows))


def _title(pair: tuple[int, int]) -> str:
    return f"{REGIONS[pair[0]]} / {REGIONS[pair[1]]}"


def _column(name: str, images: int) -> Column:
    """Return the heading and the definition of a column that `images` of the images have."""
    texts = {
        "plausibility": (
            "plausibility ↑",
            "1 within the spectra's range of the next column, less in proportion outside; (0, 1]",
        ),
        "contrast": (
            "vegetation / road, NIR / visible",
            "geometric mean of the regions' NIR intensity over that in the photo, of vegetation over road",
        ),
        "off_real": ("stops off real ↓", "mean of |log2| of the ratios below over those in the real NIR"),
    }
    heading, definition = texts.get(name, (name, "geometric mean of the ratio of mean NIR intensities"))
    return Column(name, f"{heading} ({images})", 3 if name == "plausibility" else 2, definition)


def _mean_of_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row without its NaN; NaN of a row without others."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)
    return means


def _power(found: Estimate) -> Estimate:
    """Return 2 to the power of an estimate."""
    return Estimate(*(None if each is None else 2**each for each in (found.value, found.low, found.high)))
