from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError
from nirgen.labels import LabelFile, Policy, Source, convert, open_labels

if TYPE_CHECKING:
    from pathlib import Path


def test_the_same_file_gives_the_same_bytes(save_json, coco, tmp_path: Path) -> None:
    path = save_json(coco(("car", [0, 0, 5, 5]), ("dog", [1, 1, 5, 5])))
    for name in ("one.json", "two.json"):
        convert([Source(path)], Policy.load("default")).write(tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_images_are_sorted_and_annotations_stay_in_the_order_of_the_source(save_json, converted) -> None:
    box = {"x1": 0, "y1": 0, "x2": 9, "y2": 9}
    labels = [{"id": key, "category": "car", "box2d": {**box, "y2": 9 + int(key)}} for key in ("50", "10", "30")]
    path = save_json([{"name": name, "labels": labels} for name in ("b.jpg", "B.jpg", "a/z.jpg")])
    file = converted(path)
    assert [(image["id"], image["file_name"]) for image in file["images"]] == [
        (1, "B.jpg"),
        (2, "a/z.jpg"),
        (3, "b.jpg"),
    ]
    assert [(one["id"], one["image_id"], one["source_key"]) for one in file["annotations"]] == [
        *((1, 1, "50"), (2, 1, "10"), (3, 1, "30")),
        *((4, 2, "50"), (5, 2, "10"), (6, 2, "30")),
        *((7, 3, "50"), (8, 3, "10"), (9, 3, "30")),
    ]


def test_several_sources_are_joined_with_their_splits(save_json, coco, converted, tmp_path: Path) -> None:
    first = save_json(coco(("car", [0, 0, 5, 5]), info={"year": 1}), "first.json")
    second = save_json([{"name": "b.jpg", "labels": []}], "second.json")
    file = converted(f"train={first}", f"val={second}", policy="default")
    assert [(image["file_name"], image["split"]) for image in file["images"]] == [("a.jpg", "train"), ("b.jpg", "val")]
    inputs = file["info"]["nirgen"]["inputs"]
    assert [(one["file"], len(one["sha256"]), one.get("extra")) for one in inputs] == [
        ("first.json", 64, {"info": {"year": 1}}),
        ("second.json", 64, None),
    ]
    assert "year" not in file["info"]


def test_an_image_in_two_sources_is_refused(save_json, coco, converted) -> None:
    paths = [save_json(coco(("car", [0, 0, 5, 5])), name) for name in ("first.json", "second.json")]
    with pytest.raises(NirgenError, match=f"'a.jpg' is in {paths[0]} and in {paths[1]}; remove it from one"):
        converted(*paths)


def test_classes_of_several_sources_are_joined_by_name(save_json, coco, converted) -> None:
    first, second = coco(("car", [0, 0, 5, 5])), coco(("bus", [0, 0, 5, 5]), ("car", [1, 0, 5, 5]))
    second["images"][0]["file_name"] = "b.jpg"
    file = converted(save_json(first, "first.json"), save_json(second, "second.json"))
    assert [(one["id"], one["name"]) for one in file["categories"]] == [(1, "car"), (2, "bus")]
    assert [one["category_id"] for one in file["annotations"]] == [1, 2, 1]


def test_licences_of_several_sources_stay_apart(save_json, coco, converted) -> None:
    paths = []
    for name, licence in (("a", "CC BY"), ("b", "CC BY-NC"), ("c", "CC BY")):
        values = coco(("car", [0, 0, 5, 5]), licenses=[{"id": 1, "name": licence}])
        values["images"][0] |= {"file_name": f"{name}.jpg", "license": 1}
        paths.append(save_json(values, f"{name}.json"))
    file = converted(*paths)
    assert file["licenses"] == [{"id": 1, "name": "CC BY"}, {"id": 2, "name": "CC BY-NC"}]
    assert [image["license"] for image in file["images"]] == [1, 2, 1]


def test_unknown_names_stop_with_counts_and_the_nearest_known_ones(save_json, coco, converted) -> None:
    path = save_json(coco(*[("pedestrain", [9 * n, 0, 5, 5]) for n in range(3)], ("unicorn", [0, 20, 5, 5])))
    with pytest.raises(NirgenError) as error:
        converted(path, policy="default")
    assert str(error.value) == (
        "policy 'default' doesn't know 2 name(s): 'pedestrain' (3 label(s); did you mean 'pedestrian'?), 'unicorn' "
        "(1 label(s)); write a policy that knows them (see docs/formats.md), or drop their labels with --unknown drop"
    )


def test_unknown_names_that_are_dropped_are_counted(save_json, coco, counts) -> None:
    path = save_json(coco(("unicorn", [0, 0, 5, 5]), ("car", [9, 0, 5, 5]), ("dog", [20, 0, 5, 5])))
    found = counts(path, policy="default", unknown="drop")
    assert found["names"] == [
        {"name": "car", "labels": 1, "became": "car", "written": 1},
        {"name": "dog", "labels": 1, "became": "dropped", "written": 0},
        {"name": "unicorn", "labels": 1, "became": "unknown, dropped", "written": 0},
    ]


def test_an_image_whose_labels_are_all_dropped_is_empty(save_json, coco, converted) -> None:
    file = converted(save_json(coco(("dog", [0, 0, 5, 5]))), policy="default")
    counts = file["info"]["nirgen"]["counts"]
    assert (len(file["images"]), file["annotations"], counts["empty"]) == (1, [], 1)
    assert counts["classes"]["bicycle"] == {"boxes": 0, "ignored": 0}


def test_progress_ends_with_the_number_of_images(save_json, coco) -> None:
    calls: list[tuple[str, int, int | None]] = []
    path = save_json([{"name": f"{n}.jpg", "labels": []} for n in range(201)])
    convert([Source(path)], Policy.load("default"), progress=lambda *numbers: calls.append(numbers))
    assert calls == [("read", 100, 201), ("read", 200, 201), ("read", 201, 201)]


def test_a_source_without_images_is_refused(save_json, coco, converted) -> None:
    with pytest.raises(NirgenError, match="no images; give labels of images"):
        converted(save_json(coco() | {"images": []}))


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        {"a": 1},
        [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1], "score": 0.5}],
        {"frames": [], "config": None},
        {"images": [], "nothing": 1},
        {"frames": {"a": 1}},
    ],
)
def test_a_file_of_no_known_format_is_refused_with_those_known(save_json, converted, values) -> None:
    path = save_json(values)
    with pytest.raises(NirgenError) as error:
        converted(path)
    assert str(error.value).startswith(f"{path}: unknown format of labels; known are BDD100K's JSON")
    assert all(name in str(error.value) for name in ("COCO", "Pascal VOC", "Cityscapes", "RANUS"))


@pytest.mark.parametrize(
    ("text", "message"), [("{'a'", "damaged, or no JSON"), ("3", "neither a JSON object nor a list")]
)
def test_a_file_that_is_no_json_is_named(converted, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(NirgenError, match=message):
        converted(path)


def test_a_folder_is_of_one_kind(save_json, converted, coco, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NirgenError, match="unknown format of labels"):
        converted(empty)
    save_json(coco(("car", [0, 0, 1, 1])), "folder/a.json")
    with pytest.raises(NirgenError, match="a folder of COCO files; give the files, each with its split: train=FILE"):
        converted(tmp_path / "folder")
    (tmp_path / "folder" / "a.xml").touch()
    with pytest.raises(NirgenError, match=r"mixes XML \(1, such as 'a.xml'\) and JSON \(1, such as 'a.json'\); give"):
        converted(tmp_path / "folder")


def test_hidden_files_are_left_aside(save_json, converted, tmp_path: Path) -> None:
    save_json([{"name": "a.jpg", "labels": []}], "folder/a.json")
    save_json({}, "folder/.hidden/b.json")
    (tmp_path / "folder" / "._a.json").touch()
    assert len(converted(tmp_path / "folder")["images"]) == 1


def test_any_format_opens_as_its_labels_file_would(save_json, coco, tmp_path: Path) -> None:
    path, out = save_json(coco(("truck", [0, 0, 5, 5]), ("dog", [1, 1, 5, 5]))), tmp_path / "out.json"
    convert([Source(path)], Policy.load("paper")).write(out)
    opened, read = open_labels(path, "paper"), LabelFile.read(out)
    assert (opened.path, opened.sha256) == (path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (opened.categories, opened.counts, opened.policy) == (read.categories, read.counts, "paper")
    assert [list(map(bytes, image.annotations)) for image in opened.images] == [
        list(map(bytes, image.annotations)) for image in read.images
    ]


def test_a_labels_file_stays_as_it_is(save_json, coco, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    convert([Source(save_json(coco(("dog", [0, 0, 5, 5]))))], Policy.load("identity")).write(out)
    opened = open_labels(out, "default")
    assert (opened.policy, [one.name for one in opened.categories]) == ("identity", ["dog"])
    assert opened.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()


def test_a_folder_is_known_by_the_hashes_of_its_files(save_json, tmp_path: Path) -> None:
    path = save_json([{"name": "a.jpg", "labels": []}], "folder/a.json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = hashlib.sha256(f"{digest}  a.json\n".encode()).hexdigest()
    assert open_labels(tmp_path / "folder").sha256 == expected


def test_nothing_can_not_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NirgenError, match="doesn't exist"):
        open_labels(tmp_path / "none.json")


@pytest.mark.parametrize("name", ["a\n.jpg", "a\x85.jpg", "a\u2028.jpg"])
def test_an_image_whose_name_ends_lines_is_left_out_and_named(save_json, coco, converted, name: str) -> None:
    values = coco(("car", [10, 10, 5, 5]))
    values["images"].append({**values["images"][0], "id": 99, "file_name": name})
    values["annotations"].append({**values["annotations"][0], "id": 99, "image_id": 99})
    file = converted(save_json(values))
    assert ([each["file_name"] for each in file["images"]], len(file["annotations"])) == (["a.jpg"], 1)
    (note,) = file["info"]["nirgen"]["counts"]["notes"]
    assert note.startswith(f"1 image(s), such as {name!r}, are left out: their names have control characters")


def test_a_mistyped_file_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("[]")
    for read in (open_labels, lambda path: Source.parse(str(path))):
        with pytest.raises(NirgenError) as error:
            read(tmp_path / "anotations.json")
        assert str(error.value) == f"{tmp_path}/anotations.json: doesn't exist; did you mean 'annotations.json'?"
        with pytest.raises(NirgenError, match="doesn't exist; give a file or folder of labels"):
            read(tmp_path / "elsewhere" / "x")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"images": [],\n "annotations": [}', "damaged, or no JSON (at line 2, column 18); copy it again"),
        ("a.xml", "<annotations>\n<image>", "damaged, or no XML (at line 2, column 8); copy it again"),
    ],
)
def test_a_damaged_file_names_the_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(NirgenError) as error:
        open_labels(tmp_path / name)
    assert str(error.value) == f"{tmp_path / name}: {message}"
