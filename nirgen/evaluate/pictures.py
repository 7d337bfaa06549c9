"""Pictures of a case: photo, real and generated NIR, the error in colours, and where it is greatest."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nirgen.evaluate.cases import Frame

ERROR_RANGE = 64
"""Grey levels at which the colours of an error map end."""
LONGEST_SIDE = 512
"""Of a picture, in pixels; larger ones are shown smaller."""
TOO_DARK, TOO_BRIGHT = np.array([33, 102, 172.0]), np.array([178, 24, 43.0])


@dataclass(frozen=True)
class Window:
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """That part of an image."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Picture:
    """An image in a page, and its part where the error is greatest; both are data URIs."""

    title: str
    whole: str
    zoom: str


def pictures(frame: Frame, generated: NDArray[np.uint8]) -> tuple[list[Picture], Window]:
    """The pictures of a case, and the window that their zooms show."""
    window = worst_window(generated, frame.nir)
    shown = {"real NIR": frame.nir, "generated": generated, "error": error_map(generated, frame.nir)}
    if frame.rgb is not None:
        shown = {"photo": frame.rgb, **shown}
    return [
        Picture(title, _data_uri(_fitted(image), lossless=title == "error"), _data_uri(window.of(image), lossless=True))
        for title, image in shown.items()
    ], window


def error_map(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The signed error in colours: white for none, red for too bright, blue for too dark.

    Args:
        generated: (H, W) uint8.
        real: The same shape.

    Returns:
        (H, W, 3) uint8; the colours end at an error of `ERROR_RANGE` grey levels.

    Example:
        >>> error_map(np.array([[100, 164, 36]], np.uint8), np.full((1, 3), 100, np.uint8)).tolist()
        [[[255, 255, 255], [178, 24, 43], [33, 102, 172]]]
    """
    error = (generated.astype(np.float64) - real.astype(np.float64)) / ERROR_RANGE
    amount = np.abs(error).clip(0, 1)[..., np.newaxis]
    colour = np.where(error[..., np.newaxis] > 0, TOO_BRIGHT, TOO_DARK)
    mixed: NDArray[np.uint8] = np.rint(255 + amount * (colour - 255)).astype(np.uint8)
    return mixed


def worst_window(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> Window:
    """The square, a quarter of the shorter side wide, whose mean squared error is greatest; of equal ones the first."""
    height, width = real.shape
    side = max(1, min(height, width) // 4)
    squares = np.zeros((height + 1, width + 1))
    error = generated.astype(np.float64) - real.astype(np.float64)
    squares[1:, 1:] = np.cumsum(np.cumsum(error**2, axis=0), axis=1)
    sums = squares[side:, side:] - squares[:-side, side:] - squares[side:, :-side] + squares[:-side, :-side]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return Window(int(top), int(left), side, side)


def _fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1, LONGEST_SIDE / max(height, width))
    return images.resize(image, (max(1, round(height * scale)), max(1, round(width * scale))))


def _data_uri(image: NDArray[np.uint8], *, lossless: bool) -> str:
    kind = "png" if lossless else "jpg"
    data = images.encode(np.ascontiguousarray(image), "png" if lossless else "jpg")
    return f"data:image/{'jpeg' if kind == 'jpg' else kind};base64,{base64.b64encode(data).decode()}"
