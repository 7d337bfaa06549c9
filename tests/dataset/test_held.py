from __future__ import annotations

import pytest

from nirgen.dataset.build import build
from nirgen.dataset.folder import read_dataset
from nirgen.dataset.held import HeldBox, Holds, count_held, read_images
from nirgen.errors import NirgenError


def test_a_dataset_is_read_with_its_boxes_by_their_source_keys(small_plan, tmp_path) -> None:
    info = read_dataset(build(small_plan, tmp_path / "d").out)
    images = read_images(info)
    assert len(images) == 7
    image = images["bdd/a.jpg"]
    assert (image.split, image.size, image.sha256) == ("train", (30, 20), small_plan.images[0].sha256)
    assert image.boxes == {
        "10": HeldBox("person", (0, 0, 2, 4), ignored=False),
        "3": HeldBox("car", (15, 0, 10, 10), ignored=True),
        "7": HeldBox("car", (5, 10, 15.5, 5.5), ignored=False),
    }
    assert count_held(images, info) == {
        "train": Holds(5, {"person": 1, "bicycle": 1, "car": 2}, 1),
        "val": Holds(1, {"person": 1, "bicycle": 1, "car": 1}, 0),
        "test": Holds(1, {"person": 0, "bicycle": 0, "car": 0}, 1),
    }


@pytest.mark.parametrize("name", ["annotations/val.json", "provenance.parquet"])
def test_a_damaged_file_is_named(small_plan, tmp_path, name: str) -> None:
    out = build(small_plan, tmp_path / "d").out
    (out / name).write_bytes(b"{")
    with pytest.raises(NirgenError, match=rf"{name}: can't be read \(.*\); build the dataset again"):
        read_images(read_dataset(out))
