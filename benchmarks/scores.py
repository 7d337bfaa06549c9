"""How long it takes to score a 1280x720 pair with 20 boxes, on one core, and where the time goes.

    python benchmarks/scores.py [--pairs 24] [--boxes 20]

The pairs are crops of scikit-learn's two sample photographs, enlarged; NIR is the red channel. Files are JPEG and PNG,
as they are in a dataset of dashcam frames, and in memory of the system. Of each step the median over the pairs is told,
in milliseconds of a core, so that what else runs matters less.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_sample_images

from nirgen import images
from nirgen.dataset.read import Box, Image
from nirgen.scores.measures import measure, measure_box, measure_image
from nirgen.scores.planes import Planes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


SIZE = (720, 1280)


def make_items(folder: Path, count: int, boxes: int) -> list[Image]:
    """Write pairs, and describe them with boxes of the sizes that objects have on dashcam frames."""
    rng = np.random.default_rng(0)
    items = []
    for number in range(count):
        photo = load_sample_images().images[number % 2]
        top, left = (int(rng.integers(0, side)) for side in (100, 120))
        rgb = images.resize(np.ascontiguousarray(photo[top : top + 292, left : left + 520]), SIZE)
        paths = folder / f"{number}.jpg", folder / f"{number}.png"
        for path, pixels, image_format in zip(paths, (rgb, rgb[..., 0]), ("jpg", "png"), strict=True):
            path.write_bytes(images.encode(pixels, image_format))
        rgb_sha256, sha256 = (hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
        items.append(
            Image(
                key=f"made/{number}.jpg",
                id=number,
                split="train",
                origin="made",
                generated=True,
                path=paths[1],
                width=SIZE[1],
                height=SIZE[0],
                sha256=sha256,
                input_sha256=sha256,
                rgb=paths[0],
                rgb_name=paths[0].name,
                rgb_sha256=rgb_sha256,
                attributes={},
                sequence=None,
                model_id=None,
                boxes=tuple(make_box(number, rng) for number in range(boxes)),
            )
        )
    return items


def make_box(number: int, rng: np.random.Generator) -> Box:
    """A box whose sides are spread evenly in their logarithm, from 12 to 240 pixels."""
    width, height = np.exp(rng.uniform(np.log(12), np.log(240), 2))
    x, y = rng.uniform(0, SIZE[1] - width), rng.uniform(0, SIZE[0] - height)
    return Box(f"#{number}", number, "car", (x, y, width, height), width * height, False, "car", ())


def milliseconds(work: Callable[[Image], object], items: Sequence[Image]) -> float:
    """Of a core, the median over items."""
    taken = []
    for item in items:
        started = time.thread_time()
        work(item)
        taken.append(1000 * (time.thread_time() - started))
    return statistics.median(taken)


def main() -> None:
    """Make what is needed, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--boxes", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        items = make_items(Path(temporary), arguments.pairs, arguments.boxes)
        decoded = {item.key: (images.read(item.path), images.read(item.rgb)) for item in items}  # type: ignore[arg-type]
        planes = {key: Planes.of(images.to_grey(nir), rgb) for key, (nir, rgb) in decoded.items()}
        steps: dict[str, Callable[[Image], object]] = {
            "all": measure,
            "read the PNG": lambda item: images.read(item.path),
            "read the JPEG": lambda item: images.read(item.rgb),  # type: ignore[arg-type]
            "edges of both": lambda item: Planes.of(images.to_grey(decoded[item.key][0]), decoded[item.key][1]),
            "the image": lambda item: measure_image(planes[item.key]),
            f"{arguments.boxes} boxes": lambda item: [measure_box(planes[item.key], box) for box in item.boxes],
        }
        for name, work in steps.items():
            print(f"{name:16s} {milliseconds(work, items):6.1f} ms")


if __name__ == "__main__":
    main()
