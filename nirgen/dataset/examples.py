"""Examples of a dataset for its card: NIR images with their boxes, beside their RGB images where these are found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from nirgen import images
from nirgen.dataset.drawing import COLOURS, IGNORED, draw_boxes
from nirgen.errors import ImageError
from nirgen.files import find_below, read_bytes
from nirgen.pairs.listing import file_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import Plan, PlannedImage

COUNT, REAL = 6, 2
COLUMNS = 4
WIDTH = 320  # pixels of an image


@dataclass
class Examples:
    """Example images, spread over the recordings of those with annotations."""

    wanted: frozenset[str]  # keys
    chosen: list[Labelled] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> Examples:
        """Choose up to `COUNT` images of a plan, `REAL` of them real if there are enough of both kinds."""
        kinds: dict[str, list[PlannedImage]] = {"generated": [], "real": []}
        for image in plan.images:
            if image.labels and image.labels.annotations:
                kinds[image.kind].append(image)
        real = min(len(kinds["real"]), max(REAL, COUNT - len(kinds["generated"])))
        return cls(frozenset([*_spread(kinds["generated"], COUNT - real), *_spread(kinds["real"], real)]))

    def add(self, labelled: Labelled) -> None:
        """Keep an image if it was chosen."""
        if labelled.image.key in self.wanted:
            self.chosen.append(labelled)

    def draw(self, folder: Path, plan: Plan) -> bytes:
        """Return a PNG of the chosen images, which are in a folder, generated ones first."""
        chosen = sorted(self.chosen, key=lambda each: (each.image.kind, each.image.key))
        cells = [_cells(folder, each, plan) for each in chosen]
        groups = [[each for each in cells if len(each) == count] for count in (2, 1)]  # with RGB, and without
        flows = [[cell for each in group for cell in each] for group in groups]
        rows = [flow[start : start + COLUMNS] for flow in flows for start in range(0, len(flow), COLUMNS)]
        sheet = images.contact_sheet(
            [images.SheetRow([pixels for pixels, _ in row], [caption for _, caption in row]) for row in rows],
            width=WIDTH,
            legend=self._legend(plan),
        )
        return images.encode(sheet, "png")

    def _legend(self, plan: Plan) -> list[tuple[str, tuple[int, int, int]]]:
        boxes = [box.coco for each in self.chosen for box in each.boxes]
        shown = {box["category_id"] for box in boxes if not box["iscrowd"]}
        legend = [
            (category.name, COLOURS[category.id % len(COLOURS)]) for category in plan.categories if category.id in shown
        ]
        return [*legend, *([("region to ignore", IGNORED)] if any(box["iscrowd"] for box in boxes) else [])]


def _spread(planned: Sequence[PlannedImage], count: int) -> list[str]:
    """Return the keys of `count` images of as many recordings as there are, evenly spread over these and in each.

    The folder stands for an unknown recording.
    """
    recordings: dict[str, list[str]] = {}
    for image in planned:
        recordings.setdefault(image.sequence or PurePosixPath(image.key).parent.as_posix(), []).append(image.key)
    groups = list(recordings.values())
    shares = [0] * len(groups)
    while sum(shares) < min(count, len(planned)):
        free = [at for at, keys in enumerate(groups) if shares[at] < len(keys)]
        least = [at for at in free if shares[at] == min(shares[each] for each in free)]
        for at in _evenly(len(least), min(count, len(planned)) - sum(shares)):
            shares[least[at]] += 1
    return [keys[at] for keys, share in zip(groups, shares, strict=True) for at in _evenly(len(keys), share)]


def _evenly(length: int, count: int) -> list[int]:
    """Return at most `count` of the first `length` numbers, evenly spread; the middle one for one."""
    if count == 1:
        return [(length - 1) // 2]
    return [int(at) for at in np.linspace(0, length - 1, min(count, length)).round()]


def _cells(folder: Path, labelled: Labelled, plan: Plan) -> list[tuple[NDArray[np.uint8], str]]:
    """Return the RGB image, if it is found as it was, and the NIR image with boxes, each with its caption."""
    image = labelled.image
    boxes = [
        (box.coco["bbox"], IGNORED if box.coco["iscrowd"] else COLOURS[box.coco["category_id"] % len(COLOURS)])
        for box in labelled.boxes
    ]
    pixels = images.fit(images.read(folder / image.target), WIDTH)
    nir, about = draw_boxes(pixels, (image.height, image.width), boxes), f"{image.kind} NIR, {image.split}"
    rgb = _rgb(image, plan)
    return [(nir, f"{about}: {image.key}")] if rgb is None else [(rgb, f"RGB: {image.source}"), (nir, about)]


def _rgb(image: PlannedImage, plan: Plan) -> NDArray[np.uint8] | None:
    path = find_below(_rgb_roots(image.origin, plan), image.source and file_of(image.source))
    try:
        data = b"" if path is None else read_bytes(path)
        if hashlib.sha256(data).hexdigest() != image.source_sha256:
            return None
        return images.fit(images.decode_small(data, str(path), WIDTH), WIDTH)
    except (ImageError, OSError):
        return None


def _rgb_roots(origin: str, plan: Plan) -> Iterator[Path]:
    """Yield the folders that names of RGB images may be relative to."""
    for given in plan.config.generated:
        if given.origin == origin and given.sources is not None:
            yield given.sources
    for real in plan.config.real:
        if real.origin == origin and real.pairs is not None:
            yield from (real.pairs.parent, real.folder)
