"""Each method's numbers on each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen.evaluate.cases import read_frame
from nirgen.evaluate.measures import MEASURES
from nirgen.evaluate.methods import refuse_trained_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nirgen.evaluate.cases import Case
    from nirgen.evaluate.methods import Method
    from nirgen.evaluate.perceptual import Networks

PIXEL_MEASURES = tuple(name for name, measure in MEASURES.items() if measure.formula is not None)


@dataclass(frozen=True)
class Scores:
    """What was measured.

    Attributes:
        cases: The images.
        methods: The methods, floors last.
        sizes: (height, width) of each image as it was compared.
        values: By method and measure, a float64 of each image.
        features: By method, and under an empty name for real NIR, (images, 2048); empty without Inception.
    """

    cases: tuple[Case, ...]
    methods: tuple[Method, ...]
    sizes: tuple[tuple[int, int], ...]
    values: dict[str, dict[str, NDArray[np.float64]]]
    features: dict[str, NDArray[np.float64]]

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures of single images that were taken, in the order of the table."""
        return tuple(name for name in MEASURES if name in self.values[self.methods[0].name])


def score(
    cases: Sequence[Case],
    methods: Sequence[Method],
    *,
    size: int | None,
    measures: Sequence[str] = PIXEL_MEASURES,
    networks: Networks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Let each method generate each image, and compare it with the real one.

    Args:
        cases: The images, at least one.
        methods: With unique names, at least one.
        size: As for `read_frame`.
        measures: Those by formula.
        networks: For those that need some.
        progress: Called with the images done and their total.

    Raises:
        NirgenError: A method was trained on one of the images.
        ImageError: An image can't be read or compared; none is left out, for then means would be of other images.
    """
    refuse_trained_on(methods, cases)
    sizes = []
    values: dict[str, dict[str, list[float]]] = {method.name: {} for method in methods}
    features: dict[str, list[NDArray[np.float64]]] = {}
    for done, case in enumerate(cases, start=1):
        frame = read_frame(case, size)
        sizes.append((frame.nir.shape[0], frame.nir.shape[1]))
        if networks is not None and networks.sees_features:
            features.setdefault("", []).append(networks.features(frame.nir))
        for method in methods:
            generated = method.generate(frame)
            row = {name: formula(generated, frame.nir) for name in measures if (formula := MEASURES[name].formula)}
            if networks is not None:
                row |= {name: networks.measure(name, generated, frame.nir) for name in networks.per_image}
                if networks.sees_features:
                    features.setdefault(method.name, []).append(networks.features(generated))
            for name, value in row.items():
                values[method.name].setdefault(name, []).append(value)
        if progress is not None:
            progress(done, len(cases))
    return Scores(
        tuple(cases),
        tuple(methods),
        tuple(sizes),
        {method: {name: np.array(column) for name, column in columns.items()} for method, columns in values.items()},
        {method: np.stack(rows) for method, rows in features.items()},
    )
