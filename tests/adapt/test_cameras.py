from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.adapt.cameras import carried_gains, find_two_cameras
from nirgen.adapt.scores import Frame, score

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Seen = tuple[list[Frame], list[NDArray[np.uint8]]]


@pytest.fixture
def seen(see: Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Callable[[dict[int, range]], Seen]:
    """Return frames of cameras, and what a perfect model of camera 0 makes of their photos."""

    def make(cameras: dict[int, range]) -> Seen:
        frames, outputs = [], []
        for camera, seeds in cameras.items():
            for seed in seeds:
                frames.append(Frame(f"{camera}/{seed}", *see(camera, seed)))
                outputs.append(see(0, seed)[1])
        return frames, outputs

    return make


def test_two_cameras_are_told_apart(seen: Callable[[dict[int, range]], Seen]) -> None:
    assert find_two_cameras(*seen({1: range(5), -1: range(10, 13)})) == ((0, 1, 2, 3, 4), (5, 6, 7))


@pytest.mark.parametrize("cameras", [{1: range(8)}, {0: range(8)}, {1: range(2)}])
def test_pairs_of_one_camera_are_not_told_apart(
    seen: Callable[[dict[int, range]], Seen], cameras: dict[int, range]
) -> None:
    assert find_two_cameras(*seen(cameras)) is None


def test_a_carried_gain_is_less_than_perfection(seen: Callable[[dict[int, range]], Seen]) -> None:
    frames, outputs = seen({1: range(3)})
    gains = carried_gains(frames, outputs)
    start = [score(output, frame.nir).total for output, frame in zip(outputs, frames, strict=True)]
    assert gains.shape == (3, 3)
    assert gains.min() > 3  # a tone curve is fitted
    assert gains.max() < 100 - max(start)  # but no vignetting
