from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from nirgen.collection import open_collection
from nirgen.dataset.planner import apply_plan, write_plan
from nirgen.errors import NirgenError
from nirgen.translate.manifest import read_manifest, write_manifest
from nirgen.translate.run import translate_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.dataset.plan import Plan


def left_out(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {each.what: each.examples for each in plan.left_out}


def keys(plan: Plan) -> list[str]:
    return [image.key for image in plan.images]


def test_a_plan_has_every_image_with_its_place_and_its_labels(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    plan = plan_dataset(dataset_inputs())
    assert [(image.key, image.split, image.target) for image in plan.images] == [
        ("bdd/a.jpg", "train", "images/bdd/a.png"),
        ("bdd/b.jpg", "train", "images/bdd/b.png"),
        ("bdd/night/c.jpg", "train", "images/bdd/night/c.png"),
        ("ranus/01/x.png", "train", "images/ranus/01/x.png"),
        ("ranus/02/y.png", "val", "images/ranus/02/y.png"),
        ("ranus/03/z.png", "test", "images/ranus/03/z.png"),
    ]
    for image in plan.images:
        assert image.path.is_absolute()
        assert hashlib.sha256(image.path.read_bytes()).hexdigest() == image.sha256
        assert image.labels is not None
        assert image.key.endswith(image.labels.file_name)
    night = plan.images[2]
    assert (night.kind, night.source, night.generator, night.label_file) == ("generated", "night/c.jpg", 0, 0)
    assert night.source_sha256 == hashlib.sha256((tmp_path / "bdd/rgb/night/c.jpg").read_bytes()).hexdigest()
    assert (plan.images[3].kind, plan.images[3].sequence, plan.images[3].label_file) == ("real", "s01", 1)
    assert (plan.left_out, plan.leaks) == ((), ())


def test_only_images_that_are_as_they_were_translated_go_in(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    (tmp_path / "bdd/nir/a.png").unlink()
    Image.new("L", (30, 20)).save(tmp_path / "bdd/nir/b.png")
    plan = plan_dataset(inputs)
    assert keys(plan)[:1] == ["bdd/night/c.jpg"]
    assert left_out(plan) == {"missing": ("a.jpg",), "changed": ("b.jpg",)}


def test_images_that_failed_lose_their_labels(dataset_inputs, plan_dataset, red, write_labels, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    (tmp_path / "bdd/rgb/broken.jpg").write_bytes(b"\xff\xd8\xffnot an image")
    translate_folder(tmp_path / "bdd/rgb", tmp_path / "bdd/nir", model=red)
    write_labels(tmp_path / "bdd.json", {"a.jpg": {}, "broken.jpg": {"boxes": [(3, [0, 0, 5, 5])]}})
    plan = plan_dataset(inputs)
    assert left_out(plan) == {"failed": ("broken.jpg",), "unlabelled": ("b.jpg", "night/c.jpg")}
    assert "bdd/broken.jpg" not in keys(plan)


def test_unlabelled_images_are_negatives_only_if_asked_for(
    dataset_inputs, plan_dataset, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    write_labels(tmp_path / "bdd.json", {"a.jpg": {}})
    write_labels(tmp_path / "ranus.json", {"01/x.png": {"split": "train"}, "02/y.png": {"split": "val"}})
    plan = plan_dataset(inputs)
    assert [(each.origin, each.what, each.count) for each in plan.left_out] == [
        ("bdd", "unlabelled", 2),
        ("ranus", "unlabelled", 1),
    ]
    assert keys(plan) == ["bdd/a.jpg", "ranus/01/x.png", "ranus/02/y.png"]
    plan = plan_dataset(inputs, include_unlabelled=True, splits={"train": 1.0})
    assert plan.left_out == ()
    assert {image.key: image.labels for image in plan.images}["bdd/b.jpg"] is None
    assert plan.images[0].labels is not None


def test_a_label_without_its_image_is_named(dataset_inputs, plan_dataset, write_labels, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    write_labels(tmp_path / "bdd.json", {"a.jpg": {}, "b.jpg": {}, "night/c.jpg": {}, "z.jpg": {}})
    assert left_out(plan_dataset(inputs)) == {"without-image": ("z.jpg",)}


def test_a_label_entry_of_another_shape_is_not_used(dataset_inputs, plan_dataset, write_labels, tmp_path: Path) -> None:
    """A label tool that ignores EXIF says 20x30 of an image that is 30x20 when upright."""
    inputs = dataset_inputs()
    turned, halved = {"width": 20, "height": 30}, {"width": 60, "height": 40}
    write_labels(tmp_path / "bdd.json", {"a.jpg": turned, "b.jpg": halved, "night/c.jpg": {"width": 35}})
    plan = plan_dataset(inputs)
    assert left_out(plan) == {
        "size": (
            "a.jpg is 30x20, labelled as 20x30, turned by EXIF or not",
            "night/c.jpg is 30x20, labelled as 35x20",
        )
    }
    image = plan.images[0]
    assert image.labels is not None
    assert (image.width / image.labels.width, image.height / image.labels.height) == (0.5, 0.5)


def test_real_images_are_upright_when_their_size_is_compared(
    dataset_inputs, plan_dataset, save, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    path = save(tmp_path / "ranus/01/x.png")
    exif = Image.Exif()
    exif[274] = 6
    with Image.open(path) as image:
        image.save(tmp_path / "ranus/01/turned.jpg", exif=exif)
    path.unlink()
    sizes = {"width": 20, "height": 30}
    write_labels(tmp_path / "ranus.json", {"01/turned.jpg": {"split": "train", **sizes}, "02/y.png": {"split": "val"}})
    plan = plan_dataset(inputs)
    assert [(image.width, image.height) for image in plan.images if image.kind == "real"] == [(20, 30), (30, 20)]


def test_files_that_are_no_images_stay_out(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    (tmp_path / "ranus/02/y.png").write_bytes(b"text")
    assert left_out(plan_dataset(inputs)) == {"damaged": ("02/y.png",)}


def test_splits_of_other_names_stay_out(dataset_inputs, plan_dataset, write_labels, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    splits = {"01/x.png": {"split": "training"}, "02/y.png": {"split": "validation"}, "03/z.png": {"split": "extra"}}
    write_labels(tmp_path / "ranus.json", splits)
    plan = plan_dataset(inputs)
    assert [image.split for image in plan.images if image.kind == "real"] == ["train", "val"]
    assert left_out(plan) == {"other-split": ("03/z.png is of 'extra'",)}


def test_what_is_put_right_in_labels_and_matched_by_spelling_is_noted(plan_dataset, save, tmp_path: Path) -> None:
    save(tmp_path / "ir/my image.png", grey=True)
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [12, 9, -8, -6], "keypoints": [None, 1, 2]},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [20, 9, 6, 6], "area": 5000, "segmentation": "text"},
    ]
    values = {
        "images": [{"id": 1, "file_name": "my%20image.jpg", "width": 30, "height": 20, "split": "train"}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    (tmp_path / "ir.json").write_text(json.dumps(values))
    real = [{"origin": "ir", "folder": tmp_path / "ir", "labels": tmp_path / "ir.json"}]
    plan = plan_dataset({"real": real}, policy="identity")
    assert plan.matched[0].spelling == 1
    assert [note for note in plan.notes if note.startswith("ir: ")] == [
        "ir: 1 image(s) found labels under another spelling (%20, Unicode) or ending",
        "ir: 1 boxes with exchanged corners, put right",
        "ir: 1 areas larger than their box, computed anew",
        "ir: 1 segmentations left out, wholly or in part",
        "ir: 1 keypoints left out, which are no triples of numbers",
    ]


def test_an_input_without_a_usable_image_tells_why_and_what_to_do(
    dataset_inputs, plan_dataset, save, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    save(tmp_path / "ir/a.png", 30, 20, grey=True)
    labels = write_labels(tmp_path / "ir.json", {"a.png": {"split": "train"}})
    inputs["real"].append({"origin": "ir", "folder": tmp_path / "ir", "labels": labels})
    with pytest.raises(NirgenError) as error:
        plan_dataset(inputs)
    assert str(error.value) == (
        "'ir' has no image that can be used (1 images whose size doesn't fit their label entry, such as a.png is "
        "20x30, labelled as 30x20, turned by EXIF or not); take the images' sizes into the labels: nirgen labels FILE "
        f"-o OUT.json --images {tmp_path / 'ir'}"
    )


def test_a_plan_that_samples_nothing_names_the_limit(dataset_inputs, plan_dataset) -> None:
    with pytest.raises(NirgenError, match="is sampled; raise --limit"):
        plan_dataset({"generated": dataset_inputs()["generated"]}, limit=0)


def test_images_of_one_name_keep_the_folders_of_their_inputs(
    dataset_inputs, plan_dataset, save, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    save(tmp_path / "other/01/x.png", seed=30)
    labels = write_labels(tmp_path / "other.json", {"01/x.png": {"split": "train"}})
    inputs["real"].append({"origin": "other", "folder": tmp_path / "other", "labels": labels})
    targets = [image.target for image in plan_dataset(inputs).images if image.target.endswith("01/x.png")]
    assert targets == ["images/other/01/x.png", "images/ranus/01/x.png"]


def test_encoded_anew_images_that_would_share_a_name_keep_their_endings(
    dataset_inputs, plan_dataset, save, write_labels, tmp_path: Path
) -> None:
    inputs = dataset_inputs()
    save(tmp_path / "ranus/01/x.jpg", seed=30)
    save(tmp_path / "ranus/02/v.jpg", seed=31)
    images = {"01/x.png": {}, "01/x.jpg": {}, "02/v.jpg": {}}
    write_labels(tmp_path / "ranus.json", {name: {"split": "train"} for name in images})
    targets = [image.target for image in plan_dataset(inputs, codec="png").images if image.kind == "real"]
    assert targets == ["images/ranus/01/x.jpg.png", "images/ranus/01/x.png.png", "images/ranus/02/v.png"]


def test_the_plan_does_not_depend_on_where_things_are(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    before = plan_dataset(inputs)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("bdd", "ranus", "bdd.json", "ranus.json"):
        shutil.move(tmp_path / name, moved / name)
    for each in (*inputs["generated"], *inputs["real"]):
        each |= {name: moved / each[name].relative_to(tmp_path) for name in ("folder", "labels")}
    inputs["generated"][0]["sources"] = moved / "bdd/rgb"
    after = plan_dataset(inputs)
    assert (after.digest, after.inputs) == (before.digest, before.inputs)


def test_another_seed_or_another_file_gives_another_digest(dataset_inputs, plan_dataset, save, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    digests = [plan_dataset(inputs).digest, plan_dataset(inputs, seed=1).digest]
    save(tmp_path / "ranus/02/y.png", seed=40)
    digests.append(plan_dataset(inputs).digest)
    assert len(set(digests)) == 3


def test_notes_say_what_can_not_be_told(dataset_inputs, plan_dataset, tmp_path: Path) -> None:
    inputs = dataset_inputs()
    shutil.rmtree(tmp_path / "bdd/rgb")
    assert plan_dataset(inputs).notes == (
        "bdd: its generator 726564000000 has no list of what trained it: leaks by it can't be told",
        "bdd: 3 of 3 RGB sources aren't there (--sources): they weren't compared with other RGB images",
        "ranus: 2 of 2 have no RGB partner that is there (--real-pairs): they weren't compared with other RGB images",
    )
    assert plan_dataset({"generated": inputs["generated"]}).notes == (
        "there are no real images: everything is in train, and nothing judges a detector",
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unfinished", "bdd/nir: its translation hasn't ended; finish it with the same 'nirgen translate'"),
        (
            "no manifest",
            "bdd/nir: no translation folder (no manifest.parquet with rows);",
        ),
        ("other labels", "fits any of the 3 images of 'bdd', such as 'a.jpg'; name the labels of these images"),
        ("other classes", "the labels of 'ranus' have the classes car, and bdd.json has person, bicycle, car;"),
        ("translations as real", "ranus: a translation folder, whose images are not real; give it with --generated"),
        ("no real images", "ranus: no folder with images; name that of the real NIR images"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    dataset_inputs, plan_dataset, write_labels, tmp_path: Path, fault: str, message: str
) -> None:
    inputs = dataset_inputs()
    if fault == "unfinished":
        (tmp_path / "bdd/nir/.nirgen/journal.jsonl").write_text('{"schema": 1}\n')
    elif fault == "no manifest":
        (tmp_path / "bdd/nir/manifest.parquet").unlink()
    elif fault == "other labels":
        write_labels(tmp_path / "bdd.json", {"q.jpg": {}})
    elif fault == "other classes":
        write_labels(tmp_path / "ranus.json", {"01/x.png": {}}, classes=("car",))
    elif fault == "translations as real":
        shutil.copy(tmp_path / "bdd/nir/manifest.parquet", tmp_path / "ranus")
    else:
        shutil.rmtree(tmp_path / "ranus")
    with pytest.raises(NirgenError) as error:
        plan_dataset(inputs)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "x\\a.jpg", "C:/a.jpg"])
def test_labels_that_lead_out_of_their_folder_are_refused(
    dataset_inputs, plan_dataset, write_labels, tmp_path: Path, name: str
) -> None:
    inputs = dataset_inputs()
    write_labels(tmp_path / "bdd.json", {name: {}, "a.jpg": {}})
    with pytest.raises(NirgenError, match="write a path relative to the images' folder"):
        plan_dataset(inputs)


@pytest.mark.parametrize("field", ["source", "output"])
@pytest.mark.parametrize("status", ["done", "failed"])
@pytest.mark.parametrize("name", ["../../secret.png", "a\u2028b.png", ""])
def test_a_row_whose_name_leads_elsewhere_is_left_out_alone(
    dataset_inputs, plan_dataset, tmp_path: Path, field: str, status: str, name: str
) -> None:
    inputs = dataset_inputs()
    manifest = read_manifest(tmp_path / "bdd/nir")
    assert manifest is not None
    rows = (replace(manifest.rows[0], **{field: name, "status": status}), *manifest.rows[1:])
    write_manifest(tmp_path / "bdd/nir", replace(manifest, rows=rows))
    plan = plan_dataset(inputs)
    assert keys(plan)[:2] == ["bdd/b.jpg", "bdd/night/c.jpg"]
    shown = name.replace("\u2028", "\\u2028") if field == "source" else "a.jpg"
    assert left_out(plan) == {"failed" if status == "failed" else "name": (shown,), "without-image": ("a.jpg",)}


def test_images_whose_names_end_lines_are_left_out_and_named(
    dataset_inputs, plan_dataset, save, tmp_path: Path
) -> None:
    for name in ("bdd/rgb/x\n.jpg", "bdd/rgb/\x85.jpg", "ranus/01/y\u2028.png", "ranus/01/\udce9.png"):
        save(tmp_path / name, seed=9)
    inputs = dataset_inputs()
    plan = plan_dataset(inputs)
    assert len(plan.images) == 6
    assert [(each.origin, each.what, each.examples) for each in plan.left_out] == [
        ("bdd", "name", ("\\u0085.jpg", "x\\n.jpg")),
        ("ranus", "name", ("01/\\udce9.png", "01/y\\u2028.png")),
    ]
    write_plan(tmp_path / "plan.json", plan)
    assert apply_plan(tmp_path / "plan.json") == plan
    collection = open_collection(tmp_path / "bdd/nir")
    assert (collection.count, collection.misnamed) == (3, 2)
    assert [item.rgb_name for item in collection.items()] == ["a.jpg", "b.jpg", "night/c.jpg"]


@pytest.mark.parametrize("model", [{"training": [5]}, {"training": {"pairs": [5]}}, {"training": {"pairs": 5}}])
def test_a_manifest_whose_model_is_of_another_kind_is_one_line(
    dataset_inputs, plan_dataset, tmp_path: Path, model: dict[str, object]
) -> None:
    inputs = dataset_inputs()
    manifest = read_manifest(tmp_path / "bdd/nir")
    assert manifest is not None
    write_manifest(tmp_path / "bdd/nir", replace(manifest, model=model))
    with pytest.raises(NirgenError, match=r"manifest\.parquet: the model's header in it is damaged; translate anew"):
        plan_dataset(inputs)


@pytest.fixture
def planned(dataset_inputs, plan_dataset, tmp_path: Path) -> Callable[..., Path]:
    """Write the plan of the small inputs."""

    def make(**settings: object) -> Path:
        write_plan(tmp_path / "plan.json", plan_dataset(dataset_inputs(), **settings))
        return tmp_path / "plan.json"

    return make


def test_a_plan_comes_back_from_its_file(planned, plan_dataset, dataset_inputs) -> None:
    settings = {"limit": 2, "balance": "class", "seed": 3, "near_duplicates": False, "formats": ["yolo"]}
    plan = apply_plan(planned(**settings))
    assert plan == plan_dataset(dataset_inputs(), **settings)


def test_a_plan_file_has_relative_paths_and_no_clock(planned, tmp_path: Path) -> None:
    path = planned()
    first = path.read_bytes()
    values = json.loads(first)
    assert str(tmp_path).encode() not in first
    assert values["config"]["generated"] == [
        {"origin": "bdd", "folder": "bdd/nir", "labels": "bdd.json", "sources": "bdd/rgb"}
    ]
    assert sorted(values["inputs"]) == [
        "bdd: images",
        "bdd: labels",
        "bdd: manifest.parquet",
        "ranus: images",
        "ranus: labels",
    ]
    assert planned().read_bytes() == first


def test_a_plan_is_carried_out_where_its_inputs_were_moved_together(planned, tmp_path: Path) -> None:
    path = planned()
    digest = json.loads(path.read_bytes())["digest"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("plan.json", "bdd", "ranus", "bdd.json", "ranus.json"):
        shutil.move(tmp_path / name, moved / name)
    assert apply_plan(moved / "plan.json").digest == digest


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("an output", "bdd: images"),
        ("a real image", "ranus: images"),
        ("another real image", "ranus: what is left out"),
        ("labels", "ranus: labels"),
        ("a policy", "policy"),
    ],
)
def test_a_plan_whose_inputs_changed_is_refused_naming_them(
    planned, save, write_labels, tmp_path: Path, change: str, named: str
) -> None:
    if change == "a policy":
        (tmp_path / "own.yaml").write_text("classes: [{name: car, take: [car]}]\n")
    path = planned(policy=str(tmp_path / "own.yaml")) if change == "a policy" else planned()
    if change == "an output":
        (tmp_path / "bdd/nir/b.png").write_bytes((tmp_path / "bdd/nir/a.png").read_bytes())
    elif change == "a real image":
        save(tmp_path / "ranus/02/y.png", seed=77)
    elif change == "another real image":
        save(tmp_path / "ranus/02/new.png", seed=77)
    elif change == "labels":
        values = json.loads((tmp_path / "ranus.json").read_text())
        values["annotations"][0]["bbox"] = [0, 0, 1, 1]
        (tmp_path / "ranus.json").write_text(json.dumps(values))
    else:
        (tmp_path / "own.yaml").write_text("classes: [{name: car, take: [car, van]}]\n")
    with pytest.raises(NirgenError) as error:
        apply_plan(path)
    assert str(error.value) == (f"{path}: the plan has changed since: {named}; plan again with --plan, and check it")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't be read (No such file or directory); '--plan FILE' writes a plan"),
        ("{", "not a plan of nirgen; '--plan FILE' writes one"),
        ("[]", "not a plan of nirgen; '--plan FILE' writes one"),
        (
            '{"schema": 9, "digest": "", "config": {}, "inputs": {}, "summary": {}}',
            "has schema 9, and this nirgen reads 1",
        ),
    ],
)
def test_other_files_are_no_plans(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(NirgenError) as error:
        apply_plan(path)
    assert message in str(error.value)
