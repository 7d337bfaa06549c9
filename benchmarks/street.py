"""Street scenes as RGB and as NIR of the same scene, by tables of reflectances; the same seed gives the same pixels.

A scene is a map of materials: sky, vegetation, walls and a road, with persons, bicycles and cars on it. Each material
has a colour and a reflectance in near-infrared, both with a spread from object to object. So NIR holds what RGB lacks:
vegetation is bright, the sky is dark, dyed cloth is bright whatever its colour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


HEIGHT, WIDTH = 96, 128
CLASSES = ("person", "bicycle", "car")
_SCALE = 2  # drawn larger, for smooth edges

# reflectance in red, green, blue and near-infrared, and its spread from object to object
_MATERIALS: dict[str, tuple[tuple[float, float, float, float], tuple[float, float, float, float]]] = {
    "sky": ((0.55, 0.68, 0.90), 0.12, 0.08, 0.05),
    "vegetation": ((0.16, 0.30, 0.12), 0.75, 0.05, 0.10),
    "wall": ((0.52, 0.46, 0.40), 0.50, 0.12, 0.10),
    "road": ((0.33, 0.33, 0.34), 0.30, 0.05, 0.04),
    "cloth": ((0.35, 0.35, 0.35), 0.62, 0.28, 0.08),
    "skin": ((0.72, 0.52, 0.42), 0.60, 0.10, 0.05),
    "paint": ((0.45, 0.45, 0.45), 0.42, 0.30, 0.15),
    "glass": ((0.16, 0.18, 0.20), 0.08, 0.03, 0.02),
    "rubber": ((0.07, 0.07, 0.07), 0.06, 0.02, 0.02),
    "frame": ((0.40, 0.30, 0.30), 0.10, 0.25, 0.04),
}  # type: ignore[dict-item]


@dataclass(frozen=True)
class Scene:
    """A frame in both spectra, with its objects."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    nir: NDArray[np.uint8]  # (H, W)
    boxes: tuple[tuple[str, tuple[int, int, int, int]], ...]  # class, and COCO xywh in pixels


class _Canvas:
    """A map of materials, drawn back to front."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.map = Image.new("I", (WIDTH * _SCALE, HEIGHT * _SCALE))
        self.draw = ImageDraw.Draw(self.map)
        self.spectra: list[NDArray[np.float64]] = []

    def take(self, material: str) -> int:
        """Return the number of a new piece of a material."""
        colour, nir, spread, nir_spread = _MATERIALS[material]
        tint = (
            self.random.normal(0, spread, 3)
            if material in {"cloth", "paint", "frame"}
            else self.random.normal(0, spread)
        )
        values = np.append(np.array(colour) + tint, nir + self.random.normal(0, nir_spread))
        self.spectra.append(np.clip(values, 0.02, 0.98))
        return len(self.spectra) - 1

    def place(self, *points: float) -> list[float]:
        """Return coordinates of the map from those of the frame."""
        return [point * _SCALE for point in points]


def draw_scene(seed: Sequence[int]) -> Scene:
    """Draw a frame; `seed` are whole numbers."""
    random = np.random.default_rng(list(seed))
    canvas = _Canvas(random)
    horizon = int(random.integers(30, 46))
    _draw_ground(canvas, horizon)
    placed: list[tuple[str, tuple[int, int, int, int]]] = []
    count = int(random.integers(1, 5))
    bottoms = np.sort(random.uniform(horizon + 12, HEIGHT - 2, count))  # the nearest are drawn last
    for bottom in bottoms:
        name = CLASSES[int(random.choice(3, p=(0.35, 0.3, 0.35)))]
        near = (bottom - horizon) / (HEIGHT - horizon)
        height = {"person": 14 + 34 * near, "bicycle": 11 + 20 * near, "car": 11 + 20 * near}[name]
        width = height * {"person": 0.42, "bicycle": 1.5, "car": 1.9}[name] * random.uniform(0.9, 1.1)
        x = random.uniform(1, max(2.0, WIDTH - width - 1))
        box = (round(x), round(bottom - height), max(4, round(min(width, WIDTH - x - 1))), max(6, round(height)))
        if any(_shared(box, other) > 0.2 for _, other in placed):
            continue
        {"person": _draw_person, "bicycle": _draw_bicycle, "car": _draw_car}[name](canvas, *box)
        placed.append((name, box))
    spectra = np.stack(canvas.spectra)[np.asarray(canvas.map)]
    spectra = spectra.reshape(HEIGHT, _SCALE, WIDTH, _SCALE, 4).mean(axis=(1, 3))
    spectra *= random.uniform(0.75, 1.15)  # exposure
    spectra += random.normal(0, 0.025, spectra.shape)
    values = (np.clip(spectra, 0, 1) ** (1 / 1.8) * 255).round().astype(np.uint8)
    return Scene(np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]), tuple(placed))


def to_grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of a frame, (H, W)."""
    return np.asarray(Image.fromarray(rgb).convert("L"))


def write_frames(
    out: Path, images: Sequence[tuple[str, NDArray[np.uint8], Sequence[tuple[str, tuple[int, ...]]], dict[str, Any]]]
) -> None:
    """Write PNG files below `out`, and beside it their COCO file; an image is name, pixels, boxes and other keys."""
    entries, annotations = [], []
    for number, (name, pixels, boxes, others) in enumerate(images, start=1):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        entries.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH} | others)
        annotations += [
            {"image_id": number, "category_id": CLASSES.index(category) + 1, "bbox": list(box), "iscrowd": 0}
            | {"area": box[2] * box[3]}
            for category, box in boxes
        ]
    annotations = [{"id": number} | each for number, each in enumerate(annotations, start=1)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    out.with_suffix(".json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def _draw_ground(canvas: _Canvas, horizon: int) -> None:
    random = canvas.random
    canvas.draw.rectangle(canvas.place(0, 0, WIDTH, HEIGHT), fill=canvas.take("sky"))
    canvas.draw.rectangle(canvas.place(0, horizon, WIDTH, HEIGHT), fill=canvas.take("vegetation"))
    middle, half = random.uniform(40, WIDTH - 40), random.uniform(50, 90)
    road = [middle - 6, horizon, middle + 6, horizon, middle + half, HEIGHT, middle - half, HEIGHT]
    canvas.draw.polygon(canvas.place(*road), fill=canvas.take("road"))
    for _ in range(int(random.integers(1, 4))):
        x, width, height = random.uniform(0, WIDTH), random.uniform(12, 34), random.uniform(8, 26)
        canvas.draw.rectangle(canvas.place(x, horizon - height, x + width, horizon + 2), fill=canvas.take("wall"))
    for _ in range(int(random.integers(2, 7))):
        x, radius = random.uniform(0, WIDTH), random.uniform(5, 15)
        y = horizon - random.uniform(-6, 8)
        crown = canvas.place(x - radius, y - radius, x + radius, y + radius)
        canvas.draw.ellipse(crown, fill=canvas.take("vegetation"))


def _draw_person(canvas: _Canvas, x: int, y: int, width: int, height: int) -> None:
    head = 0.2 * height
    middle = x + width / 2
    top, legs = canvas.take("cloth"), canvas.take("cloth")
    canvas.draw.rectangle(canvas.place(x, y + head, x + width, y + 0.58 * height), fill=top)
    for left in (x + 0.12 * width, x + 0.56 * width):
        canvas.draw.rectangle(canvas.place(left, y + 0.58 * height, left + 0.32 * width, y + height), fill=legs)
    skull = canvas.place(middle - head / 2, y, middle + head / 2, y + head)
    canvas.draw.ellipse(skull, fill=canvas.take("skin"))


def _draw_bicycle(canvas: _Canvas, x: int, y: int, width: int, height: int) -> None:
    radius, tyre, frame = 0.34 * height, canvas.take("rubber"), canvas.take("frame")
    thick = max(2, round(0.09 * height * _SCALE))
    hubs = [(x + radius, y + height - radius), (x + width - radius, y + height - radius)]
    for hub_x, hub_y in hubs:
        canvas.draw.ellipse(
            canvas.place(hub_x - radius, hub_y - radius, hub_x + radius, hub_y + radius), outline=tyre, width=thick
        )
    saddle, bar = (x + 0.36 * width, y + 0.08 * height), (x + 0.72 * width, y)
    for start, end in ((hubs[0], saddle), (saddle, bar), (bar, hubs[1]), (hubs[0], bar), (saddle, hubs[1])):
        canvas.draw.line(canvas.place(*start, *end), fill=frame, width=thick)


def _draw_car(canvas: _Canvas, x: int, y: int, width: int, height: int) -> None:
    paint, glass, tyre = canvas.take("paint"), canvas.take("glass"), canvas.take("rubber")
    cabin = [
        x + 0.18 * width,
        y + 0.42 * height,
        x + 0.3 * width,
        y,
        x + 0.72 * width,
        y,
        x + 0.86 * width,
        y + 0.42 * height,
    ]
    canvas.draw.polygon(canvas.place(*cabin), fill=paint)
    pane = [x + 0.27 * width, y + 0.4 * height, x + 0.35 * width, y + 0.1 * height]
    pane += [x + 0.68 * width, y + 0.1 * height, x + 0.77 * width, y + 0.4 * height]
    canvas.draw.polygon(canvas.place(*pane), fill=glass)
    canvas.draw.rectangle(canvas.place(x, y + 0.4 * height, x + width, y + 0.84 * height), fill=paint)
    radius = 0.19 * height
    for hub in (x + 0.22 * width, x + 0.78 * width):
        wheel = canvas.place(hub - radius, y + height - 2 * radius, hub + radius, y + height)
        canvas.draw.ellipse(wheel, fill=tyre)


def _shared(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Return the overlap of two boxes as a share of the smaller one."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height) / min(one[2] * one[3], other[2] * other[3])
