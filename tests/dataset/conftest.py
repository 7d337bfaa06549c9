"""A plan that is small enough to see through: four generated images, three real ones, eleven annotations."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.plan import Generator, LabelInput, LeftOut, Plan, PlannedImage
from nirgen.labels.file import Category, LabelledImage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


PERSON, BICYCLE, CAR = 1, 2, 3

ANNOTATIONS: dict[str, list[dict[str, Any]]] = {
    "bdd/a.jpg": [
        {"source_key": "7", "category_id": CAR, "bbox": [10, 20, 31, 11], "source_category": "truck"},
        {"source_key": "10", "category_id": PERSON, "bbox": [0, 0, 4, 8], "source_category": "rider"},
        {"source_key": "3", "category_id": CAR, "bbox": [30, 0, 20, 20], "source_category": "train", "iscrowd": 1},
    ],
    "bdd/b.jpg": [],
    "bdd/n/c.jpg": [{"source_key": "@0", "category_id": CAR, "bbox": [5, 5, 0.0009, 9], "source_category": "car"}],
    "bdd/n/d.jpg": [
        {"source_key": "1", "category_id": BICYCLE, "bbox": [2, 2, 20, 10], "attributes": {"occluded": True}},
    ],
    "ranus/01/a.png": [{"source_key": "1", "category_id": CAR, "bbox": [1, 2, 10, 5], "derived": "mask"}],
    "ranus/02/b.png": [
        {"source_key": "2", "category_id": PERSON, "bbox": [0, 0, 5.5, 10.25]},
        {
            "source_key": "3",
            "category_id": BICYCLE,
            "bbox": [10, 2, 4, 4],
            "area": 12,
            "segmentation": [[10, 2, 14, 2, 14, 6]],
        },
        {"source_key": "4", "category_id": CAR, "bbox": [12, 4, 8, 6]},
    ],
    "ranus/03/c.jpg": [
        {"source_key": "5", "category_id": CAR, "bbox": [0, 0, 30, 20], "iscrowd": 1, "source_category": "train"},
    ],
}
SPLITS = {"ranus/02/b.png": "val", "ranus/03/c.jpg": "test"}
CATEGORIES = (
    Category(PERSON, "person", "human"),
    Category(BICYCLE, "bicycle", "two-wheeler"),
    Category(CAR, "car", "motor vehicle"),
)


@pytest.fixture
def labelled_as() -> Callable[..., LabelledImage]:
    """Make the label entry of an image."""

    def make(file_name: str, size: tuple[int, int], annotations: list[dict[str, Any]], **extra: Any) -> LabelledImage:
        raws = []
        for values in annotations:
            x_y_w_h = values["bbox"]
            name = {PERSON: "person", BICYCLE: "bicycle", CAR: "car"}[values["category_id"]]
            own = {"iscrowd": 0, "area": x_y_w_h[2] * x_y_w_h[3], "id": 1, "image_id": 1, "source_category": name}
            raws.append(msgspec.Raw(msgspec.json.encode(own | values)))
        return LabelledImage(file_name, size[0], size[1], None, None, {}, extra, tuple(raws))

    return make


@pytest.fixture
def make_small_plan(labelled_as: Callable[..., LabelledImage]) -> Callable[..., Plan]:
    """Make the plan and its images, 30x20 pixels, in a folder; generated ones were labelled at 60x40."""

    def make(folder: Path, **settings: Any) -> Plan:
        planned = []
        for seed, (key, on_it) in enumerate(ANNOTATIONS.items()):
            origin, _, name = key.partition("/")
            generated = origin == "bdd"
            target = name.replace(".jpg", ".png") if generated else name
            path = folder / origin / target
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(seed).integers(0, 256, (20, 30), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
            data = path.read_bytes()
            planned.append(
                PlannedImage(
                    key=key,
                    origin=origin,
                    kind="generated" if generated else "real",
                    split=SPLITS.get(key, "train"),
                    path=path,
                    sha256=hashlib.sha256(data).hexdigest(),
                    size_bytes=len(data),
                    width=30,
                    height=20,
                    target=f"images/{origin}/{target}",
                    labels=labelled_as(name, (60, 40) if generated else (30, 20), on_it, source_id=seed),
                    label_file=0 if generated else 1,
                    generator=0 if generated else None,
                    source=name if generated else None,
                    source_sha256="5" * 64 if generated else None,
                    model_id="abcdef12" * 8 if generated else None,
                    options_id="0" * 64 if generated else None,
                    sequence=None if generated else name[:2],
                )
            )
        inputs = {
            "generated": [{"origin": "bdd", "folder": folder / "bdd", "labels": folder / "bdd.json"}],
            "real": [{"origin": "ranus", "folder": folder / "ranus", "labels": folder / "ranus.json"}],
        }
        config = DatasetConfig.read(inputs | settings, where="the test")
        digest = hashlib.sha256(config.model_dump_json(exclude={"generated", "real"}).encode()).hexdigest()
        return Plan(
            config=config,
            categories=CATEGORIES,
            label_files=(
                LabelInput("bdd", "bdd.json", "1" * 64, "default", _COUNTS, ()),
                LabelInput("ranus", "ranus.json", "2" * 64, "identity", {}, ({"id": 3, "name": "CC BY 4.0"},)),
            ),
            generators=(
                Generator("bdd", "abcdef12" * 8, "0" * 64, {"format": "png"}, "unknown", {}, {"steps": 9}, 12, "0.1.0"),
            ),
            training=(),
            images=tuple(planned),
            matched=(),
            left_out=(LeftOut("bdd", "failed", 2, ("x|y.jpg", "z.jpg")),),
            leaks=(),
            notes=(),
            inputs={},
            digest=digest,
        )

    return make


_COUNTS = {
    "names": [
        {"name": "car", "labels": 9, "became": "car", "written": 9},
        {"name": "traffic light", "labels": 4, "became": "dropped", "written": 0},
    ],
    "lost": {"no width or height": 2},
}


@pytest.fixture
def small_plan(make_small_plan: Callable[..., Plan], tmp_path: Path) -> Plan:
    return make_small_plan(tmp_path / "inputs")


@pytest.fixture
def with_image() -> Callable[..., Plan]:
    """A plan in which one image, given by its position, is otherwise."""

    def change(plan: Plan, position: int, **changes: Any) -> Plan:
        images = list(plan.images)
        images[position] = replace(images[position], **changes)
        return replace(plan, images=tuple(images))

    return change
