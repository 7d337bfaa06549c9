"""One image of a collection with its boxes, measured."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nirgen import images
from nirgen.errors import ImageError
from nirgen.scores.box_measures import BoxMeasures, measure_box
from nirgen.scores.image_measures import ImageMeasures, measure_image
from nirgen.scores.planes import SMALLEST_SIDE, Planes

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from nirgen.collection import Item

VERSION = 1
"""Of the measures: other numbers for the same images are another version."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of an item.

    Attributes:
        key: The item's.
        basis: Of what it was measured.
        generated: Whether the image was translated.
        beside_rgb: Whether there was an RGB image to compare with.
        note: What is wrong with its files; such an item is measured again each time.
        image: None if there is no image to measure.
        boxes: In the order of the item's; None of those that can't be judged.
    """

    key: str
    basis: str
    generated: bool
    beside_rgb: bool
    note: str
    image: ImageMeasures | None
    boxes: tuple[BoxMeasures | None, ...]


def basis_of(item: Item, *, with_rgb: bool) -> str:
    """What the measures of an item depend on, as a hash.

    Args:
        item: The item.
        with_rgb: Whether its RGB image is looked at.
    """
    rgb = (item.rgb_sha256 or item.rgb_name) if with_rgb else None
    boxes = [[box.key, box.category, *box.bbox, box.iscrowd] for box in item.boxes]
    values = [VERSION, item.sha256, rgb, item.width, item.height, boxes]
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()[:32]


def measure(item: Item) -> Measured:
    """Measure an item; whatever is wrong with its files becomes its note."""
    nothing = Measured(
        key=item.key,
        basis=basis_of(item, with_rgb=False),
        generated=item.generated,
        beside_rgb=False,
        note="",
        image=None,
        boxes=(None,) * len(item.boxes),
    )
    nir, note = _read(item.path, item.sha256, "NIR")
    if nir is None:
        return replace(nothing, note=note)
    if min(nir.shape[:2]) < SMALLEST_SIDE:
        return nothing
    rgb, of_rgb = (None, "") if item.rgb is None else _read(item.rgb, item.rgb_sha256, "RGB")
    planes = Planes.of(nir[..., 0] if _is_grey(nir) else images.to_grey(nir), rgb)
    return replace(
        nothing,
        basis=basis_of(item, with_rgb=rgb is not None),
        beside_rgb=rgb is not None,
        note="; ".join(filter(None, (note, of_rgb))),
        image=measure_image(planes),
        boxes=tuple(measure_box(planes, box) for box in item.boxes),
    )


def _read(path: Path, sha256: str | None, what: str) -> tuple[NDArray[np.uint8] | None, str]:
    """The pixels of a file, and what is wrong with it; no pixels of an RGB image that isn't the one recorded."""
    try:
        data = path.read_bytes()
        pixels = images.decode(data, path.name)
    except OSError:
        return None, f"{what} image missing"
    except ImageError:
        return None, f"{what} image damaged"
    if sha256 is None or hashlib.sha256(data).hexdigest() == sha256:
        return pixels, ""
    note = f"{what} image changed"
    return (None if what == "RGB" else pixels), note


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    """Whether the channels are equal, by a sample of the pixels."""
    sample = pixels[::4, ::4]
    return bool((sample == sample[..., :1]).all())
