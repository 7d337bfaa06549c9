"""What tests of labels need: a file of JSON, and its conversion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.labels import Policy, Source, convert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def save_json(tmp_path: Path) -> Callable[..., Path]:
    """Write values as JSON, by default to `labels.json`."""

    def write(values: Any, name: str = "labels.json") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
        return path

    return write


@pytest.fixture
def converted() -> Callable[..., dict[str, Any]]:
    """What a labels file holds that files or folders are converted to."""

    def run(*paths: Path, policy: str | Path = "identity", **options: Any) -> dict[str, Any]:
        document = convert([Source.parse(str(path)) for path in paths], Policy.load(policy), **options)
        return json.loads(b"".join(document.chunks()))

    return run


@pytest.fixture
def counts(converted: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """What a labels file says became of the labels."""

    def run(*paths: Path, **options: Any) -> dict[str, Any]:
        return converted(*paths, **options)["info"]["nirgen"]["counts"]

    return run


@pytest.fixture
def coco() -> Callable[..., dict[str, Any]]:
    """A COCO file of one image of 100x80 pixels, `a.jpg`, with a box for each pair of category and box."""

    def make(*boxes: tuple[str, list[float]], **more: Any) -> dict[str, Any]:
        names = sorted({name for name, _ in boxes})
        return {
            "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 80}],
            "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
            "annotations": [
                {"id": number, "image_id": 7, "category_id": names.index(name) + 1, "bbox": box}
                for number, (name, box) in enumerate(boxes, start=11)
            ],
            **more,
        }

    return make
