"""The operators of the plugin, as FiftyOne runs them, on a dataset in a real MongoDB."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., list[tuple[str, dict[str, Any]]]]


@pytest.fixture
def folder(shared: Callable[..., Any]) -> Path:
    folder: Path = shared(scores=False).folder
    return folder


@pytest.fixture
def dataset(shared: Callable[..., Any]) -> Any:
    """Three generated images with RGB, a car on each and a bicycle on the second; three real ones with a car each."""
    return shared(scores=False).dataset


@pytest.fixture
def run(dataset: Any) -> Run:
    """Run an operator; what it makes the App do, as names and parameters."""
    from fiftyone.operators import execute_operator

    from nirgen.browse.app import install

    install()

    def execute(
        operator: str, params: dict[str, Any] | None = None, **context: Any
    ) -> list[tuple[str, dict[str, Any]]]:
        at = {"selected_labels": [], **context}
        done = execute_operator(f"@nirgen/curation/{operator}", {"dataset": dataset, "params": params or {}, **at})
        dataset.reload()
        result = [("result", done.result)] if done.result else []
        return [(each.operator_uri, each.params or {}) for each in done.executor._requests] + result

    return execute


@pytest.fixture
def sample(fo: Any, dataset: Any) -> Callable[..., Any]:
    """The sample of an image of the dataset by its key, or of another slice of the same key."""

    def get(key: str, *slices: str) -> Any:
        everything = dataset.select_group_slices(list(slices or ("nir", "real_nir")))
        return everything.match(fo.ViewField("key") == key).first()

    return get


def _label(sample: Any, number: int) -> dict[str, str]:
    """A box as the App names it when it is selected."""
    return {"sample_id": sample.id, "label_id": sample.boxes.detections[number].id, "field": "boxes"}


def _said(requests: list[tuple[str, dict[str, Any]]]) -> tuple[str, str]:
    """The notification of an operator: its kind and its text."""
    ((_, params),) = [each for each in requests if each[0] == "notify"]
    return params["variant"], params["message"]


def _decision(sample: Any) -> tuple[list[str], Any, Any, Any]:
    return sample.tags, sample.decision, sample.reason, sample.author


def test_all_operators_are_registered_and_listed(run: Run, fo: Any) -> None:
    from fiftyone.operators import list_operators

    listed = {
        each.name: each.config for each in list_operators(builtin=False) if each.plugin_name == "@nirgen/curation"
    }
    assert list(listed) == [
        "reject",
        "keep",
        "needs_fix",
        "clear_decision",
        "delete_box",
        "change_class",
        "next_worst",
        "export_decisions",
        "why",
        "opened",
    ]
    assert [name for name, config in listed.items() if config.unlisted] == ["opened"]


def test_the_app_gets_a_key_for_each_decision_and_is_told_of_the_slice_of_real_images(run: Run, fo: Any) -> None:
    begin, notify = run("opened")
    assert begin[0] == "@nirgen/curation/begin"
    keys = begin[1]["keys"]
    assert {key: each["operator"].removeprefix("@nirgen/curation/") for key, each in keys.items()} == {
        "d": "reject",
        "a": "keep",
        "e": "needs_fix",
        "u": "clear_decision",
        "l": "change_class",
        "w": "next_worst",
        "1": "change_class",
        "2": "change_class",
        "3": "change_class",
    }
    assert [keys[number]["params"] for number in "123"] == [
        {"category": "person"},
        {"category": "bicycle"},
        {"category": "car"},
    ]
    assert notify[1]["message"].startswith(
        "3 generated images; 3 real images, in the slice real_nir and the view 'real'. Keys: D reject"
    )
    assert run("opened", dataset=fo.Dataset()) == [("@nirgen/curation/begin", {"keys": {}})]


def test_without_a_form_the_author_is_gits_user(
    run: Run, sample: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fiftyone.operators.store import ExecutionStore

    ExecutionStore.create("nirgen").delete("author")
    (tmp_path / "gitconfig").write_text("[user]\nname = Carla Field\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.chdir(tmp_path)
    run("reject", selected=[sample("bdd/a.jpg").id])
    assert _decision(sample("bdd/a.jpg")) == (["rejected"], "reject", "", "Carla Field")


def test_selected_images_are_rejected_with_reason_and_author(run: Run, sample: Callable[..., Any]) -> None:
    ids = [sample("bdd/a.jpg").id, sample("ranus/01/x.png").id]
    requests = run("reject", {"reason": " smeared ", "author": "anna"}, selected=ids)
    assert _said(requests) == ("success", "Rejected 2 images: smeared")
    assert {name for name, _ in requests} >= {"reload_samples", "clear_selected_samples"}
    for key in ("bdd/a.jpg", "ranus/01/x.png"):
        assert _decision(sample(key)) == (["rejected"], "reject", "smeared", "anna")
    assert _decision(sample("bdd/b.jpg")) == ([], None, None, None)


def test_a_decision_on_rgb_stands_on_the_image_of_the_dataset(run: Run, sample: Callable[..., Any]) -> None:
    copy = sample("bdd/a.jpg", "rgb")
    copy.tags = ["kept"]  # by FiftyOne's own tagging
    copy.save()
    run("needs_fix", {"reason": "box off"}, selected=[copy.id])
    assert _decision(sample("bdd/a.jpg"))[:3] == (["needs-fix"], "flag", "box off")
    assert sample("bdd/a.jpg", "rgb").tags == []


def test_the_opened_image_is_decided_if_nothing_is_selected(run: Run, sample: Callable[..., Any]) -> None:
    opened = sample("bdd/b.jpg")
    requests = dict(run("keep", current_sample=opened.id))
    assert sample("bdd/b.jpg").tags == ["kept"]
    shown = requests["@nirgen/curation/show_samples"]["samples"]
    assert {each["_id"]: each["tags"] for each in shown} == {opened.id: ["kept"], sample("bdd/b.jpg", "rgb").id: []}
    json.dumps(shown)


def test_another_decision_takes_the_place_of_the_first(run: Run, sample: Callable[..., Any]) -> None:
    ids = [sample("bdd/a.jpg").id]
    run("reject", {"reason": "smeared", "author": "anna"}, selected=ids)
    run("keep", {"author": "bert"}, selected=ids)
    assert _decision(sample("bdd/a.jpg")) == (["kept"], "keep", "", "bert")
    run("clear_decision", selected=ids)
    assert _decision(sample("bdd/a.jpg")) == ([], None, None, None)


def test_the_author_is_remembered(run: Run, dataset: Any, sample: Callable[..., Any]) -> None:
    from fiftyone.operators.executor import ExecutionContext
    from fiftyone.operators.registry import get_operator

    run("keep", {"author": "anna"}, selected=[sample("bdd/a.jpg").id])
    request = {"dataset_name": dataset.name, "selected": [sample("bdd/b.jpg").id]}
    form = get_operator("@nirgen/curation/reject").resolve_input(ExecutionContext(request)).to_json()
    fields = form["type"]["properties"]
    assert fields["author"]["default"] == "anna"
    assert fields["about"]["view"]["label"] == "bdd/b.jpg"
    assert [each["value"] for each in fields["reason"]["view"]["choices"]] == [
        "vanished object",
        "smeared",
        "wrong class",
        "box off",
        "unreal texture",
        "artefacts",
    ]


def test_a_form_with_nothing_to_decide_on_says_so(run: Run, dataset: Any) -> None:
    from fiftyone.operators.executor import ExecutionContext, ExecutionError
    from fiftyone.operators.registry import get_operator

    form = get_operator("@nirgen/curation/reject").resolve_input(ExecutionContext({"dataset_name": dataset.name}))
    (about,) = form.to_json()["type"]["properties"].values()
    assert (about["invalid"], about["view"]["label"]) == (
        True,
        "Nothing is selected: select images in the grid or boxes of an opened image, or open one",
    )
    with pytest.raises(ExecutionError, match="Validation error"):
        run("reject")


def test_selected_boxes_are_rejected_and_the_image_is_not(run: Run, sample: Callable[..., Any]) -> None:
    image = sample("bdd/b.jpg")
    params = {"reason": "vanished object", "author": "anna"}
    requests = run("reject", params, selected=[image.id], selected_labels=[_label(image, 1)])
    assert _said(requests) == ("success", "Rejected 1 box of bdd/b.jpg: vanished object")
    image = sample("bdd/b.jpg")
    car, bicycle = image.boxes.detections
    assert (image.tags, image.decision) == ([], None)
    assert "rejected" not in car.tags
    assert ("rejected" in bicycle.tags, bicycle.reason, bicycle.author) == (True, "vanished object", "anna")


def test_a_box_selected_on_rgb_is_that_of_the_dataset(run: Run, sample: Callable[..., Any]) -> None:
    copy = sample("bdd/b.jpg", "rgb")
    run("keep", selected_labels=[_label(copy, 0)])
    assert "kept" in sample("bdd/b.jpg").boxes.detections[0].tags
    assert "kept" not in sample("bdd/b.jpg", "rgb").boxes.detections[0].tags
    run("reject", selected_labels=[_label(copy, 0)])
    assert "kept" not in sample("bdd/b.jpg").boxes.detections[0].tags


def test_in_a_view_of_patches_a_patch_is_a_box(run: Run, dataset: Any, sample: Callable[..., Any]) -> None:
    patches = dataset.select_group_slices("nir").to_patches("boxes")
    (patch,) = [each for each in patches if each.boxes.key == "bdd/b.jpg#1"]
    run("reject", view=patches, selected=[patch.id])
    assert ["rejected" in box.tags for box in sample("bdd/b.jpg").boxes.detections] == [False, True]
    assert sample("bdd/b.jpg").tags == []
    patches = dataset.view()._build(dataset, patches._serialize())  # as the App asks for it again
    assert {each.boxes.key: each.boxes.tags for each in patches if "rejected" in each.boxes.tags} == {
        "bdd/b.jpg#1": ["rejected"]
    }


def test_the_class_of_selected_boxes_is_changed_and_given_back(run: Run, sample: Callable[..., Any]) -> None:
    image = sample("bdd/b.jpg")
    labels = [_label(image, 0), _label(image, 1)]
    run("reject", selected_labels=labels[:1])
    requests = run("change_class", {"category": "person", "reason": "wrong class"}, selected_labels=labels)
    assert _said(requests) == ("success", "Now person: 2 boxes of bdd/b.jpg")
    for each in (sample("bdd/b.jpg"), sample("bdd/b.jpg", "rgb")):
        assert [(box.label, "rejected" in box.tags) for box in each.boxes.detections] == [("person", False)] * 2
    assert sample("bdd/b.jpg").boxes.detections[0].reason == "wrong class"
    run("clear_decision", selected_labels=labels)
    boxes = sample("bdd/b.jpg").boxes.detections
    assert [(box.label, box.reason) for box in boxes] == [("car", None), ("bicycle", None)]


def test_images_have_no_class_to_change(run: Run, sample: Callable[..., Any]) -> None:
    from fiftyone.operators.executor import ExecutionError

    with pytest.raises(ExecutionError, match="Validation error"):
        run("change_class", {"category": "person"}, selected=[sample("bdd/a.jpg").id])


def test_without_a_selected_box_no_box_is_deleted_and_the_image_stays(run: Run, sample: Callable[..., Any]) -> None:
    requests = run("delete_box", current_sample=sample("bdd/a.jpg").id)
    assert _said(requests) == ("error", "no box is selected: open an image and click on a box")
    assert sample("bdd/a.jpg").tags == []


def test_the_worst_image_that_is_undecided_is_opened(run: Run, dataset: Any, sample: Callable[..., Any]) -> None:
    for key, trouble in (("bdd/a.jpg", 0.2), ("bdd/b.jpg", 0.9), ("bdd/night/c.jpg", 0.5)):
        image = sample(key)
        image["trouble"] = trouble
        image.save()

    def opened(**context: Any) -> str:
        (request,) = run("next_worst", group_slice="nir", **context)
        assert request[0] == "open_sample"
        found = dataset.select_group_slices("nir")[request[1]["id"]]
        assert found.group.id == request[1]["group_id"]
        return str(found.key)

    assert opened() == "bdd/b.jpg"
    assert opened(current_sample=sample("bdd/b.jpg").id) == "bdd/night/c.jpg"
    assert opened(current_sample=sample("bdd/a.jpg").id) == "bdd/b.jpg"
    run("keep", selected=[sample("bdd/b.jpg").id])
    assert opened() == "bdd/night/c.jpg"
    copy = sample("bdd/night/c.jpg", "rgb")
    copy.tags = ["kept"]  # by FiftyOne's own tagging
    copy.save()
    assert opened() == "bdd/a.jpg"
    copy.tags = []
    copy.save()
    assert opened(view=dataset.match({"key": {"$ne": "bdd/night/c.jpg"}})) == "bdd/a.jpg"
    run("reject", selected=[sample(key).id for key in ("bdd/a.jpg", "bdd/night/c.jpg")])
    assert _said(run("next_worst", group_slice="nir")) == (
        "error",
        "all other images shown here have decisions",
    )


def test_decisions_are_exported_beside_the_dataset(run: Run, folder: Path, sample: Callable[..., Any]) -> None:
    run("reject", {"reason": "smeared", "author": "anna"}, selected=[sample("bdd/a.jpg").id])
    requests = run("export_decisions", {"author": ""})
    out = folder.parent / "D-curation.jsonl"
    assert _said(requests) == ("success", f"{out}: 1 decisions, 1 of them new")
    (line,) = out.read_text().splitlines()
    assert (
        json.loads(line).items()
        >= {
            "key": "bdd/a.jpg",
            "action": "reject",
            "reason": "smeared",
            "author": "anna",
        }.items()
    )


def test_an_export_over_another_file_is_refused_in_one_line(run: Run, folder: Path) -> None:
    other = folder.parent / "notes.txt"
    other.write_text("mine")
    variant, message = _said(run("export_decisions", {"path": "notes.txt"}))
    assert variant == "error"
    assert message.startswith(f"{other}, line 1: ")
    assert other.read_text() == "mine"


def test_why_a_box_is_here_is_told_as_markdown(run: Run, sample: Callable[..., Any]) -> None:
    ((_, result),) = run("why", selected_labels=[_label(sample("bdd/b.jpg"), 1)])
    paragraphs = result["text"].split("\n\n")
    assert paragraphs[0].startswith("**annotation** ")
    assert paragraphs[0].endswith(r": bdd/b.jpg\#1")
    assert paragraphs[1] == "**class** bicycle"
    assert paragraphs[-1] == "**steps** 1. image: translated by model 72656400"


def test_buttons_are_in_the_toolbar_of_what_is_shown(run: Run, fo: Any, dataset: Any) -> None:
    from fiftyone.operators.executor import ExecutionContext
    from fiftyone.operators.registry import get_operator

    def place(operator: str, **request: str) -> str | None:
        context = ExecutionContext({"dataset_name": dataset.name, **request})
        found = get_operator(f"@nirgen/curation/{operator}").resolve_placement(context)
        return None if found is None else str(found.to_json()["place"])

    for operator in ("reject", "keep", "needs_fix", "next_worst"):
        assert place(operator) == "samples-grid-secondary-actions"
        assert place(operator, current_sample="0" * 24) == "samples-viewer-actions"
    assert place("change_class") is None
    assert place("change_class", current_sample="0" * 24) == "samples-viewer-actions"
    assert place("why") is None
    other = fo.Dataset()
    assert place("reject", dataset_name=other.name) is None


def test_hundreds_of_images_are_decided_in_a_few_writes(
    run: Run, dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bson import ObjectId
    from pymongo.collection import Collection

    image, copy = (dataset._sample_collection.find_one({"key": "bdd/a.jpg", "group.name": n}) for n in ("nir", "rgb"))
    samples = []
    for number in range(300):
        group = ObjectId()
        for one in (image, copy):
            own = {"_id": ObjectId(), "key": f"bdd/{number}.jpg", "group": one["group"] | {"_id": group}}
            samples.append(one | own)
    dataset._sample_collection.insert_many(samples)
    ids = [str(one["_id"]) for one in samples]

    writes: list[int] = []
    write = Collection.bulk_write
    monkeypatch.setattr(
        Collection, "bulk_write", lambda self, ops, **given: (writes.append(len(ops)), write(self, ops, **given))[1]
    )
    requests = run("reject", {"reason": "smeared"}, selected=ids)
    assert _said(requests) == ("success", "Rejected 300 images: smeared")
    assert len(writes) < 20
    assert dataset.select_group_slices("nir").match_tags("rejected").count() == 300
    assert dataset.select_group_slices("rgb").match_tags("rejected").count() == 0
