"""What `nirgen labels` writes of any document that it accepts is accepted by all that read it."""

from __future__ import annotations

import contextlib
import io
import json
import random
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from pycocotools.coco import COCO

from nirgen.dataset.annotations import label_images
from nirgen.dataset.build import build
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.planner import make_plan
from nirgen.errors import NirgenError
from nirgen.labels import LabelFile, Policy, Source, convert
from nirgen.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


DOCUMENTS = 120
NAMES = ("a.png", "b.png", "c/d.png")
CLASSES = ("person", "car", "bicycle", "traffic light", "Person", "train")
STRANGE = (None, "", "1", 1.0, 2, -1, True, [], {}, [1], {"a": None}, "text", 1e18, [None], "nan")
SEGMENTATIONS = (
    [], [[]], [[1, 2, 30, 2, 30, 40]], [1, 2, 30, 2, 30, 40], [[1, 2]], [[1, 2, 30, None, 30, 40]], [["1", "2"] * 3],
    {"size": [48, 64], "counts": [5, 3067]}, {"size": [48, 64], "counts": [-5, 3077]}, {"size": [8, 8], "counts": [64]},
    {"size": ["48", "64"], "counts": [3072]}, {"size": [48, 64], "counts": "garbage"},
    {"size": [48, 64], "counts": "P"},
    [[1, 2, 30, 2, 30, 40], [5, 5, 6]], "text", 7, [[[1, 2], [3, 4], [5, 6]]],
)  # fmt: skip
POINTS = ([], [1, 2, 2], [None, 2, 2], [1, 2], "text", [1.5, 2, 0] * 5, [[1, 2, 2]])


class _Maker:
    """Documents in which any value may be of another kind than it should be."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.oddity = self.random.choice([0.0, 0.01, 0.05])

    def odd(self, value: Any, *others: Any) -> Any:
        return self.random.choice(others or STRANGE) if self.random.random() < self.oddity else value

    def number(self, value: Any) -> Any:
        return self.random.choice([value, value, value, float(value), str(value)])

    def box(self) -> Any:
        numbers = [self.random.uniform(-5, 60), self.random.uniform(-5, 44), *self.random.choices((12, 30.5, 0.4), k=2)]
        numbers = [self.odd(value, -value, str(value), 0, 1e9, None) for value in numbers]
        return self.odd(numbers, [], None, numbers[:3], "text")

    def coco(self) -> dict[str, Any]:
        names = self.random.sample(CLASSES, 3)
        categories = [
            {"id": self.number(n), "name": name} for n, name in enumerate(names, start=self.random.randint(0, 1))
        ]
        ids = [category["id"] for category in categories]
        images = [
            {"id": self.number(n), "file_name": name, "width": self.number(64), "height": self.number(48)}
            for n, name in enumerate(NAMES)
        ]
        annotations = [
            {
                "id": self.odd(number),
                "image_id": self.number(self.random.randrange(3)),
                "category_id": self.random.choice(ids),
                "bbox": self.box(),
                "area": self.odd(100, 0, -3, None, "12", 1e12),
                "iscrowd": self.odd(0, 1, True, "1", None, 1.0),
            }
            for number in range(6)
        ]
        for one in annotations:
            if self.random.random() < 0.4:
                one["segmentation"] = self.random.choice(SEGMENTATIONS)
            if self.random.random() < 0.2:
                one["keypoints"] = self.random.choice(POINTS)
            if self.random.random() < 0.3:
                one["attributes"] = self.odd(
                    {"rotation": self.random.choice([0, 90, 33.3, "45"]), "ignored": self.odd(0)}
                )
        for entry in (*images, *annotations, *categories):
            if self.random.random() < self.oddity:
                strange = ("license", "supercategory", "sequence", "split", "derived", "key", "origin", "score", "info")
                entry[self.random.choice(strange)] = self.random.choice(STRANGE)
        document = {"images": images, "annotations": annotations, "categories": categories}
        document |= {key: self.odd([]) for key in ("licenses", "videos") if self.random.random() < 0.3}
        return document | {"info": self.odd({"year": 1})}

    def scalabel(self) -> list[Any]:
        labels = [
            {
                "id": self.odd(str(number)),
                "category": self.odd(self.random.choice(CLASSES)),
                "box2d": self.odd(
                    dict(zip(("x1", "y1", "x2", "y2"), self.random.choices(range(48), k=4), strict=True))
                ),
                "attributes": self.odd({"crowd": self.odd(False), "rotation": 0}),
                "score": self.odd(1),
            }
            for number in range(4)
        ]
        size = {"width": 64, "height": 48}
        return [{"name": name, "size": size, "labels": self.odd(labels), "timestamp": self.odd(1)} for name in NAMES]


def _accepted(path: Path, policy: str, out: Path) -> bool:
    try:
        convert([Source(path, "train")], Policy.load(policy), unknown="drop").write(out)
    except NirgenError:
        return False
    return True


def _config(folder: Path, *files: Path) -> DatasetConfig:
    real = [{"origin": file.stem, "folder": folder, "labels": file} for file in files]
    values = {"real": real, "splits": {"train": 1.0}, "split_by": "frame", "include_unlabelled": True}
    return DatasetConfig.read(values, where="the test")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """What was written of all documents that were accepted, by policy."""
    folder = tmp_path_factory.mktemp("outputs")
    found: dict[str, list[Path]] = {"identity": [], "default": []}
    for seed in range(DOCUMENTS):
        maker = _Maker(seed)
        path = folder / f"{seed}.json"
        path.write_text(json.dumps(maker.scalabel() if seed % 5 == 4 else maker.coco()))
        for policy, files in found.items():
            if _accepted(path, policy, folder / f"{policy}{seed}.json"):
                files.append(folder / f"{policy}{seed}.json")
    return found


@pytest.fixture
def images(tmp_path: Path, save: Callable[..., Path]) -> Path:
    """Images of half the labelled size, so that everything is scaled."""
    for seed, name in enumerate(NAMES):
        save(tmp_path / "images" / name, 24, 32, seed, grey=True)
    return tmp_path / "images"


def test_enough_documents_are_accepted_and_some_are_refused(outputs: dict[str, list[Path]]) -> None:
    assert {policy: DOCUMENTS // 2 < len(files) < DOCUMENTS for policy, files in outputs.items()} == {
        "identity": True,
        "default": True,
    }


def test_files_open_again_and_stay_as_they_are(outputs: dict[str, list[Path]], tmp_path: Path) -> None:
    for file in outputs["identity"]:
        first = LabelFile.read(file)
        assert _accepted(file, "identity", tmp_path / "again.json")
        again = LabelFile.read(tmp_path / "again.json")
        assert [list(map(bytes, image.annotations)) for image in first.images] == [
            list(map(bytes, image.annotations)) for image in again.images
        ]


@pytest.mark.parametrize("policy", ["identity", "default"])
def test_validate_and_pycocotools_find_no_error(outputs: dict[str, list[Path]], policy: str) -> None:
    for file in outputs[policy]:
        errors = [found for found in validate([file]).findings if found.about.severity == "error"]
        assert (file.name, errors) == (file.name, [])
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(file))
        for one in coco.dataset["annotations"]:
            if "segmentation" in one:
                with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools' own
                    assert coco.annToMask(one).shape == (48, 64)


def test_a_dataset_is_built_of_all_of_them(outputs: dict[str, list[Path]], images: Path, tmp_path: Path) -> None:
    for file in outputs["identity"]:
        labelled = list(label_images(make_plan(_config(images, file))))
        assert len(labelled) == len(NAMES)
    build(make_plan(_config(images, *outputs["default"])), tmp_path / "d")
    errors = [found for found in validate([tmp_path / "d"]).findings if found.about.severity == "error"]
    assert errors == []
