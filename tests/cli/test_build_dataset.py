from __future__ import annotations

import io
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def command(dataset_inputs: Callable[..., dict[str, Any]], tmp_path: Path) -> list[object]:
    """The command on the small inputs: three translated images, three real ones."""
    (generated,), (real,) = dataset_inputs().values()
    return [
        "build-dataset",
        *(f"bdd={generated['folder']}", generated["labels"], tmp_path / "D"),
        *("--real", f"{real['folder']}:{real['labels']}"),
    ]


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Answer what is asked, as one who sits at a terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda answer: monkeypatch.setattr(sys, "stdin", Terminal(answer))


def test_a_dataset_is_built_once_and_found_built(command, nirgen, tmp_path: Path) -> None:
    code, out, err = nirgen(*command, "--yes")
    assert (code, err) == (0, "")
    assert f"{tmp_path / 'D'}: 6 images (6 hard links), 7 annotations; " in out
    assert sorted(path.name for path in (tmp_path / "D/annotations").iterdir()) == [
        "test.json",
        "train.json",
        "val.json",
    ]
    assert (tmp_path / "D/images/bdd/night/c.png").samefile(tmp_path / "bdd/nir/night/c.png")
    code, out, _ = nirgen(*command, "--yes")
    assert (code, out.splitlines()[-1]) == (
        0,
        f"{tmp_path / 'D'}: is this dataset already, and intact; nothing was written",
    )


def test_the_plan_is_shown_and_nothing_done(command, nirgen, tmp_path: Path) -> None:
    (tmp_path / "bdd/nir/a.png").unlink()
    code, out, _ = nirgen(*command, "--dry-run")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        "train val test",
        "generated images 2 0 0",
        "real images 1 1 1",
        "boxes: bicycle 1 0 0",
        "boxes: car 3 1 1",
        "bdd: 3 images, labels of 3; matched: 3 by path",
        "bdd: 1 left out, rows whose image is gone, such as a.jpg",
        "no leaks: nothing in val or test is known to be in training",
    ):
        assert line in lines
    assert not (tmp_path / "D").exists()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(command, nirgen, on_terminal, tmp_path: Path, answer: str, code: int) -> None:
    on_terminal(answer)
    assert nirgen(*command)[0] == code
    assert (tmp_path / "D").exists() == (code == 0)


def test_a_plan_is_written_and_carried_out(command, nirgen, tmp_path: Path) -> None:
    code, out, _ = nirgen(*command, "--limit", "1", "--plan", tmp_path / "plan.json")
    assert code == 0
    assert out.endswith(f"plan.json: the plan; carry it out with --apply {tmp_path / 'plan.json'} -o D\n")
    assert not (tmp_path / "D").exists()
    code, out, _ = nirgen("build-dataset", "--apply", tmp_path / "plan.json", "--out", tmp_path / "D")
    assert code == 0
    assert ": 4 images (4 hard links), " in out


def test_a_plan_whose_inputs_changed_is_not_carried_out(command, nirgen, save, tmp_path: Path) -> None:
    nirgen(*command, "--plan", tmp_path / "plan.json")
    save(tmp_path / "ranus/02/y.png", seed=50)
    code, _, err = nirgen("build-dataset", "--apply", tmp_path / "plan.json", "--out", tmp_path / "D")
    assert code == 1
    assert err.startswith(f"error: {tmp_path / 'plan.json'}: the plan has changed since: ranus: images; plan again")
    assert not (tmp_path / "D").exists()


def test_leaks_are_named_and_stop_it(command, nirgen, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "ranus/01/x.png", tmp_path / "ranus/02/y.png")
    code, out, err = nirgen(*command, "--yes", "--plan", tmp_path / "plan.json")
    assert code == 1
    assert "leak (file): val image 'ranus/02/y.png' and 'ranus/01/x.png', the same file" in out
    assert err.startswith("error: 1 image(s) in validation or test were seen in training, such as 'ranus/02/y.png'")
    assert not (tmp_path / "plan.json").exists()
    assert nirgen(*command, "--yes", "--allow-leak")[0] == 0
    assert "ranus/02/y.png" in (tmp_path / "D/README.md").read_text()


def test_photos_given_as_nir_are_counted_and_stop_it(command, nirgen, save, tmp_path: Path) -> None:
    save(tmp_path / "ranus/02/y.png", seed=11)
    code, out, err = nirgen(*command, "--dry-run")
    assert code == 1
    assert "1 of 3 real images are in colour, which NIR isn't, such as ranus/02/y.png" in out
    assert err.startswith(
        "error: 1 of 3 real images are in colour, such as 'ranus/02/y.png', and NIR isn't; give the NIR"
    )
    code, out, _ = nirgen(*command, "--dry-run", "--json", "--allow-colour")
    assert (code, json.loads(out)["plan"]["coloured"]["count"]) == (0, 1)


def test_machines_get_plan_and_result(command, nirgen, tmp_path: Path) -> None:
    code, out, _ = nirgen(*command, "--json", "--dry-run")
    plan = json.loads(out)["plan"]
    assert (code, plan["images"], plan["splits"]["val"]["real"]) == (0, 6, 1)
    code, out, _ = nirgen(*command, "--json", "--yes")
    values = json.loads(out)
    assert code == 0
    assert values["plan"] == plan
    assert (values["built"]["out"], values["built"]["images"], values["built"]["already"]) == (
        str(tmp_path / "D"),
        6,
        False,
    )


def test_lists_of_pairs_and_sources_find_their_inputs(command, nirgen, tmp_path: Path) -> None:
    (tmp_path / "bdd/rgb").rename(tmp_path / "rgb")
    lone = [*command, "--dry-run", "--json"]
    (tmp_path / "pairs.csv").write_text(
        "name,rgb,nir,sequence,split,category,rgb_sha256,nir_sha256\n"
        "y,rgb/a.jpg,ranus/02/y.png,s02,val,,0,0\nz,rgb/b.jpg,ranus/03/z.png,s03,test,,0,0\n"
    )
    code, out, _ = nirgen(*lone, "--sources", f"bdd={tmp_path / 'rgb'}", "--real-pairs", tmp_path / "pairs.csv")
    plan = json.loads(out)["plan"]
    assert plan["notes"] == [
        "bdd: its generator 726564000000 has no list of what trained it: leaks by it can't be told"
    ]
    assert [(leak["kind"], leak["key"]) for leak in plan["leaks"]] == [
        ("near-duplicate", "ranus/02/y.png"),
        ("near-duplicate", "ranus/03/z.png"),
    ]
    assert code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no terminal to ask on: say --yes to build"),
        (["--json"], "--json asks nothing: say --yes to build, --dry-run to see the plan"),
        (["--yes", "--labels", "more.json"], "0 --generated without labels and 1 --labels were given"),
        (["--yes", "--real", "other"], "1 --real without labels and 0 --real-labels were given; give labels with"),
        (["--yes", "--real", "other:"], "--real other:: give NAME=DIR:LABELS, such as bdd=nir:labels.json"),
        (["--yes", "--out", "E"], "two datasets to write: "),
        (["--yes", "more"], "there are 4 paths; give NIR LABELS OUT, and further inputs with --real"),
        (["--yes", "--real-pairs", "nobody=l.csv"], "nobody=l.csv: no --real that it could belong to"),
        (["--apply", "plan.json"], "--apply takes its inputs from its plan; give OUT alone"),
    ],
)
def test_wrong_usage_is_told_at_once(command, nirgen, arguments: list[str], message: str) -> None:
    code, out, err = nirgen(*command, *arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())


@pytest.fixture
def mixed(dataset_inputs, write_labels, tmp_path: Path) -> list[object]:
    """The command on translated grey PNG files and on real JPEG files of three equal channels, in one folder."""
    (generated,), _ = dataset_inputs().values()
    labelled = {}
    for number, split in enumerate(("train", "train", "val", "test")):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 1), dtype=np.uint8)
        (tmp_path / "rig").mkdir(exist_ok=True)
        Image.fromarray(pixels.repeat(3, axis=2)).save(tmp_path / f"rig/{number}.jpg")
        labelled[f"{number}.jpg"] = {"boxes": [(3, [1, 2, 10, 5])], "split": split}
    labels = write_labels(tmp_path / "rig.json", labelled)
    return [
        *("build-dataset", f"bdd={generated['folder']}", generated["labels"], tmp_path / "D"),
        *("--real", f"{tmp_path / 'rig'}:{labels}", "--no-near-duplicates"),
    ]


def test_by_default_the_validator_has_no_warnings(mixed, nirgen, tmp_path: Path) -> None:
    code, out, err = nirgen(*mixed, "--yes")
    assert code == 0, err
    assert "7 images (3 encoded anew, 4 hard links)" in out
    assert "note: real and generated images differ, so all are encoded as most real ones are: jpg, 3 channels" in out
    assert (tmp_path / "D/images/rig/0.jpg").samefile(tmp_path / "rig/0.jpg")
    code, out, _ = nirgen("validate", tmp_path / "D", "--json")
    assert (code, [each for each in json.loads(out)["findings"] if each["severity"] != "note"]) == (0, [])
    nirgen(*mixed[:3], tmp_path / "E", *mixed[4:], "--yes", "--codec", "keep", "--channels", "keep")
    found = json.loads(nirgen("validate", tmp_path / "E", "--json")[1])["findings"]
    assert {"mixed-codecs", "mixed-channels"} <= {each["check"] for each in found}


def test_what_makes_results_unsure_is_told_with_its_remedy(mixed, nirgen) -> None:
    code, out, _ = nirgen(*mixed, "--dry-run")
    assert code == 0
    cautions = [line for line in out.splitlines() if line.startswith("caution: ")]
    assert cautions == [
        "caution: train: no person, which can't be learnt; add images that show them",
        *(
            f"caution: {split}: too few boxes to judge a class by: person 0, bicycle 0, car 1 (under 20); add real "
            "images that show them, or give it a larger share by --split"
            for split in ("val", "test")
        ),
        (
            "caution: 4 of 4 real images are of no known recording, so splits may share one: give each recording a "
            "folder or a 'sequence' in the labels, or name the list of pairs with --real-pairs"
        ),
    ]


def test_a_plan_is_carried_out_with_its_own_settings(nirgen) -> None:
    code, _, err = nirgen("build-dataset", "D", "--apply", "plan.json", "--seed", "3")
    assert code == 2
    assert "--apply takes everything else from its plan; leave out --seed" in " ".join(err.split())


def test_a_dataset_needs_a_place(command, nirgen) -> None:
    code, _, err = nirgen(*command[:3], *command[4:], "--yes")
    assert code == 2
    assert "name the dataset to write: NIR LABELS OUT" in err


def test_labels_apart_from_their_folders_still_work_and_the_new_form_is_told(
    dataset_inputs, nirgen, tmp_path: Path
) -> None:
    (generated,), (real,) = dataset_inputs().values()
    inputs = ["--generated", f"bdd={generated['folder']}", "--real", real["folder"]]
    code, _, err = nirgen(
        "build-dataset", *inputs, "--labels", generated["labels"], "--real-labels", real["labels"], "-o",
        tmp_path / "old", "--yes",
    )  # fmt: skip
    newer = f"--generated bdd={generated['folder']}:{generated['labels']} --real {real['folder']}:{real['labels']}"
    assert (code, err) == (0, f"note: an input takes its labels with it: {newer}\n")
    code, _, err = nirgen("build-dataset", *newer.split(), tmp_path / "new", "--yes")
    assert (code, err) == (0, "")
    assert (tmp_path / "new/dataset.json").read_bytes() == (tmp_path / "old/dataset.json").read_bytes()


def test_the_order_of_folders_pairs_nothing(dataset_inputs, nirgen, tmp_path: Path) -> None:
    (generated,), (real,) = dataset_inputs().values()
    (tmp_path / "run 10:30").symlink_to(real["folder"])
    code, out, _ = nirgen(
        "build-dataset", "--real", f"a={tmp_path / 'run 10:30'}:{real['labels']}", "--real-labels", real["labels"],
        "--generated", f"bdd={generated['folder']}:{generated['labels']}", "--real", f"b={real['folder']}",
        tmp_path / "D", "--dry-run", "--json", "--allow-leak",
    )  # fmt: skip
    assert code == 0
    matched = {each["origin"]: each["images"] for each in json.loads(out)["plan"]["matched"]}
    assert matched == {"bdd": 3, "a": 3, "b": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "train=0.5"], "split 'train=0.5': the shares add up to 0.5 and not to 1"),
        (["--formats", "yolo,voc"], "the command line: 'formats.1': Input should be 'yolo', 'hf' or 'rfdetr'"),
        (["--balance", "class"], "--balance chooses images, and nothing is chosen; say how many with --limit"),
        (["--limit", "2", "--balance", "scene"], "no label entry has the attribute 'scene'"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(command, nirgen, arguments: list[str], message: str) -> None:
    code, _, err = nirgen(*command, "--yes", *arguments)
    assert code == 1
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
