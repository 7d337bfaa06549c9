from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.labels import LabelFile
from nirgen.labels.policy import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    box: dict[str, Any] = {"box2d": {"x1": 0, "y1": 0, "x2": 9, "y2": 9}}
    labels = [
        {"id": "1", "category": "rider", **box},
        {"id": "2", "category": "train", **box},
        {"id": "3", "category": "traffic light", **box},
        {"id": "4", "category": "truck", "box2d": {"x1": -3, "y1": 0, "x2": 9, "y2": 9}},
        {"id": "5", "category": "truck", "box2d": {"x1": 9, "y1": 0, "x2": 9, "y2": 9}},
    ]
    path = tmp_path / "det.json"
    path.write_text(json.dumps([{"name": "a.jpg", "labels": labels}, {"name": "b.jpg"}]))
    return path


def test_a_table_says_what_became_of_each_name(nirgen, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "labels.json"
    code, printed, error = nirgen("labels", source, "-o", out)
    assert code == 0
    assert [line.split() for line in printed.splitlines()] == [
        ["name", "labels", "became", "written"],
        ["─" * 47],
        ["truck", "2", "car", "1"],
        ["rider", "1", "person", "1"],
        ["traffic", "light", "1", "dropped", "0"],
        ["train", "1", "car,", "ignored", "1"],
        *(
            line.split()
            for line in (
                "1 boxes cut at the border of their image, such as a.jpg#4 (truck)",
                "1 labels left out: no width or height, such as a.jpg#5 (truck)",
                f"{out}: 1 image (0 empty), 1 unlabelled; 1 person, 1 car; 1 to ignore; policy default",
            )
        ),
    ]
    assert error == "note: images state no size: BDD100K's 1280x720 is assumed\n"
    assert LabelFile.read(out).unlabelled == ("b.jpg",)


def test_the_forms_that_labels_mix_are_counted(nirgen, tmp_path: Path) -> None:
    triangle = [[1, 1, 9, 1, 9, 9]]
    runs = {"size": [20, 20], "counts": [25, 5, 15, 5, 350]}
    outlines = [{"bbox": [1, 1, 5, 5]}, {"bbox": [9, 9, 5, 5]}, {"segmentation": triangle}, {"segmentation": runs}]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 20}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 1, **each} for n, each in enumerate(outlines, 1)],
        "categories": [{"id": 1, "name": "car"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(document))
    code, printed, _ = nirgen("labels", tmp_path / "coco.json", "-o", tmp_path / "o.json")
    assert code == 0
    mixed = "the labels mix 2 boxes, 1 polygons and 1 run lengths (RLE); all became upright boxes"
    assert mixed in printed.splitlines()
    document["annotations"] = document["annotations"][:2]
    (tmp_path / "coco.json").write_text(json.dumps(document))
    assert "labels mix" not in nirgen("labels", tmp_path / "coco.json", "-o", tmp_path / "o.json")[1]


def test_counts_are_printed_as_json(nirgen, source: Path, tmp_path: Path) -> None:
    code, printed, error = nirgen("labels", source, "-o", tmp_path / "o.json", "--json", "--size", "720x1280")
    assert (code, error) == (0, "")
    counts = json.loads(printed)
    assert counts == LabelFile.read(tmp_path / "o.json").counts
    assert counts["classes"] == {
        "person": {"boxes": 1, "ignored": 0},
        "bicycle": {"boxes": 0, "ignored": 0},
        "car": {"boxes": 1, "ignored": 1},
    }


def test_options_reach_the_conversion(nirgen, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    code, printed, _ = nirgen("labels", f"val={source}", "-o", out, "--policy", "bdd100k", "--bdd-inclusive")
    assert code == 0
    assert printed.endswith("1 rider, 2 truck, 1 train, 1 traffic light; 0 to ignore; policy bdd100k\n")
    assert LabelFile.read(out).images[0].split == "val"


def test_unknown_names_stop_unless_they_may_be_dropped(nirgen, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    source.write_text(source.read_text().replace("rider", "ridder"))
    code, printed, error = nirgen("labels", source, "-o", out)
    assert (code, printed, error.count("\n"), out.exists()) == (1, "", 1, False)
    assert "'ridder' (1 label(s); did you mean 'rider'?)" in error
    code, printed, _ = nirgen("labels", source, "-o", out, "--unknown", "drop")
    assert code == 0
    assert ["ridder", "1", "unknown,", "dropped", "0"] in [line.split() for line in printed.splitlines()]


@pytest.mark.parametrize("name", ["det.json", "./det.json"])
def test_an_input_is_never_overwritten(nirgen, source: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    before = source.read_bytes()
    code, _, error = nirgen("labels", source, "-o", name)
    assert code == 1
    assert "lies in the input" in error
    assert source.read_bytes() == before
    assert nirgen("labels", source.parent, "-o", source.parent / "new.json")[0] == 1


def test_help_names_every_policy(nirgen) -> None:
    _, printed, _ = nirgen("labels", "--help")
    assert [name for name in BUILT_IN if name not in printed] == []


def test_a_size_is_height_by_width(nirgen, source: Path) -> None:
    code, _, error = nirgen("labels", source, "-o", "o.json", "--size", "720")
    assert code == 2
    assert "--size is HEIGHTxWIDTH in pixels, such as 720x1280, not '720'" in error


def test_the_labelled_images_of_a_folder_are_listed(nirgen, source: Path, save, tmp_path: Path) -> None:
    for name in ("day/a.jpg", "day/b.jpg", "night/c.jpg"):
        save(tmp_path / "photos" / name)

    listing = tmp_path / "labelled.txt"
    code, *_ = nirgen("labels", source, "-o", tmp_path / "o.json", "--images", tmp_path / "photos", "--list", listing)

    assert code == 0
    assert listing.read_text() == "day/a.jpg\n"  # b.jpg has no label entry, c.jpg isn't among the labels


def test_labels_of_other_images_are_refused_before_anything_is_written(nirgen, source, save, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "other.jpg")

    out, listing = tmp_path / "o.json", tmp_path / "labelled.txt"
    code, _, error = nirgen("labels", source, "-o", out, "--images", tmp_path / "photos", "--list", listing)

    assert code == 1
    assert "none of its 1 entries, such as 'a.jpg', fits any of the 1 images" in error
    assert not out.exists()
    assert not listing.exists()
