"""Whole builds: their bytes, what they refuse, what is left of them when they are killed or the disk is full."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.datasets import CocoDetection

from nirgen.curation import Decision, encode
from nirgen.dataset.build import build
from nirgen.dataset.decisions import Curated
from nirgen.dataset.plan import Leak
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from pathlib import Path


ALL_FORMATS = ("yolo", "hf", "rfdetr")

SCRIPT = """
import os, pickle, shutil, signal, sys
from pathlib import Path
from nirgen.dataset import build as builder

plan = pickle.loads(Path(sys.argv[1]).read_bytes())

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def progress(phase, done, total):
    if [phase, str(done)] == sys.argv[3:5]:
        die()

{more}
builder.build(plan, Path(sys.argv[2]), replace=True, progress=progress)
"""

DEATHS = {
    "among the images": (["images", "3"], ""),
    "after the annotations": (["annotations", "7"], ""),
    "before the card": ([], "builder.write_card = die"),
    "before the places change": ([], "os.sync = die"),
    "while the places change": (
        [],
        "Path.rename = lambda old, new: new.name[0] == '.' and os.rename(old, new) or die()",
    ),
    "before the old one is removed": ([], "shutil.rmtree = die"),
}


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a dataset but `run.json`."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert "run.json" in files
    return {name: path.read_bytes() for name, path in files.items() if name != "run.json"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_same_plan_gives_the_same_bytes_wherever_things_lie(make_small_plan, tmp_path) -> None:
    plans = [make_small_plan(tmp_path / place, formats=ALL_FORMATS) for place in ("here", "there/and/there")]
    first, second = (build(plan, tmp_path / f"out{number}/d{number}").out for number, plan in enumerate(plans))
    assert files_of(first) == files_of(second)
    assert len(files_of(first)) > 40
    for name, data in files_of(first).items():
        assert str(tmp_path).encode() not in data, name
    run = json.loads((first / "run.json").read_text())
    assert run["inputs"]["bdd"]["folder"] == str(tmp_path / "here/bdd")


def test_a_built_dataset_is_told_in_numbers(small_plan, tmp_path) -> None:
    seen: list[tuple[str, int, int]] = []
    built = build(small_plan, tmp_path / "d", progress=lambda *word: seen.append(word))
    assert (built.images, built.annotations, built.dropped, built.placed) == (7, 9, 1, {"hardlink": 7})
    assert (built.out, built.already) == (tmp_path / "d", False)
    assert seen[-2:] == [("images", 7, 7), ("annotations", 7, 7)]
    assert names(tmp_path) == ["d", "inputs"]


def test_a_dataset_that_is_there_already_is_left_alone(small_plan, tmp_path) -> None:
    build(small_plan, tmp_path / "d")
    before = (tmp_path / "d/dataset.json").stat()
    built = build(small_plan, tmp_path / "d")
    assert (built.already, built.images, built.annotations) == (True, 7, 9)
    assert (tmp_path / "d/dataset.json").stat().st_ino == before.st_ino


def test_another_or_a_damaged_dataset_is_replaced_only_when_asked(make_small_plan, small_plan, tmp_path) -> None:
    out = build(small_plan, tmp_path / "d").out
    other = make_small_plan(tmp_path / "inputs", formats=["yolo"])
    with pytest.raises(NirgenError, match="holds another dataset; give --replace to build it anew"):
        build(other, out)
    assert build(other, out, replace=True).already is False
    (out / "train.txt").unlink()
    with pytest.raises(
        NirgenError, match=r"holds this dataset, but 'train\.txt' is missing or altered; give --replace"
    ):
        build(other, out)
    assert build(other, out, replace=True).already is False
    assert (out / "train.txt").exists()
    assert names(tmp_path) == ["d", "inputs"]


def test_a_folder_that_is_no_dataset_is_never_replaced(small_plan, tmp_path) -> None:
    (tmp_path / "d").mkdir()
    build(small_plan, tmp_path / "d")  # an empty one may be filled
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(NirgenError, match="exists, and is no dataset of nirgen's; name another folder"):
        build(small_plan, tmp_path / "mine", replace=True)
    assert names(tmp_path / "mine") == ["thesis.txt"]


def test_files_of_others_in_a_dataset_are_not_lost(small_plan, make_small_plan, tmp_path) -> None:
    out = build(small_plan, tmp_path / "d").out
    (out / "curation.jsonl").touch()
    with pytest.raises(NirgenError, match=r"1 of its files aren't of the dataset, such as 'curation\.jsonl'"):
        build(make_small_plan(tmp_path / "inputs", formats=["hf"]), out, replace=True)
    assert (out / "curation.jsonl").exists()


def test_scores_come_along_when_a_dataset_is_replaced(small_plan, make_small_plan, tmp_path) -> None:
    out = build(small_plan, tmp_path / "d").out
    (out / "scores.parquet").write_bytes(b"scores")
    assert build(small_plan, out).already
    build(make_small_plan(tmp_path / "inputs", formats=["hf"]), out, replace=True)
    assert (out / "scores.parquet").read_bytes() == b"scores"
    assert "scores.parquet" not in json.loads((out / "dataset.json").read_text())["files"]


def test_decisions_that_a_dataset_was_built_with_are_not_lost(small_plan, make_small_plan, tmp_path) -> None:
    decision = Decision("bdd/a.jpg", "keep")
    curated = replace(
        small_plan, curation=Curated(encode([decision]), 1, {"keep": 1}, 0, (), ()), digest=small_plan.digest[::-1]
    )
    out = build(curated, tmp_path / "d").out
    with pytest.raises(NirgenError, match=r"/d: would lose 1 decision; give .* 'nirgen rebuild \S+/d' .*--allow-loss"):
        build(small_plan, out, replace=True)
    assert (out / "curation.jsonl").read_bytes() == encode([decision])
    (out / "curation.jsonl").rename(tmp_path / "mine.jsonl")
    assert not build(small_plan, out, replace=True).already
    (tmp_path / "mine.jsonl").rename(out / "curation.jsonl")
    from_there = make_small_plan(tmp_path / "inputs", curation=out / "curation.jsonl")
    assert not build(replace(from_there, curation=curated.curation, digest="1" * 64), out, replace=True).already
    assert (out / "curation.jsonl").read_bytes() == encode([decision])


def test_leaks_are_refused_unless_they_are_allowed(small_plan, tmp_path) -> None:
    leaky = replace(small_plan, leaks=(Leak("file", "ranus/02/b.png", "val", "bdd/a.jpg"),))
    with pytest.raises(NirgenError, match=r"1 image\(s\) in validation or test were seen in training"):
        build(leaky, tmp_path / "d")
    assert names(tmp_path) == ["inputs"]


def test_real_images_in_colour_are_refused_unless_they_are_allowed(small_plan, with_image, tmp_path) -> None:
    coloured = with_image(small_plan, 5, in_colour=True)
    with pytest.raises(NirgenError, match=r"1 of 3 real images are in colour, such as 'ranus/02/b.png', and NIR isn't"):
        build(coloured, tmp_path / "d")
    assert names(tmp_path) == ["inputs"]
    build(replace(coloured, config=coloured.config.model_copy(update={"allow_colour": True})), tmp_path / "d")
    assert json.loads((tmp_path / "d/dataset.json").read_text())["coloured"] == {
        "count": 1,
        "real": 3,
        "examples": ["ranus/02/b.png"],
    }
    card = (tmp_path / "d/README.md").read_text()
    assert "**Real images in colour: 1 of 3**, such as ranus/02/b.png. That was allowed (`--allow-colour`)." in card


def test_a_dataset_is_not_built_over_its_own_images(small_plan, tmp_path) -> None:
    with pytest.raises(NirgenError, match="holds the images of 'bdd'"):
        build(small_plan, tmp_path / "inputs")


def test_an_image_that_changed_since_the_plan_leaves_nothing(small_plan, tmp_path) -> None:
    small_plan.images[6].path.write_bytes(b"other")
    with pytest.raises(NirgenError, match=r"c\.jpg: changed since the plan was made; make the plan again"):
        build(small_plan, tmp_path / "d")
    assert names(tmp_path) == ["inputs"]


@pytest.mark.parametrize("target", ["images/../../x.png", "/tmp/x.png", "images\\..\\x.png", "images/bdd/b.png"])
def test_no_image_is_written_outside_or_over_another(small_plan, with_image, tmp_path, target: str) -> None:
    with pytest.raises(NirgenError):
        build(with_image(small_plan, 0, target=target), tmp_path / "deep/d")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and "inputs" not in path.parts] == []


@pytest.mark.parametrize("split", ["train", "val"])
def test_pycocotools_finds_the_truth_perfect(small_plan, tmp_path, split: str) -> None:
    build(small_plan, tmp_path / "d")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(tmp_path / "d/annotations" / f"{split}.json")
        counted = [each for each in truth.dataset["annotations"] if not each["iscrowd"]]
        keys = ("image_id", "category_id", "bbox")
        found = truth.loadRes([{key: each[key] for key in keys} | {"score": 1.0} for each in counted])
        judged = COCOeval(truth, found, "bbox")
        judged.evaluate()
        judged.accumulate()
    precision = judged.eval["precision"][:, :, :, 0, 2]  # all areas, at most 100 boxes
    assert precision.min(axis=(0, 1)) == pytest.approx([1, 1, 1])  # by class


def test_torchvision_reads_images_with_their_boxes(small_plan, tmp_path) -> None:
    build(small_plan, tmp_path / "d")
    with contextlib.redirect_stdout(io.StringIO()):
        data = CocoDetection(str(tmp_path / "d"), str(tmp_path / "d/annotations/train.json"))
    boxes = {target[0]["key"]: [each["bbox"] for each in target] for image, target in data if target}
    assert len(data) == 5
    assert boxes["bdd/a.jpg#10"] == [[0, 0, 2, 4], [15, 0, 10, 10], [5, 10, 15.5, 5.5]]
    assert data[0][0].size == (30, 20)


def start(plan: Any, folder: Path, out: Path, death: list[str], more: str) -> subprocess.CompletedProcess[str]:
    (folder / "plan").write_bytes(pickle.dumps(plan))
    command = [sys.executable, "-c", SCRIPT.replace("{more}", more), folder / "plan", out, *death]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("moment", DEATHS)
def test_a_killed_build_leaves_the_old_dataset_or_none_and_the_next_one_finishes(
    make_small_plan, tmp_path, moment: str
) -> None:
    old = make_small_plan(tmp_path / "inputs")
    new = make_small_plan(tmp_path / "inputs", formats=ALL_FORMATS, files="copy")
    undisturbed = files_of(build(new, tmp_path / "undisturbed").out)
    out = build(old, tmp_path / "there/d").out
    before = files_of(out)
    done = start(new, tmp_path, out, *DEATHS[moment])
    assert done.returncode == -signal.SIGKILL, done.stderr
    if moment == "while the places change":
        assert names(tmp_path / "there") == [".d.nirgen-building", ".d.nirgen-lock", ".d.nirgen-old"]
    elif moment == "before the old one is removed":
        assert files_of(out) == undisturbed
    else:
        assert files_of(out) == before
    build(new, out, replace=True)
    assert files_of(out) == undisturbed
    assert names(tmp_path / "there") == ["d"]


def test_a_first_build_that_is_killed_leaves_no_dataset(make_small_plan, tmp_path) -> None:
    plan = make_small_plan(tmp_path / "inputs")
    done = start(plan, tmp_path, tmp_path / "there/d", *DEATHS["after the annotations"])
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert names(tmp_path / "there") == [".d.nirgen-building", ".d.nirgen-lock"]
    build(plan, tmp_path / "there/d")
    assert names(tmp_path / "there") == ["d"]


FULL = """
import pickle, sys
from pathlib import Path
from nirgen.dataset.build import build
from nirgen.errors import OutputError

old, new = pickle.loads(Path(sys.argv[1]).read_bytes())
build(old, Path("d"))
before = {path: path.read_bytes() for path in Path("d").rglob("*") if path.is_file()}
with Path("filler").open("wb", buffering=0) as filler:
    try:
        while True:
            filler.write(bytes(4096))
    except OSError:
        filler.truncate(filler.tell() - 40960)
try:
    build(new, Path("d"), replace=True)
except OutputError as error:
    print(error)
assert before == {path: path.read_bytes() for path in Path("d").rglob("*") if path.is_file()}
print(sorted(path.name for path in Path().iterdir()))
"""


def test_a_full_disk_keeps_the_old_dataset_and_says_so_in_one_line(make_small_plan, on_a_small_disk, tmp_path) -> None:
    plans = [make_small_plan(tmp_path / "inputs", formats=formats) for formats in ((), ALL_FORMATS)]
    (tmp_path / "plans").write_bytes(pickle.dumps(plans))
    disk = tmp_path / "disk"
    done = on_a_small_disk(shlex.join([sys.executable, "-c", FULL, str(tmp_path / "plans")]))
    assert done.returncode == 0, done.stderr
    _, error, left = done.stdout.splitlines()
    assert error == (
        f"{disk}/d: can't be written (No space left on device); the dataset that was there is as it was; make room or "
        "name another folder, and run the same command again"
    )
    assert left == "['d', 'filler']"
