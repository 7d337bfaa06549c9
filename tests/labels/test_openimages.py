from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
ROWS = (
    "b,xclick,/m/0k4j,1,0.2,0.6,0.25,0.5,1,-1,0,0,0",
    "a,xclick,/m/01g317,1,0.1,0.2,0.5,1,0,0,1,0,0",
    "b,xclick,/m/01g317,1,0,0.1,0,0.5,0,0,0,0,0",
)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    return path


def test_rows_are_joined_by_image_and_classes_named(converted, tmp_path: Path) -> None:
    path = write(tmp_path / "train-annotations-bbox.csv", HEAD, *ROWS)
    write(tmp_path / "class-descriptions-boxable.csv", "/m/0k4j,Car", "/m/01g317,Person")
    file = converted(path, size=(80, 100), policy="default")
    assert [image["file_name"] for image in file["images"]] == ["a", "b"]
    assert [(one["category_id"], one["bbox"], one["iscrowd"]) for one in file["annotations"]] == [
        (1, [10, 40, 10, 40], 1),
        (3, [20, 20, 40, 20], 0),
        (1, [0, 0, 10, 40], 0),
    ]
    assert file["annotations"][1]["attributes"] == {"occluded": True, "depiction": False, "inside": False}


def test_images_that_are_not_there_are_left_out_and_counted(converted, tmp_path: Path, save) -> None:
    save(tmp_path / "im" / "a.jpg", 80, 100)
    file = converted(write(tmp_path / "a.csv", HEAD, *ROWS), images=tmp_path / "im")
    assert [image["file_name"] for image in file["images"]] == ["a.jpg"]
    assert file["info"]["nirgen"]["counts"]["notes"] == [
        "1 of 2 images of a.csv aren't in the folder of images, and are left out"
    ]
    assert file["annotations"][0]["source_category"] == "/m/01g317"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("a,b", "1,2"), "no boxes of Open Images, whose columns are ImageID, LabelName"),
        ((HEAD, ROWS[0].replace("0.6", "wide")), "XMax is 'wide'; write a number"),
        ((HEAD, ROWS[0] + ",0" * 20), "line 2: more values than columns; correct it"),
        ((HEAD, "b,xclick,/m/0k4j"), "a row of 'b' lacks a coordinate"),
        ((HEAD, ROWS[0].replace("b,", "../b,")), "line 2: the name '../b' has '..'"),
    ],
)
def test_a_broken_table_is_named(converted, tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(NirgenError, match=message):
        converted(write(tmp_path / "a.csv", *lines), size=(80, 100))
