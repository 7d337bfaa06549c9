"""Put labels on an image that is larger or smaller than the one that was labelled."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pycocotools import mask as rle_tools

if TYPE_CHECKING:
    from nirgen.dataset.plan import PlannedImage

DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Scaling:
    """From the frame that was labelled to the image.

    Attributes:
        x: Width of the image divided by that of the frame.
        y: The same of the heights.
        width: Of the image, in pixels.
        height: The same.
    """

    x: float
    y: float
    width: int
    height: int

    @classmethod
    def of(cls, image: PlannedImage) -> Self:
        """That of an image with its label entry; an image without one has its own frame."""
        if image.labels is None:
            return cls(1, 1, image.width, image.height)
        labels = image.labels
        return cls(image.width / labels.width, image.height / labels.height, image.width, image.height)

    @property
    def identity(self) -> bool:
        """Whether labels stay as they are."""
        return self.x == self.y == 1

    def __str__(self) -> str:
        return f"scaled {self.x:.6g}x{self.y:.6g}"

    def annotation(self, values: dict[str, Any]) -> dict[str, Any] | None:
        """Scale box, outline, keypoints and area of an annotation.

        The area of a box is that of the box as written, that of a mask the mask's as written, that of polygons grows
        with them. A mask that has no pixel left leaves its box behind.

        Args:
            values: COCO keys.

        Returns:
            The keys with what was scaled; None if the box has no width or no height left.

        Example:
            >>> half = Scaling(0.5, 0.5, 640, 360)
            >>> half.annotation({"bbox": [10, 20, 31, 41], "area": 1271})
            {'bbox': [5.0, 10.0, 15.5, 20.5], 'area': 317.75}
        """
        bbox = self._box(values["bbox"])
        if bbox is None:
            return None
        scaled = values | {"bbox": bbox, "area": round(bbox[2] * bbox[3], DECIMALS)}
        outline = values.get("segmentation")
        if isinstance(outline, dict):
            scaled |= self._mask(outline)
            if not scaled["area"]:
                del scaled["segmentation"]
                scaled["area"] = round(bbox[2] * bbox[3], DECIMALS)
        elif outline:
            scaled["segmentation"] = [self._points(polygon, 2) for polygon in outline]
            scaled["area"] = round(values["area"] * self.x * self.y, DECIMALS) or scaled["area"]
        if values.get("keypoints"):
            scaled["keypoints"] = self._points(values["keypoints"], 3)
        return scaled

    def _box(self, bbox: list[float]) -> list[float] | None:
        """A box, inside the image; None if nothing is left of it that decimals can say."""
        x, y, width, height = bbox
        left, top = round(x * self.x, DECIMALS), round(y * self.y, DECIMALS)
        right = min(round((x + width) * self.x, DECIMALS), self.width)
        bottom = min(round((y + height) * self.y, DECIMALS), self.height)
        size = [round(right - left, DECIMALS), round(bottom - top, DECIMALS)]
        return [left, top, *size] if min(size) > 0 and round(size[0] * size[1], DECIMALS) > 0 else None

    def _points(self, flat: list[float], step: int) -> list[float]:
        """Scale x and y by turns, each two followed by what isn't scaled if `step` is over 2."""
        factors = (self.x, self.y)
        return [
            round(value * factors[position % step], DECIMALS) if position % step < 2 else value
            for position, value in enumerate(flat)
        ]

    def _mask(self, rle: dict[str, Any]) -> dict[str, Any]:
        """A mask in COCO's RLE, sampled at the nearest pixels, with its area."""
        height, width = rle["size"]
        if isinstance(rle["counts"], list):
            rle = rle_tools.frPyObjects(rle, height, width)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools' own, of numpy 2
            pixels = rle_tools.decode(rle)
        rows = ((np.arange(self.height) + 0.5) * height / self.height).astype(int)
        columns = ((np.arange(self.width) + 0.5) * width / self.width).astype(int)
        sampled = rle_tools.encode(np.asfortranarray(pixels[rows][:, columns]))
        segmentation = {"size": [self.height, self.width], "counts": sampled["counts"].decode()}
        return {"segmentation": segmentation, "area": int(rle_tools.area(sampled))}
