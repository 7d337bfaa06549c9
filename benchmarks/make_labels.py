"""Write a label file of the size and shape of BDD100K's det_train.json: 70,000 frames, about 1.3 million boxes.

    python benchmarks/make_labels.py OUT.json [--frames 70000] [--seed 0] [--images DIR]

Classes, boxes a frame, sizes and attributes follow BDD100K's published statistics; coordinates have six decimals. The
same seed gives the same bytes. With --images, there is an image for each frame, for what needs files.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 1280, 720

# Share of all boxes, and the median height in pixels.
CLASSES = {
    "car": (0.5540, 38),
    "traffic sign": (0.1865, 18),
    "traffic light": (0.1440, 19),
    "pedestrian": (0.0710, 48),
    "truck": (0.0225, 75),
    "bus": (0.0090, 85),
    "bicycle": (0.0056, 45),
    "rider": (0.0035, 60),
    "motorcycle": (0.0023, 45),
    "train": (0.0001, 90),
}
WIDTH_TO_HEIGHT = {"pedestrian": 0.4, "rider": 0.5, "traffic light": 0.45, "traffic sign": 1.3}
WEATHER = ("clear", "undefined", "overcast", "snowy", "rainy", "partly cloudy", "foggy")
SCENES = ("city street", "highway", "residential", "parking lot", "undefined", "tunnel", "gas stations")
TIMES = ("daytime", "night", "dawn/dusk", "undefined")


def make_frame(generator: random.Random, number: int, first_id: int) -> dict[str, Any]:
    """A frame of about 18.4 boxes, the middle half of them between 11 and 25."""
    count = min(91, max(1, round(generator.gammavariate(3.4, 5.45))))
    names = generator.choices(list(CLASSES), [share for share, _ in CLASSES.values()], k=count)
    return {
        "name": f"{generator.getrandbits(32):08x}-{number:08x}.jpg",
        "attributes": {
            "weather": generator.choices(WEATHER, (53, 12, 13, 8, 7, 7, 0.2))[0],
            "timeofday": generator.choices(TIMES, (52, 40, 7, 0.5))[0],
            "scene": generator.choices(SCENES, (61, 25, 12, 0.5, 0.5, 0.2, 0.1))[0],
        },
        "timestamp": 10000,
        "labels": [make_label(generator, name, first_id + position) for position, name in enumerate(names)],
    }


def make_label(generator: random.Random, name: str, number: int) -> dict[str, Any]:
    """A label whose box lies in the frame."""
    height = min(HEIGHT - 1.0, CLASSES[name][1] * generator.lognormvariate(0, 0.75))
    width = min(WIDTH - 1.0, height * WIDTH_TO_HEIGHT.get(name, 1.35) * generator.lognormvariate(0, 0.25))
    x, y = generator.uniform(0, WIDTH - width), generator.uniform(0, HEIGHT - height)
    light = generator.choice("GRY") if name == "traffic light" else "NA"
    return {
        "id": str(number),
        "attributes": {
            "occluded": generator.random() < 0.47,
            "truncated": generator.random() < 0.07,
            "trafficLightColor": light,
        },
        "category": name,
        "box2d": {"x1": round(x, 6), "y1": round(y, 6), "x2": round(x + width, 6), "y2": round(y + height, 6)},
    }


def write(path: Path, frames: int, seed: int) -> tuple[int, list[str]]:
    """Write the file; the number of boxes, and the names of the frames."""
    generator = random.Random(seed)
    boxes, names = 0, []
    with path.open("w", encoding="utf-8") as file:
        for number in range(frames):
            frame = make_frame(generator, number, boxes)
            boxes += len(frame["labels"])
            names.append(frame["name"])
            file.write(("[\n" if number == 0 else ",\n") + json.dumps(frame))
        file.write("\n]\n")
    return boxes, names


def write_images(folder: Path, names: list[str]) -> None:
    """Write a grey JPEG of the frames' size for each name: one file, linked under all names but written a few times.

    A file system allows so many links to one file only, so that a new one is begun every 10,000 names.
    """
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        path = folder / name
        path.unlink(missing_ok=True)
        if number % 10_000 == 0:
            first = path
            Image.new("L", (WIDTH, HEIGHT), number // 10_000).save(path, quality=10)
        else:
            path.hardlink_to(first)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=70_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=Path)
    arguments = parser.parse_args()
    boxes, names = write(arguments.out, arguments.frames, arguments.seed)
    print(f"{arguments.out}: {arguments.frames} frames, {boxes} boxes, {arguments.out.stat().st_size / 1e6:.0f} MB")
    if arguments.images is not None:
        write_images(arguments.images, names)


if __name__ == "__main__":
    main()
