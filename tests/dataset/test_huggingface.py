from __future__ import annotations

import json

from nirgen.dataset.build import build


def test_rows_name_images_beside_them_and_classes_begin_with_0(make_small_plan, tmp_path) -> None:
    build(make_small_plan(tmp_path / "in", formats=["hf"]), tmp_path / "d")
    lines = (tmp_path / "d/hf/val/metadata.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "file_name": "ranus/02/b.png",
            "image_id": 6,
            "key": "ranus/02/b.png",
            "width": 30,
            "height": 20,
            "objects": {
                "id": [6, 7, 8],
                "bbox": [[0, 0, 5.5, 10.25], [10, 2, 4, 4], [12, 4, 8, 6]],
                "category": [0, 1, 2],
                "area": [56.375, 12, 48],
                "iscrowd": [0, 0, 0],
            },
        }
    ]
    assert '"bbox":[[0.0,0.0,5.5,10.25]' in lines[0]  # decimals, whatever the values
    assert (tmp_path / "d/hf/val/ranus/02/b.png").samefile(tmp_path / "d/images/ranus/02/b.png")


def test_the_card_tells_where_the_splits_are(make_small_plan, tmp_path) -> None:
    build(make_small_plan(tmp_path / "in", formats=["hf"]), tmp_path / "d")
    card = (tmp_path / "d/README.md").read_text()
    assert "  - split: validation\n    path: hf/val/**\n" in card
