from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nirgen.explain import explain

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "seq/a.jpg"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_annotation_leads_to_its_label_source_model_and_steps(dataset: Path) -> None:
    found = explain(dataset, "1")
    assert found.kind == "annotation"
    assert found.box is not None
    assert (found.box.key, found.box.source_key) == ("bdd/seq/a.jpg#7", "7")
    assert (found.box.category, found.box.source_category) == ("car", "truck")
    assert (found.box.bbox, found.box.area, found.box.flags) == ((10, 5, 10, 10), 100, ("occluded",))
    assert (found.image.id, found.image.split, found.image.sequence) == (1, "train", "seq")
    assert (found.image.width, found.image.height, found.image.generated) == (48, 32, True)
    assert found.image.attributes == {"weather": "rainy"}
    assert (found.image.file.name, found.image.file.state) == ("images/bdd/seq/a.png", "same")
    assert found.labels is not None
    assert (found.labels.name, found.labels.sha256) == ("det.json", _sha256(dataset.parent / "det.json"))
    assert found.source is not None
    assert (found.source.name, found.source.path) == (SOURCE, str(dataset.parent / "rgb" / SOURCE))
    assert found.source.state == "same"
    assert found.model is not None
    assert (found.model.id, found.model.licence, found.model.options) == ("5" * 64, "CC0-1.0", {"format": "png"})
    assert found.steps == (
        "image: translated by model 55555555",
        "image: scaled 0.5x0.5",
        "label: class truck -> car",
        "label: scaled 0.5x0.5",
    )


def test_a_number_that_names_two_things_is_the_annotation_and_says_so(dataset: Path) -> None:
    assert explain(dataset, "1").note == "image 1 is there as well: --image"
    found = explain(dataset, "1", image=True)
    assert (found.kind, found.box, found.note) == ("image", None, None)
    assert found.boxes == {"car": 1, "person": 1, "car, to ignore": 1}


def test_a_region_to_ignore_says_so(dataset: Path) -> None:
    found = explain(dataset, "3")
    assert found.box is not None
    assert found.box.flags == ("region to ignore",)
    assert "label: region to ignore" in found.steps


@pytest.mark.parametrize("wanted", ["ranus/b.png", "images/ranus/b.png", "./images/ranus/b.png"])
def test_keys_and_file_names_are_found(dataset: Path, wanted: str) -> None:
    found = explain(dataset, wanted)
    assert (found.kind, found.image.key, found.image.generated) == ("image", "ranus/b.png", False)
    assert (found.boxes, found.source, found.model, found.steps) == ({}, None, None, ())


def test_a_path_of_a_file_in_the_dataset_is_found(dataset: Path) -> None:
    assert explain(dataset, str(dataset / "images/bdd/seq/a.png")).image.key == "bdd/seq/a.jpg"


def test_an_annotations_key_is_found(dataset: Path) -> None:
    assert explain(dataset, "bdd/seq/a.jpg#8").box.id == 2  # type: ignore[union-attr]


def test_a_dataset_that_was_moved_is_explained_still(dataset: Path, tmp_path: Path) -> None:
    for path in ("dataset.json", "provenance.parquet"):
        (tmp_path / path).write_bytes((dataset / path).read_bytes())
    found = explain(tmp_path, "1")
    assert found.box is not None
    assert (found.box.category, found.box.bbox) == ("car", None)
    assert found.image.file.state == "missing"
    assert found.source is not None
    assert (found.source.name, found.source.path, found.source.state) == (SOURCE, None, None)


def test_an_explanation_needs_neither_torch_nor_pandas(dataset: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nirgen.explain import explain\n"
        "explain(Path(sys.argv[1]), '1'); print(sorted({'torch', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, dataset], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
