"""Small synthetic data to try a recipe on; the same seed gives the same bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from nirgen.config import SPLITS
from nirgen.errors import OutputError
from nirgen.files import make_folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


_HEIGHT, _WIDTH = 96, 128
_RECORDINGS = ("01", "02", "03")
_COLOURS = {"person": (200, 60, 60), "bicycle": (60, 160, 60), "car": (60, 80, 190)}
_SIZES = {"person": (14, 32), "bicycle": (24, 20), "car": (44, 26)}


def write_sample(out: Path, *, frames: int = 4, seed: int = 0) -> None:
    """Write RGB-NIR pairs, labelled RGB frames in BDD100K's form, and labelled real NIR in COCO's.

    The folder gets `pairs/{rgb,nir}/<recording>/*.png`, `frames/*.jpg` with `frames.json`, and `real.json`, which
    labels `pairs/nir`. Each frame shows ground and sky, with a person, a bicycle and a car as coloured boxes.

    Args:
        out: The folder to write; new, or empty.
        frames: Pairs of each of the three recordings; half as many as all pairs are frames to translate.
        seed: Random seed of the scenes.

    Raises:
        OutputError: The folder is not empty, or can't be written.
    """
    make_folder(out)
    if any(out.iterdir()):
        raise OutputError(f"{out}: isn't empty; name a new folder")
    random = np.random.default_rng(seed)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for recording, split in zip(_RECORDINGS, SPLITS, strict=True):
        for number in range(frames):
            rgb, boxes = _scene(random)
            name = f"{recording}/{number:04d}.png"
            _save(out / "pairs/rgb" / name, rgb)
            _save(out / "pairs/nir" / name, _nir(rgb))
            images.append(
                {"id": len(images) + 1, "file_name": name, "height": _HEIGHT, "width": _WIDTH}
                | {"sequence": recording, "split": split}
            )
            for category, box in enumerate(boxes.values(), start=1):
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": len(images), "category_id": category, "bbox": box}
                    | {"area": box[2] * box[3], "iscrowd": 0}
                )
    categories = [{"id": number, "name": name} for number, name in enumerate(_COLOURS, start=1)]
    _dump(out / "real.json", {"images": images, "annotations": annotations, "categories": categories})
    entries = []
    for number in range(frames * len(_RECORDINGS) // 2):
        rgb, boxes = _scene(random)
        _save(out / "frames" / f"{number:04d}.jpg", rgb)
        labels = [
            {
                "category": "pedestrian" if name == "person" else name,
                "box2d": {"x1": x, "y1": y, "x2": x + width, "y2": y + height},
            }
            for name, (x, y, width, height) in boxes.items()
        ]
        entries.append({"name": f"{number:04d}.jpg", "labels": labels})
    _dump(out / "frames.json", entries)


def _scene(random: np.random.Generator) -> tuple[NDArray[np.uint8], dict[str, list[int]]]:
    """Return a frame (96, 128, 3), and its boxes (x, y, width, height) by class, in the order of `_COLOURS`."""
    horizon = int(random.integers(30, 50))
    rgb = np.empty((_HEIGHT, _WIDTH, 3), np.int16)
    rgb[:horizon] = random.integers((90, 130, 180), (130, 170, 230))
    rgb[horizon:] = random.integers((60, 70, 50), (110, 120, 90))
    boxes = {}
    for position, (name, (width, height)) in enumerate(_SIZES.items()):
        x = 4 + 42 * position + int(random.integers(0, 4 if name != "car" else 1))
        if name == "car":
            x = min(x, _WIDTH - width)
        y = int(random.integers(horizon, _HEIGHT - height))
        rgb[y : y + height, x : x + width] = np.array(_COLOURS[name]) + random.integers(-30, 30)
        boxes[name] = [x, y, width, height]
    rgb += random.integers(-6, 7, rgb.shape, dtype=np.int16)
    return np.clip(rgb, 0, 255).astype(np.uint8), boxes


def _nir(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a NIR-like image (96, 128) of a frame: vegetation bright, sky dark."""
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    return np.clip(0.5 * red + 0.8 * green - 0.4 * blue + 20, 0, 255).round().astype(np.uint8)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=92)  # PNG ignores it


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
