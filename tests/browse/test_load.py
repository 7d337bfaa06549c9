"""Loading into a real FiftyOne, once and again."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from nirgen.errors import NirgenError
from nirgen.files import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Browse = Callable[..., Any]
    Build = Callable[..., Path]


@pytest.fixture
def main(fo: Any, name: str) -> Callable[[str], Any]:
    """A sample of the FiftyOne dataset of the test, not its RGB image, by key."""

    def get(key: str) -> Any:
        everything = fo.load_dataset(name).select_group_slices(["nir", "real_nir"])
        return everything.match(fo.ViewField("key") == key).first()

    return get


def test_a_dataset_has_a_group_for_each_image_with_its_rgb_image(shared: Callable[..., Any]) -> None:
    dataset, root = shared().dataset, shared().folder.parent
    assert dataset.persistent
    assert (dataset.media_type, dataset.default_group_slice) == ("group", "nir")
    rows = dataset.select_group_slices(dataset.group_slices).values(["key", "group.name", "kind", "split", "filepath"])
    assert sorted(zip(*rows, strict=True)) == [
        ("bdd/a.jpg", "nir", "generated", "train", f"{root}/D/images/bdd/a.png"),
        ("bdd/a.jpg", "rgb", "photo", "train", f"{root}/bdd/rgb/a.jpg"),
        ("bdd/b.jpg", "nir", "generated", "train", f"{root}/D/images/bdd/b.png"),
        ("bdd/b.jpg", "rgb", "photo", "train", f"{root}/bdd/rgb/b.jpg"),
        ("bdd/night/c.jpg", "nir", "generated", "train", f"{root}/D/images/bdd/night/c.png"),
        ("bdd/night/c.jpg", "rgb", "photo", "train", f"{root}/bdd/rgb/night/c.jpg"),
        ("ranus/01/x.png", "real_nir", "real", "train", f"{root}/D/images/ranus/01/x.png"),
        ("ranus/02/y.png", "real_nir", "real", "val", f"{root}/D/images/ranus/02/y.png"),
        ("ranus/03/z.png", "real_nir", "real", "test", f"{root}/D/images/ranus/03/z.png"),
    ]


def test_a_sample_says_what_is_on_its_image(fo: Any, shared: Callable[..., Any]) -> None:
    sample = shared().dataset.match(fo.ViewField("key") == "bdd/b.jpg").first()
    assert (sample["objects"], sample["count_person"], sample["count_bicycle"], sample["count_car"]) == (2, 0, 1, 1)
    assert (sample.metadata.width, sample.metadata.height) == (30, 20)
    boxes = {box.key: (box.label, box.source_category, box.iscrowd) for box in sample.boxes.detections}
    assert boxes == {"bdd/b.jpg#0": ("car", "car", False), "bdd/b.jpg#1": ("bicycle", "bicycle", False)}
    assert sample.boxes.detections[0].bounding_box == pytest.approx([1 / 30, 2 / 20, 10 / 30, 5 / 20])
    assert sample["decision"] is None
    assert sample.tags == []


def test_the_app_finds_views_colours_and_a_sidebar(fo: Any, shared: Callable[..., Any]) -> None:
    dataset = shared().dataset
    sizes = {view: len(dataset.load_saved_view(view)) for view in dataset.list_saved_views()}
    assert sizes.pop("worst images") in range(4)  # those that can be judged
    assert sizes.pop("worst boxes") in range(4)
    assert sizes == {
        "rejected": 0, "needs fix": 0, "undecided": 3, "generated": 3, "real": 3,
        "class person": 0, "class bicycle": 1, "class car": 3,
    }  # fmt: skip
    groups = {group.name: group.paths for group in dataset.app_config.sidebar_groups}
    assert groups["decision"] == ["decision", "reason", "author"]
    assert "trouble" in groups["scores"]
    assert dataset.default_classes == ["person", "bicycle", "car"]
    assert dataset.app_config.color_scheme.color_by == "value"
    dataset.match(fo.ViewField("key") == "bdd/a.jpg").tag_samples("rejected")
    assert len(dataset.load_saved_view("rejected")) == 1
    assert len(dataset.load_saved_view("undecided")) == 2


def test_what_has_not_changed_is_not_written_again(fo: Any, browse: Browse, dataset_folder: Build, name: str) -> None:
    folder = dataset_folder("D")
    assert browse(folder).changed["added"] == 9
    before = fo.load_dataset(name).last_modified_at
    assert browse(folder).changed.total() == 0
    assert fo.load_dataset(name).last_modified_at == before


def test_a_rebuilt_dataset_is_updated_and_what_the_curator_did_stays(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, main: Callable[[str], Any]
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    sample = main("bdd/b.jpg")
    sample.tags.append("rejected")
    sample["decision"], sample["reason"], sample["author"] = "reject", "smeared", "anna"
    sample.boxes.detections[0].label = "bicycle"
    sample.boxes.detections[1].tags.append("kept")
    sample.boxes.detections.append(fo.Detection(label="person", bounding_box=[0.5, 0.5, 0.1, 0.1]))
    sample["mine"] = 7
    sample.save()
    removed = main("bdd/a.jpg")
    removed.boxes.detections = []
    removed.save()
    gone = main("bdd/night/c.jpg")
    gone.tags.append("kept")
    gone.save()
    (folder.parent / "bdd/rgb/night/c.jpg").unlink()
    done = browse(dataset_folder("D", limit=2, seed=_seed_that_drops(dataset_folder, "bdd/night/c.jpg")))
    assert (done.changed["added"], done.changed["removed"], done.decided) == (0, 2, 1)
    assert (done.edits.kept, done.edits.lost) == (3, [])
    sample = main("bdd/b.jpg")
    assert (sample.tags, sample["decision"], sample["reason"], sample["author"]) == (
        ["rejected"],
        "reject",
        "smeared",
        "anna",
    )
    assert sample["mine"] == 7
    assert [box.label for box in sample.boxes.detections] == ["bicycle", "bicycle", "person"]
    assert sample.boxes.detections[1].tags == ["kept"]
    assert main("bdd/a.jpg").boxes.detections == []


def _seed_that_drops(build: Build, key: str) -> int:
    """A seed by which two of the three generated images are taken, and not this one."""
    for seed in range(20):
        folder = build("trial", limit=2, seed=seed)
        images = json.loads((folder / "annotations/train.json").read_bytes())["images"]
        if key not in {image["key"] for image in images}:
            return seed
    raise AssertionError("no seed drops it")


def test_a_box_that_the_dataset_has_changed_too_is_the_datasets(
    browse: Browse, dataset_folder: Build, main: Callable[[str], Any]
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    sample = main("bdd/a.jpg")
    sample.boxes.detections[0].label = "bicycle"
    sample.save()
    _change(folder, lambda coco: coco["annotations"][0].update(category_id=1))
    done = browse(folder)
    assert (done.edits.kept, done.edits.lost) == (0, ["bdd/a.jpg#0"])
    assert main("bdd/a.jpg").boxes.detections[0].label == "person"


def _change(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the training images of a dataset as another build would."""
    path = folder / "annotations/train.json"
    coco = json.loads(path.read_bytes())
    change(coco)
    path.write_text(json.dumps(coco))
    described = unseal(json.loads((folder / "dataset.json").read_bytes()))
    (folder / "dataset.json").write_text(json.dumps(seal(described | {"digest": "f" * 64})))


def test_a_box_that_was_drawn_and_then_built_is_one_box(
    fo: Any, browse: Browse, dataset_folder: Build, main: Callable[[str], Any]
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    sample = main("bdd/a.jpg")
    drawn = fo.Detection(label="person", bounding_box=[0.5, 0.5, 0.1, 0.1], tags=["kept"])
    sample.boxes.detections.append(drawn)
    sample.save()
    added = {"id": 99, "image_id": 1, "category_id": 1, "bbox": [15, 10, 3, 2], "area": 6, "iscrowd": 0}
    added |= {"key": "bdd/a.jpg#+0123456789ab", "source_category": "person"}
    _change(folder, lambda coco: coco["annotations"].append(added))
    assert browse(folder).edits.kept == 0
    boxes = {box.key: box.tags for box in main("bdd/a.jpg").boxes.detections}
    assert boxes == {"bdd/a.jpg#+0123456789ab": ["kept"], "bdd/a.jpg#0": []}


def test_a_load_that_was_cut_short_is_completed(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = dataset_folder("D")
    monkeypatch.setattr("nirgen.browse.load._BATCH", 2)
    monkeypatch.setattr("nirgen.browse.load.check", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        browse(folder)
    monkeypatch.undo()
    assert browse(folder).changed["added"] == 5
    dataset = fo.load_dataset(name)
    assert len(dataset.select_group_slices(dataset.group_slices)) == 9


def _interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_samples_deleted_in_fiftyone_come_back(fo: Any, browse: Browse, dataset_folder: Build, name: str) -> None:
    folder = dataset_folder("D")
    browse(folder)
    dataset = fo.load_dataset(name)
    dataset.delete_samples(dataset.first())
    assert browse(folder).changed["added"] == 1


def test_a_moved_folder_has_its_paths_updated(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, main: Callable[[str], Any], tmp_path: Path
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    fo.load_dataset(name).tag_samples("kept")
    folder.rename(tmp_path / "E")
    done = browse(tmp_path / "E")
    assert done.moved_from == str(folder)
    sample = main("bdd/a.jpg")
    assert (sample.filepath, sample.tags) == (f"{tmp_path}/E/images/bdd/a.png", ["kept"])


def test_another_folder_under_a_name_is_refused(
    browse: Browse, dataset_folder: Build, name: str, tmp_path: Path
) -> None:
    folder = dataset_folder("D")
    browse(folder)
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(NirgenError, match=f"'{name}' shows another folder, {folder}; .* --name"):
        browse(tmp_path / "copy")
    shutil.rmtree(folder)
    _change(tmp_path / "copy", lambda coco: None)
    with pytest.raises(NirgenError, match=f"'{name}' shows another folder, {folder}, which is gone; .* --name"):
        browse(tmp_path / "copy")


def test_a_load_that_ends_before_its_dataset_has_a_name_is_repeated(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    folder = dataset_folder(name)
    with monkeypatch.context() as patched:
        patched.setattr(fo.Dataset, "name", property(fo.Dataset.name.fget, end))
        with pytest.raises(KeyboardInterrupt):
            browse(folder)
    assert not fo.dataset_exists(name)
    loaded = browse(folder)
    assert loaded.name == name
    assert fo.load_dataset(name).persistent


def test_a_dataset_that_nirgen_did_not_make_is_left_alone(
    fo: Any, browse: Browse, dataset_folder: Build, name: str
) -> None:
    fo.Dataset(name, persistent=True)
    with pytest.raises(NirgenError, match=f"a dataset '{name}' that nirgen didn't make; .* --name"):
        browse(dataset_folder("D"))


def test_a_dataset_deleted_while_it_is_loaded_is_said_to_be(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nirgen.browse.load._BATCH", 2)
    monkeypatch.setattr("nirgen.browse.load.check", lambda *_: fo.delete_dataset(name))
    before = set(_collections())
    with pytest.raises(NirgenError, match=f"the FiftyOne dataset '{name}' was deleted meanwhile"):
        browse(dataset_folder("D"))
    assert set(_collections()) <= before


def _collections() -> list[str]:
    """The collections of samples that the database has."""
    from fiftyone.core.odm import get_db_conn

    return [each for each in get_db_conn().list_collection_names() if each.startswith("samples.")]


def test_a_database_that_goes_away_is_one_line_and_the_next_run_completes(
    mongodb: str, start_mongod: Callable[..., Any], fo: Any, browse: Browse, dataset_folder: Build,
    name: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from nirgen.browse.database import open_fiftyone

    folder, own = dataset_folder("D"), start_mongod()
    monkeypatch.setattr("nirgen.browse.database.SECONDS_TO_ANSWER", 1)
    monkeypatch.setattr("nirgen.browse.load._BATCH", 2)
    open_fiftyone(own.uri)
    try:
        with monkeypatch.context() as patch:
            patch.setattr("nirgen.browse.load.check", lambda *_: own.stop())
            with pytest.raises(NirgenError, match=f"FiftyOne's database failed at the dataset '{name}'"):
                browse(folder)
        start_mongod(own.port)
        assert browse(folder).changed["added"] in {5, 9}  # a server that is killed may forget what it wrote last
    finally:
        monkeypatch.undo()
        open_fiftyone(mongodb)


def test_real_images_join_the_group_of_the_image_made_of_the_same_rgb(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, describe: Callable[..., None]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = dataset_folder("D")
    table = pq.read_table(folder / "provenance.parquet")
    rows = table.to_pylist()
    of_a = next(row for row in rows if row["key"] == "bdd/a.jpg")
    for row in rows:
        if row["key"] == "ranus/01/x.png":
            row |= {"source": "a.jpg", "source_sha256": of_a["source_sha256"]}
    pq.write_table(pa.Table.from_pylist(rows, table.schema), folder / "provenance.parquet")
    describe(folder)
    browse(folder)
    group = fo.load_dataset(name).get_group(
        fo.load_dataset(name).match(fo.ViewField("key") == "bdd/a.jpg").first().group.id
    )
    assert {slice_: sample.key for slice_, sample in group.items()} == {
        "nir": "bdd/a.jpg", "rgb": "bdd/a.jpg", "real_nir": "ranus/01/x.png"
    }  # fmt: skip


def test_a_translation_folder_is_loaded_without_boxes(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, tmp_path: Path
) -> None:
    dataset_folder("D")
    assert browse(tmp_path / "bdd/nir").samples == 6
    sample = fo.load_dataset(name).first()
    assert (sample.key, sample["split"], sample.boxes.detections) == ("nir/a.jpg", None, [])


def test_attributes_become_fields_whatever_they_are_called(
    fo: Any, browse: Browse, dataset_folder: Build, name: str, main: Callable[[str], Any]
) -> None:
    folder = dataset_folder("D")
    attributes = {"timeofday": "night", "key": "b", "time of.day": "3", "$x": "y"}
    _change(folder, lambda coco: coco["images"][0].update(attributes=attributes))
    browse(folder)
    sample = main("bdd/a.jpg")
    names = ("timeofday", "attribute_key", "time_of_day", "x")
    assert [sample[each] for each in names] == ["night", "b", "3", "y"]
    assert len(fo.load_dataset(name).load_saved_view("night")) == 1
