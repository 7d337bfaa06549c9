"""A small dataset by the real builder, one with a name that would break a careless page, and hand-made items."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest

from nirgen.dataset.read import Box, Image
from nirgen.scores import IMAGE_SCORES, BoxScores, ItemScores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


EVIL = '<img src=x onerror="alert(1)">&\'é木.jpg'
"""A name of a source file that is markup."""


@pytest.fixture
def item() -> Callable[..., Image]:
    """Make an item by hand; boxes are (class, x, y, width, height), of class `ignore` a region to ignore."""

    def make(key: str, boxes: Sequence[tuple[str, float, float, float, float]] = (), **other: Any) -> Image:
        values: dict[str, Any] = {
            "key": key,
            "id": 1,
            "split": "train",
            "origin": key.partition("/")[0],
            "generated": True,
            "path": Path("gone.png"),
            "width": 96,
            "height": 64,
            "sha256": "1" * 64,
            "input_sha256": "1" * 64,
            "rgb": None,
            "rgb_name": None,
            "rgb_sha256": None,
            "attributes": {},
            "sequence": None,
            "model_id": None,
        }
        made = tuple(
            Box(
                key=f"{key}#{number}",
                id=number,
                category="car" if name == "ignore" else name,
                bbox=(x, y, width, height),
                area=width * height,
                ignored=name == "ignore",
                source_category=name,
                flags=("region to ignore",) if name == "ignore" else (),
            )
            for number, (name, x, y, width, height) in enumerate(boxes, start=1)
        )
        return Image(**values | other, boxes=made)

    return make


class GivenScores:
    """Scores that a test gives: the trouble of images by key, and of boxes by key."""

    def __init__(self, images: Mapping[str, Mapping[str, float]], boxes: Mapping[str, BoxScores] | None = None) -> None:
        self.images, self.boxes = images, boxes or {}

    def of(self, item: Image) -> ItemScores:
        given = self.images.get(item.key, {})
        boxes = tuple(self.boxes.get(box.key, BoxScores()) for box in item.boxes)
        return ItemScores({name: given.get(name) for name in IMAGE_SCORES}, boxes)


class GivenItems:
    """A collection of hand-made items."""

    def __init__(self, items: Sequence[Image]) -> None:
        self._items = sorted(items, key=lambda item: item.key)
        self.count = len(items)

    def items(self) -> Iterator[Image]:
        return iter(self._items)


@pytest.fixture
def given_scores() -> type[GivenScores]:
    return GivenScores


@pytest.fixture
def given_items() -> type[GivenItems]:
    return GivenItems


@pytest.fixture
def save_scene() -> Callable[..., Path]:
    return _save_scene


@pytest.fixture(scope="session")
def evil() -> str:
    return EVIL


@pytest.fixture(scope="session")
def make_dataset() -> Callable[[Path], Path]:
    """Build a dataset in a folder: three generated images, and two real ones, one of a scene that is generated too."""
    return _make_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_dataset(tmp_path_factory.mktemp("reported"))


def _make_dataset(root: Path) -> Path:
    from nirgen.dataset.build import build
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.planner import make_plan
    from nirgen.translate.items import Row
    from nirgen.translate.manifest import Manifest, write_manifest

    rows, frames = [], []
    for seed, name in enumerate((EVIL, "b.jpg", "c.jpg")):
        rgb = _save_scene(root / "rgb" / name, seed, colour=True)
        nir = _save_scene((root / "nir" / name).with_suffix(".png"), seed)
        files = {"source_sha256": _sha256(rgb), "output": nir.name, "output_sha256": _sha256(nir)}
        size = {"source_width": 96, "source_height": 64, "width": 96, "height": 64}
        rows.append(Row(source=name, model_id="5" * 64, options_id="6" * 64, status="done", **files, **size))
        labels = [
            {"id": "7", "category": "car", "box2d": {"x1": 20, "y1": 16, "x2": 60, "y2": 48}},
            {"id": "8", "category": "person", "box2d": {"x1": 66, "y1": 8, "x2": 78, "y2": 40}},
            {"id": "9", "category": "train", "box2d": {"x1": 0, "y1": 0, "x2": 10, "y2": 10}},
        ]
        frames.append({"name": name, "attributes": {"timeofday": "night" if seed == 1 else "day"}, "labels": labels})
    write_manifest(root / "nir", Manifest(tuple(rows), "0.1.0", {"format": "png"}, {"licence": "CC0-1.0"}))
    (root / "nir/run.json").write_text(json.dumps({"source": str(root / "rgb")}))
    (root / "det.json").write_text(json.dumps({"frames": frames, "config": {"imageSize": {"width": 96, "height": 64}}}))
    lines = ["name,rgb,nir,sequence,split,category,rgb_sha256,nir_sha256"]
    for seed, name in ((2, "twin"), (9, "other")):
        rgb = root / "rgb/c.jpg" if seed == 2 else _save_scene(root / "camera/rgb" / f"{name}.jpg", seed, colour=True)
        nir = _save_scene(root / "camera/nir" / f"{name}.png", seed)
        place = "rgb/c.jpg" if seed == 2 else f"camera/rgb/{name}.jpg"
        lines.append(f"{name},{place},camera/nir/{name}.png,{name},train,,{_sha256(rgb)},{_sha256(nir)}")
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    real = {
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": 96, "height": 64, "split": "train"}
            for number, name in enumerate(("twin", "other"), start=1)
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 20], "area": 600, "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "car"}],
    }
    (root / "real.json").write_text(json.dumps(real))
    settings = {
        "generated": [{"origin": "bdd", "folder": root / "nir", "labels": root / "det.json"}],
        "real": [
            {"origin": "cam", "folder": root / "camera/nir", "labels": root / "real.json", "pairs": root / "pairs.csv"}
        ],
    }
    build(make_plan(DatasetConfig.read(settings, where="test")), root / "D")
    return root / "D"


def _save_scene(path: Path, seed: int, *, colour: bool = False) -> Path:
    """An object on textured ground, 64x96 pixels."""
    random = np.random.default_rng(seed)
    pixels = random.integers(70, 110, (64, 96), dtype=np.uint8)
    pixels[16:48, 20:60] = random.integers(150, 220, (32, 40), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.stack([pixels, pixels // 2, pixels // 3], 2) if colour else pixels).save(path)
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
