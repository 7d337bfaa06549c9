from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path

OBJECT = """
<object><name>person</name><pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>
<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30.5</xmax><ymax>60</ymax></bndbox></object>"""
SIZE = "<size><width>640</width><height>512</height><depth>3</depth></size>"


def save_xml(path: Path, inner: str, filename: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation><filename>{filename}</filename>{inner}</annotation>")
    return path


def test_a_file_names_its_image_by_its_stem(converted, tmp_path: Path) -> None:
    save_xml(tmp_path / "v" / "a.xml", SIZE + OBJECT, "a.jpeg")
    save_xml(tmp_path / "v" / "sub" / "FLIR_1_PreviewData.xml", SIZE, "FLIR_1.jpg")
    file = converted(tmp_path / "v")
    assert [image["file_name"] for image in file["images"]] == ["a.jpeg", "sub/FLIR_1_PreviewData"]
    assert [(image["width"], image["height"]) for image in file["images"]] == [(640, 512)] * 2
    assert file["annotations"] == [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [10.0, 20.0, 20.5, 40.0],
            "area": 820.0,
            "iscrowd": 0,
            "source_key": "@0",
            "source_category": "person",
            "attributes": {"truncated": True, "difficult": False, "pose": "Unspecified"},
        }
    ]


def test_the_aligned_copy_of_flir_has_splits(converted, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save_xml(tmp_path / "Annotations" / f"FLIR_{number}_PreviewData.xml", SIZE + OBJECT)
    (tmp_path / "align_train.txt").write_text("FLIR_1_PreviewData\n")
    (tmp_path / "align_validation.txt").write_text("FLIR_2_PreviewData\n")
    images = converted(tmp_path)["images"]
    assert [(image["file_name"], image.get("split")) for image in images] == [
        ("FLIR_1_PreviewData", "train"),
        ("FLIR_2_PreviewData", "val"),
        ("FLIR_3_PreviewData", None),
    ]


def test_the_folder_of_images_knows_size_and_ending(converted, tmp_path: Path, save) -> None:
    image = save(tmp_path / "JPEGImages" / "a.jpg", 48, 64)
    xml = tmp_path / "xml" / "a.xml"
    xml.parent.mkdir()
    xml.write_text(f"<annotation>{OBJECT}</annotation>")
    with pytest.raises(NirgenError, match="states no size"):
        converted(xml)
    assert converted(xml, images=image.parent)["images"] == [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><size>", "damaged, or no XML"),
        ("", "damaged, or no XML"),
        ("<html/>", "starts with <html>"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "declares a document type"),
        (f"<annotation>{SIZE}<object><name>a</name></object></annotation>", "no bndbox of four numbers"),
        (f"<annotation>{SIZE}{OBJECT.replace('30.5', 'nan')}</annotation>", "xmax is 'nan'; write a number"),
        (f"<annotation>{SIZE.replace('640', 'nan')}</annotation>", "width is 'nan'; write a number"),
        (f"<annotation>{SIZE}{OBJECT.replace('30.5', 'wide')}</annotation>", "xmax is 'wide'; write a number"),
        (f"<annotation>{SIZE}{OBJECT.replace('person', ' ')}</annotation>", "an object has no name"),
    ],
)
def test_a_broken_file_is_named(converted, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(NirgenError) as error:
        converted(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_a_document_type_is_refused_in_any_encoding(converted, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]><annotation/>'.encode("utf-16"))
    with pytest.raises(NirgenError, match="declares a document type"):
        converted(path)


def test_exchanged_corners_are_put_right(converted, tmp_path: Path) -> None:
    corners = "<xmin>50</xmin><ymin>40</ymin><xmax>10</xmax><ymax>20</ymax>"
    path = save_xml(tmp_path / "a.xml", f"{SIZE}<object><name>person</name><bndbox>{corners}</bndbox></object>")
    file = converted(path)
    assert [one["bbox"] for one in file["annotations"]] == [[10, 20, 40, 20]]
    assert file["info"]["nirgen"]["counts"]["swapped"] == 1


def test_kaist_states_a_box_by_its_size(converted, tmp_path: Path) -> None:
    box = "<bndbox><x>10</x><y>20</y><w>30</w><h>40</h></bndbox><occlusion>1</occlusion>"
    path = save_xml(tmp_path / "a.xml", f"{SIZE}<object><name>person</name>{box}</object>")
    (one,) = converted(path)["annotations"]
    assert (one["bbox"], one["attributes"]) == ([10, 20, 30, 40], {"occlusion": "1"})


def test_attributes_of_cvat_hold_rotation_and_crowd(converted, tmp_path: Path) -> None:
    values = {"rotation": "90.0", "is_crowd": "True", "colour": "red"}
    texts = "".join(f"<attribute><name>{key}</name><value>{value}</value></attribute>" for key, value in values.items())
    path = save_xml(
        tmp_path / "a.xml", SIZE + OBJECT.replace("</object>", f"<attributes>{texts}</attributes></object>")
    )
    (one,) = converted(path)["annotations"]
    assert (one["bbox"], one["derived"], one["iscrowd"]) == ([0.25, 29.75, 40, 20.5], "rotated box", 1)
    assert one["attributes"]["colour"] == "red"


def test_llvip_is_read_as_it_comes(converted, tmp_path: Path, save) -> None:
    save(tmp_path / "infrared" / "train" / "010001.jpg", 64, 80, grey=True)
    box = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>30</xmax><ymax>60</ymax></bndbox>"
    inner = f"<folder>train</folder><path>/home/a/010001.jpg</path>{SIZE}<object><name>person</name>{box}</object>"
    save_xml(tmp_path / "Annotations" / "010001.xml", inner, "010001.jpg")
    file = converted(tmp_path / "Annotations", images=tmp_path / "infrared", policy="default")
    assert (file["images"][0]["file_name"], file["annotations"][0]["bbox"]) == ("010001.jpg", [10, 20, 20, 40])
