from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path

META = """<meta><task><original_size><width>100</width><height>80</height></original_size><labels>
<label><name>car</name></label><label><name>person</name></label></labels></task></meta>"""


def write(path: Path, inner: str) -> Path:
    path.write_text(f"<annotations><version>1.1</version>{META}{inner}</annotations>")
    return path


def test_shapes_of_images_become_boxes(converted, tmp_path: Path) -> None:
    shapes = """
    <box label="car" occluded="1" xtl="10" ytl="20" xbr="40" ybr="50"><attribute name="colour">red</attribute></box>
    <box label="car" xtl="20" ytl="30" xbr="60" ybr="40" rotation="90"/>
    <box label="car" xtl="40" ytl="50" xbr="10" ybr="20"/>
    <box label="person" xtl="1" ytl="2" xbr="3" ybr="4"><attribute name="crowd">true</attribute></box>
    <polygon label="person" points="1,2;11,2;11,22"/>
    <ellipse label="car" cx="50" cy="40" rx="10" ry="5"/>
    <mask label="car" left="7" top="8" width="9" height="10" rle="90"/>
    <polyline label="car" points="1,2;3,4"/><points label="car" points="1,2"/><tag label="car"/>
    """
    path = write(
        tmp_path / "a.xml",
        f'<image id="0" name="a/1.jpg" width="100" height="80" subset="Validation">{shapes}</image>'
        '<image id="1" name="2.jpg" width="100" height="80"/>',
    )
    file = converted(path)
    assert file["categories"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}]
    assert [(image["file_name"], image.get("split")) for image in file["images"]] == [
        ("2.jpg", None),
        ("a/1.jpg", "val"),
    ]
    assert [(one["category_id"], one["bbox"], one.get("derived"), one["iscrowd"]) for one in file["annotations"]] == [
        (1, [10, 20, 30, 30], None, 0),
        (1, [35, 15, 10, 40], "rotated box", 0),
        (1, [10, 20, 30, 30], None, 0),
        (2, [1, 2, 2, 2], None, 1),
        (2, [1, 2, 10, 20], "polygon", 0),
        (1, [40, 35, 20, 10], "ellipse", 0),
        (1, [7, 8, 9, 10], "mask", 0),
    ]
    assert file["annotations"][0]["attributes"] == {"colour": "red", "occluded": True}
    counts = file["info"]["nirgen"]["counts"]
    assert (counts["swapped"], counts["lost"]) == (
        1,
        {"a point, which has no box": 1, "a polyline, which has no box": 1},
    )
    assert converted(path, policy="default")["info"]["nirgen"]["counts"]["classes"]["person"] == {
        "boxes": 1,
        "ignored": 1,
    }


def test_tracks_of_a_video_become_frames(converted, tmp_path: Path) -> None:
    box = '<box frame="{}" outside="{}" xtl="1" ytl="2" xbr="{}" ybr="4" keyframe="1"/>'
    path = write(
        tmp_path / "drive.xml",
        f'<track id="0" label="car">{box.format(0, 0, 11)}{box.format(1, 1, 12)}</track>'
        f'<track id="1" label="person">{box.format(2, 0, 13)}</track>',
    )
    file = converted(path)
    assert [(image["file_name"], image["sequence"], image["width"]) for image in file["images"]] == [
        ("frame_000000", "drive", 100),
        ("frame_000002", "drive", 100),
    ]
    assert [(one["source_key"], one["bbox"]) for one in file["annotations"]] == [
        ("0", [1, 2, 10, 2]),
        ("1", [1, 2, 12, 2]),
    ]
    assert "don't list frames without a shape" in file["info"]["nirgen"]["counts"]["notes"][0]


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        ("", "without an <image> or a <track>"),
        ('<image id="0" name="a.jpg" width="9" height="9"><box label="a" xtl="1"/></image>', "a box lacks one of xtl"),
        ('<image id="0" name="../a.jpg" width="9" height="9"/>', "has '..'"),
        ('<image id="0" name="a.jpg" width="inf" height="9"/>', "width is 'inf'; write a number"),
        ('<image id="0" name="a.jpg"><polygon label="a" points="1;2;3"/></image>', "states no size"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(converted, tmp_path: Path, inner: str, message: str) -> None:
    with pytest.raises(NirgenError, match=message):
        converted(write(tmp_path / "a.xml", inner))


def test_entities_are_refused(converted, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    path.write_text(f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]><annotations>&e8;</annotations>')
    with pytest.raises(NirgenError, match="declares a document type, which labels don't need"):
        converted(path)


def test_a_folder_of_several_files_is_told_so_by_file(converted, tmp_path: Path) -> None:
    image = '<image id="0" name="a.jpg" width="9" height="9"/>'
    write(tmp_path / "a.xml", image)
    write(tmp_path / "b.xml", image)
    with pytest.raises(
        NirgenError, match=r"a.xml: CVAT's XML, in a folder of several files; give CVAT's files one by one"
    ):
        converted(tmp_path)
