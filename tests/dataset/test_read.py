from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nirgen.collection import open_collection
from nirgen.dataset.build import build
from nirgen.dataset.folder import read_dataset
from nirgen.dataset.read import Box, read, recorded_inputs, rgb_roots
from nirgen.errors import NirgenError
from nirgen.files import find_below
from nirgen.pairs.listing import Pair, PairList


@pytest.mark.parametrize(
    ("keys", "flags"),
    [
        ({}, ()),
        ({"iscrowd": 1, "attributes": {"crowd": True}}, ("region to ignore", "crowd")),
        ({"attributes": {"occluded": True, "truncated": False}}, ("occluded",)),
        ({"truncated": True, "difficult": True}, ("truncated", "difficult")),
        ({"clipped": True, "derived": "mask"}, ("clipped", "from mask")),
    ],
)
def test_marks_of_a_box_become_flags(dataset, keys, flags) -> None:
    assert next(read(edited(dataset, keys))).boxes[0].flags == flags


def test_boxes_come_in_the_order_of_their_keys(dataset) -> None:
    info = edited(dataset, {"key": "bdd/a.jpg#9"}, {"key": "bdd/a.jpg#10"}, {"key": "bdd/a.jpg#+0a"})
    assert [box.key for box in next(read(info)).boxes] == ["bdd/a.jpg#+0a", "bdd/a.jpg#10", "bdd/a.jpg#9"]


def test_a_class_that_is_not_listed_is_named(dataset) -> None:
    with pytest.raises(NirgenError, match=r"annotation 1 is of the class 99, which dataset.json lacks"):
        list(read(edited(dataset, {"category_id": 99})))


def edited(folder, *boxes):
    """A dataset whose first image has these boxes."""
    path = folder / "annotations/train.json"
    coco = json.loads(path.read_bytes())
    coco["annotations"] = [coco["annotations"][0] | box for box in boxes]
    path.write_text(json.dumps(coco))
    return read_dataset(folder)


def test_a_flipped_bit_in_the_provenance_or_in_dataset_json_is_no_other_dataset(dataset) -> None:
    path = dataset / "provenance.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(NirgenError, match=r"provenance\.parquet: damaged or altered since the build; build the data"):
        list(read(read_dataset(dataset)))
    text = (dataset / "dataset.json").read_text()
    (dataset / "dataset.json").write_text(text.replace('"bicycle"', '"bicycla"', 1))
    with pytest.raises(NirgenError, match=r"dataset\.json: damaged .*\(its checksum is wrong\); build the dataset"):
        read_dataset(dataset)


def test_an_empty_file_is_damaged(dataset) -> None:
    (dataset / "annotations/train.json").write_bytes(b"")
    with pytest.raises(NirgenError, match="can't be read"):
        list(read(read_dataset(dataset)))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": 3}', '{"inputs": {"a": 3}}', "{}"])
def test_a_damaged_run_json_names_no_inputs(tmp_path, text) -> None:
    (tmp_path / "run.json").write_text(text)
    assert recorded_inputs(tmp_path) == {}


def write_inputs(folder, **inputs) -> None:
    (folder / "run.json").write_text(json.dumps({"inputs": inputs}))


def test_sources_that_were_named_come_before_those_of_the_translation(tmp_path) -> None:
    (tmp_path / "nir").mkdir()
    (tmp_path / "nir/run.json").write_text(json.dumps({"source": "/photos"}))
    write_inputs(tmp_path, a={"folder": str(tmp_path / "nir"), "sources": None}, b={"folder": "x", "sources": "/moved"})
    assert rgb_roots(tmp_path) == {"a": (Path("/photos"),), "b": (Path("/moved"),)}


def test_partners_are_sought_beside_the_list_and_in_the_folder(tmp_path) -> None:
    write_inputs(tmp_path, a={"folder": "/ranus/nir", "pairs": "/lists/pairs.csv"})
    assert rgb_roots(tmp_path) == {"a": (Path("/lists"), Path("/ranus/nir"))}


def test_real_images_without_a_list_have_no_roots(tmp_path) -> None:
    write_inputs(tmp_path, a={"folder": str(tmp_path), "labels": "x", "pairs": None})
    assert rgb_roots(tmp_path) == {"a": ()}


def test_an_image_is_found_in_the_first_folder_that_has_it(tmp_path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second/a.jpg").touch()
    roots = (tmp_path / "first", tmp_path / "second")
    assert find_below(roots, "a.jpg") == tmp_path / "second/a.jpg"
    assert find_below(roots, "b.jpg") is None
    assert find_below(roots, None) is None


@pytest.fixture
def dataset(dataset_inputs, plan_dataset, tmp_path):
    build(plan_dataset(dataset_inputs()), tmp_path / "D")
    return tmp_path / "D"


def test_items_of_all_splits_come_sorted_by_key(dataset) -> None:
    items = list(open_collection(dataset).items())
    assert [(item.key, item.split, item.generated, item.id) for item in items] == [
        ("bdd/a.jpg", "train", True, 1),
        ("bdd/b.jpg", "train", True, 2),
        ("bdd/night/c.jpg", "train", True, 3),
        ("ranus/01/x.png", "train", False, 4),
        ("ranus/02/y.png", "val", False, 5),
        ("ranus/03/z.png", "test", False, 6),
    ]


def test_a_generated_item_has_its_file_its_source_and_its_boxes(dataset, tmp_path, red) -> None:
    item = list(open_collection(dataset).items())[1]
    source = tmp_path / "bdd/rgb/b.jpg"
    assert item.path == dataset / "images/bdd/b.png"
    assert item.sha256 == item.input_sha256 == hashlib.sha256(item.path.read_bytes()).hexdigest()
    assert (item.rgb, item.rgb_name) == (source, "b.jpg")
    assert item.rgb_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (item.origin, item.width, item.height, item.model_id) == ("bdd", 30, 20, red.id)
    assert item.boxes == (
        Box("bdd/b.jpg#0", 2, "car", (1, 2, 10, 5), 50, False, "car", ()),
        Box("bdd/b.jpg#1", 3, "bicycle", (3, 3, 4, 4), 16, False, "bicycle", ()),
    )


def test_items_can_be_read_again(dataset) -> None:
    collection = open_collection(dataset)
    assert list(collection.items()) == list(collection.items())


def test_a_dataset_that_was_moved_has_its_images_where_it_is(dataset, tmp_path) -> None:
    shutil.move(dataset, tmp_path / "elsewhere")
    items = list(open_collection(tmp_path / "elsewhere").items())
    assert items[0].path == tmp_path / "elsewhere/images/bdd/a.png"
    assert all(item.path.is_file() for item in items)


def test_sources_that_are_gone_are_none_and_keep_their_names(dataset, tmp_path) -> None:
    shutil.move(tmp_path / "bdd/rgb", tmp_path / "photos")
    gone = next(iter(open_collection(dataset).items()))
    assert (gone.rgb, gone.rgb_name) == (None, "a.jpg")
    found = next(iter(open_collection(dataset, {"bdd": tmp_path / "photos"}).items()))
    assert found.rgb == tmp_path / "photos/a.jpg"


def test_a_dataset_without_run_json_is_read_without_sources(dataset) -> None:
    (dataset / "run.json").unlink()
    assert {item.rgb for item in open_collection(dataset).items()} == {None}


def test_an_image_that_is_gone_is_still_an_item(dataset) -> None:
    (dataset / "images/bdd/a.png").unlink()
    assert next(iter(open_collection(dataset).items())).key == "bdd/a.jpg"


def test_a_real_image_has_its_partner_of_the_list_of_pairs(dataset_inputs, plan_dataset, tmp_path, save) -> None:
    inputs = dataset_inputs()
    partner = save(tmp_path / "rgb/x.png", seed=40)
    nir = tmp_path / "ranus/01/x.png"
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (partner, nir)]
    pair = Pair("x", "rgb/x.png", "ranus/01/x.png", "s01", "", "train", *digests)
    PairList(tmp_path, (pair,)).write(tmp_path / "pairs.csv")
    inputs["real"][0]["pairs"] = tmp_path / "pairs.csv"
    build(plan_dataset(inputs), tmp_path / "D")
    items = {item.key: item for item in open_collection(tmp_path / "D").items()}
    assert (items["ranus/01/x.png"].rgb, items["ranus/01/x.png"].rgb_sha256) == (partner, digests[0])
    assert (items["ranus/02/y.png"].rgb, items["ranus/02/y.png"].rgb_name) == (None, None)


def test_images_without_a_label_entry_are_not_labelled(dataset_inputs, plan_dataset, tmp_path, save) -> None:
    inputs = dataset_inputs()
    save(tmp_path / "ranus/04/new.png", seed=41, grey=True)
    build(plan_dataset(inputs, include_unlabelled=True, splits={"train": 1}), tmp_path / "D")
    images = list(read(read_dataset(tmp_path / "D")))
    assert [image.key for image in images if not image.labelled] == ["ranus/04/new.png"]


def test_one_split_is_read_alone(dataset) -> None:
    assert [image.key for image in read(read_dataset(dataset), ["val"])] == ["ranus/02/y.png"]


def test_attributes_are_plain_strings_sorted_by_name(dataset_inputs, plan_dataset, tmp_path, write_labels) -> None:
    inputs = dataset_inputs()
    attributes = {"weather": "rainy", "lanes": 2, "wet": True, "empty": "", "list": [1]}
    write_labels(tmp_path / "bdd.json", {"a.jpg": {"attributes": attributes}})
    build(plan_dataset(inputs), tmp_path / "D")
    item = next(iter(open_collection(tmp_path / "D").items()))
    assert item.attributes == {"lanes": "2", "weather": "rainy", "wet": "true"}
    assert item.boxes == ()


def test_ids_with_gaps_and_annotations_out_of_order_are_read(dataset) -> None:
    path = dataset / "annotations/train.json"
    coco = json.loads(path.read_bytes())
    coco["annotations"] = [each for each in reversed(coco["annotations"]) if each["key"] != "bdd/b.jpg#0"]
    path.write_text(json.dumps(coco))
    items = {item.key: [box.key for box in item.boxes] for item in open_collection(dataset).items()}
    assert items["bdd/a.jpg"] == ["bdd/a.jpg#0"]
    assert items["bdd/b.jpg"] == ["bdd/b.jpg#1"]


def test_damage_is_one_line_with_the_remedy(dataset) -> None:
    (dataset / "annotations/val.json").write_text('{"images": [')
    with pytest.raises(NirgenError, match=r"annotations/val.json: can't be read \(.*\); build the dataset again"):
        list(open_collection(dataset).items())


def test_an_image_that_provenance_lacks_is_named(dataset, describe) -> None:
    path = dataset / "provenance.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    describe(dataset)
    with pytest.raises(NirgenError, match=r"lacks the image 'bdd/a.jpg'; build the dataset again"):
        list(open_collection(dataset).items())
