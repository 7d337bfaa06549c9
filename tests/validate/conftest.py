"""A sound COCO file, and a sound dataset by the real builder, for tests to damage."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from nirgen.files import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.validate import Report


CATEGORIES = [
    {"id": 1, "name": "person", "supercategory": "human"},
    {"id": 2, "name": "bicycle", "supercategory": "two-wheeler"},
    {"id": 3, "name": "car", "supercategory": "motor vehicle"},
]
WIDTH, HEIGHT = 48, 32
MODEL_ID = "5" * 64


def _annotation(number: int, image: int, category: int, bbox: list[float], iscrowd: int = 0) -> dict[str, Any]:
    keys = {"id": number, "image_id": image, "category_id": category, "bbox": bbox}
    return keys | {"area": bbox[2] * bbox[3], "iscrowd": iscrowd}


def _save(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def coco() -> dict[str, Any]:
    """Annotations of three images, in which nothing is wrong."""
    return {
        "images": [{"id": id_, "file_name": f"{id_}.png", "width": WIDTH, "height": HEIGHT} for id_ in (1, 2, 3)],
        "annotations": [
            _annotation(1, 1, 1, [1, 2, 10, 20]),
            _annotation(2, 1, 3, [20, 10, 20, 12]),
            _annotation(3, 2, 2, [5, 5, 8, 8]),
            _annotation(4, 2, 3, [0, 0, 48, 32], iscrowd=1),
            _annotation(5, 3, 3, [10.5, 8.25, 12, 10]),
        ],
        "categories": [dict(category) for category in CATEGORIES],
    }


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    """Store annotations as a file; images 1.png to 3.png lie in `images/` beside it."""
    for number in (1, 2, 3):
        _save(tmp_path / "images" / f"{number}.png", number)

    def write(values: Any, name: str = "train.json") -> Path:
        (tmp_path / name).write_text(json.dumps(values))
        return tmp_path / name

    return write


@pytest.fixture
def found(store: Callable[..., Path], tmp_path: Path) -> Callable[..., dict[str, int]]:
    """Validate annotations with their images; how often each check found something."""
    from nirgen.validate import validate_coco

    def validate(*files: dict[str, Any], **options: Any) -> dict[str, int]:
        paths = [store(values, name) for values, name in zip(files, ("train.json", "val.json"), strict=False)]
        return counts(validate_coco(paths, [tmp_path / "images"], **options))

    return validate


def counts(report: Report) -> dict[str, int]:
    return {finding.check: finding.count for finding in report.findings}


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder: four generated images, six real ones in three splits, all formats. Tests leave it as it is."""
    from nirgen.dataset.build import build
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.planner import make_plan

    root = tmp_path_factory.mktemp("sound")
    _translate(root)
    names = ["train/0", "train/1", "val/2", "val/3", "test/4", "test/5"]
    for seed, name in enumerate(names, start=10):
        _save(root / "real" / f"{name}.png", seed)
    settings = {
        "generated": [{"origin": "bdd", "folder": root / "nir", "labels": _rgb_labels(root)}],
        "real": [{"origin": "ranus", "folder": root / "real", "labels": _real_labels(root, names)}],
        "formats": ["yolo", "hf", "rfdetr"],
    }
    build(make_plan(DatasetConfig.read(settings, where="test")), root / "D")
    return root / "D"


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound dataset, to damage."""
    return shutil.copytree(sound, tmp_path / "D")


@pytest.fixture
def faults(dataset: Path) -> Callable[..., dict[str, int]]:
    """Validate the dataset; how often each check found something."""
    from nirgen.validate import Options, validate_dataset

    def validate(**options: Any) -> dict[str, int]:
        return counts(validate_dataset(dataset, Options(**options)))

    return validate


@pytest.fixture
def edit(dataset: Path) -> Callable[..., None]:
    """Change a JSON file of the dataset; unless it is dataset.json, its hash there is made to fit."""

    def change(name: str, how: Callable[[dict[str, Any]], Any]) -> None:
        path = dataset / name
        sealed = name == "dataset.json"
        values = json.loads(path.read_text())
        values = unseal(values) if sealed else values
        how(values)
        path.write_text(json.dumps(seal(values) if sealed else values))
        if not sealed:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            change("dataset.json", lambda info: info["files"].update({name: sha256}))

    return change


def _translate(root: Path) -> None:
    """RGB sources and what `nirgen translate` would have written of them."""
    from nirgen.translate.items import Row
    from nirgen.translate.manifest import Manifest, write_manifest

    rows = []
    for number in range(4):
        source, output = f"seq{number // 2}/{number}.jpg", f"seq{number // 2}/{number}.png"
        rgb, nir = _save(root / "rgb" / source, number), _save(root / "nir" / output, 100 + number)
        hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (rgb, nir)]
        size = {"source_width": WIDTH, "source_height": HEIGHT, "width": WIDTH, "height": HEIGHT}
        files = {"source_sha256": hashes[0], "output": output, "output_sha256": hashes[1]}
        rows.append(Row(source=source, model_id=MODEL_ID, options_id="6" * 64, status="done", **files, **size))
    model = {"architecture": {}, "licence": "CC0-1.0", "training": {}}
    write_manifest(root / "nir", Manifest(tuple(rows), "0.1.0", {"format": "png", "channels": 1}, model))
    (root / "nir" / "run.json").write_text(json.dumps({"source": str(root / "rgb")}))


def _rgb_labels(root: Path) -> Path:
    boxes = {"pedestrian": (1, 2, 11, 22), "truck": (20, 10, 40, 22), "train": (0, 0, 18, 6)}
    labels = [
        {"id": name, "category": name, "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}
        for name, box in boxes.items()
    ]
    labels[0]["attributes"] = {"occluded": True, "truncated": False}
    frames = [{"name": f"{number}.jpg", "videoName": f"seq{number // 2}", "labels": labels} for number in range(4)]
    return _write_json(root / "det.json", {"frames": frames, "config": {"imageSize": {"width": 48, "height": 32}}})


def _real_labels(root: Path, names: list[str]) -> Path:
    images = [
        {"id": id_, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
        | {"split": name.partition("/")[0], "sequence": f"drive {id_}"}
        for id_, name in enumerate(names, start=1)
    ]
    boxes = [_annotation(id_, id_, 1 + id_ % 3, [2, 3, 10, 12]) for id_ in range(1, len(names) + 1)]
    return _write_json(root / "real.json", {"images": images, "annotations": boxes, "categories": CATEGORIES})


def _write_json(path: Path, values: Any) -> Path:
    path.write_text(json.dumps(values))
    return path
