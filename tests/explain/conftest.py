"""A small dataset by the real builder, to be explained."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


SOURCE = "seq/a.jpg"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated image of half its source's size with two boxes and a region to ignore, and a real one."""
    from nirgen.dataset.build import build
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.planner import make_plan
    from nirgen.translate.items import Row
    from nirgen.translate.manifest import Manifest, write_manifest

    root = tmp_path_factory.mktemp("explained")
    rgb, nir = _save(root / "rgb" / SOURCE, 64, 96), _save(root / "nir/seq/a.png", 32, 48)
    _save(root / "real/b.png", 32, 48)
    files = {"source_sha256": _sha256(rgb), "output": "seq/a.png", "output_sha256": _sha256(nir)}
    size = {"source_width": 96, "source_height": 64, "width": 48, "height": 32}
    row = Row(source=SOURCE, model_id="5" * 64, options_id="6" * 64, status="done", **files, **size)
    write_manifest(root / "nir", Manifest((row,), "0.1.0", {"format": "png"}, {"licence": "CC0-1.0"}))
    (root / "nir/run.json").write_text(json.dumps({"source": str(root / "rgb")}))
    labels = [
        {"id": "7", "category": "truck", "attributes": {"occluded": True}, "box2d": _corners(20, 10, 40, 30)},
        {"id": "8", "category": "person", "box2d": _corners(2, 4, 22, 44)},
        {"id": "9", "category": "train", "box2d": _corners(0, 0, 10, 10)},
    ]
    frames = [{"name": "a.jpg", "videoName": "seq", "attributes": {"weather": "rainy"}, "labels": labels}]
    config = {"imageSize": {"width": 96, "height": 64}}
    (root / "det.json").write_text(json.dumps({"frames": frames, "config": config}))
    real = {
        "images": [{"id": 5, "file_name": "b.png", "width": 48, "height": 32, "split": "train"}],
        "annotations": [],
        "categories": [{"id": 1, "name": "car"}],
    }
    (root / "real.json").write_text(json.dumps(real))
    settings = {
        "generated": [{"origin": "bdd", "folder": root / "nir", "labels": root / "det.json"}],
        "real": [{"origin": "ranus", "folder": root / "real", "labels": root / "real.json"}],
    }
    build(make_plan(DatasetConfig.read(settings, where="test")), root / "D")
    return root / "D"


def _save(path: Path, height: int, width: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(height).integers(0, 256, (height, width), dtype=np.uint8)).save(path)
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _corners(x1: int, y1: int, x2: int, y2: int) -> dict[str, int]:
    return {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
