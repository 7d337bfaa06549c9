"""Commands whose results go away before they end: no success, and the same command mends it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nirgen.recipe.sample import write_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nirgen.pairs import PairList

    Command = Callable[..., tuple[int, str, str]]


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def add(path: Path) -> None:
    path.write_text("not ours")


def replace(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.mkdir()


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "run.json"
    }


NEW = ".D.nirgen-building"


@pytest.mark.parametrize(
    ("where", "damage", "name", "says"),
    [
        (
            "build:_described",
            remove,
            NEW,
            "can't be written (No such file or directory); nothing was left behind; make",
        ),
        ("build:_described", remove, f"{NEW}/images/bdd/a.png", "images/bdd/a.png was removed, changed or added while"),
        ("build:_described", cut, f"{NEW}/annotations/train.json", "annotations/train.json was removed, changed or ad"),
        ("build:_described", add, f"{NEW}/images/x.png", "images/x.png was removed, changed or added while the datas"),
        ("store:os.sync", remove, f"{NEW}/dataset.json", "dataset.json was removed, changed or added while the datas"),
        ("build:_described", remove, ".D.nirgen-lock", "its lock was removed while it was built; run the same comm"),
        ("store:HeldFolder.is_at", remove, "D", "was removed or replaced while it was built; run the same command"),
    ],
)
def test_a_dataset_that_is_not_whole_is_not_put_in_place(
    nirgen: Command,
    paused: Command,
    dataset_inputs: Callable[..., Any],
    tmp_path: Path,
    where: str,
    damage: Callable[[Path], None],
    name: str,
    says: str,
) -> None:
    (generated,), (real,) = dataset_inputs().values()
    command = [
        *("build-dataset", "--yes", "--files", "copy"),
        *("--generated", f"bdd={generated['folder']}:{generated['labels']}"),
        *("--real", f"{real['folder']}:{real['labels']}", "--out"),
    ]
    out = tmp_path / "one/D"
    code, _, error = paused(f"nirgen.dataset.{where}", lambda: damage(out.parent / name), *command, out)
    assert code == 1, error
    last = error.splitlines()[-1]  # a slow machine has lines about progress before it
    assert last.startswith(f"error: {out}: ")
    assert says in last
    assert not out.exists()
    for folder in (out, tmp_path / "two/D"):
        assert nirgen(*command, folder)[0] == 0
    assert hashes(out) == hashes(tmp_path / "two/D")
    assert [path.name for path in out.parent.iterdir()] == ["D"]


@pytest.mark.parametrize("damage", [remove, cut])
def test_labels_that_are_gone_are_no_success(
    nirgen: Command, paused: Command, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    write_sample(tmp_path / "sample", frames=2)
    out = tmp_path / "labels.json"
    command = ("labels", tmp_path / "sample/frames.json", "-o", out, "--images", tmp_path / "sample/frames")
    code, printed, error = paused("nirgen.cli.labels:_print_events", lambda: damage(out), *command)
    assert code == 1
    assert str(out) not in printed
    assert error.splitlines()[-1] == (
        f"error: {out}: was removed or changed while the command was at work; run the same command again"
    )
    assert nirgen(*command)[0] == 0
    assert len(json.loads(out.read_bytes())["images"]) == 3


@pytest.mark.parametrize(
    ("verb", "where", "name"),
    [
        ("list", "nirgen.cli.pairs:_root_option", "pairs.csv"),
        ("check", "nirgen.cli.pairs:_print_suspects", "pairs.check.parquet"),
        ("check", "nirgen.cli.pairs:_counts", "pairs.clean.csv"),
    ],
)
def test_lists_and_checks_of_pairs_that_are_gone_are_no_success(
    nirgen: Command, paused: Command, pairs: PairList, tmp_path: Path, verb: str, where: str, name: str
) -> None:
    pairs.write(tmp_path / "pairs.csv")
    of = {
        "list": (pairs.root, "-o", tmp_path / "pairs.csv"),
        "check": (tmp_path / "pairs.csv", "--root", pairs.root, "--workers", 1),
    }
    command = ("pairs", verb, *of[verb])
    code, _, error = paused(where, lambda: cut(tmp_path / name), *command)
    assert code == 1, error
    assert error.splitlines()[-1] == (
        f"error: {tmp_path / name}: was removed or changed while the command was at work; run the same command again"
    )
    assert nirgen(*command)[0] == 0


@pytest.mark.parametrize(
    ("where", "damage", "name", "says"),
    [
        ("nirgen.report.page:score", remove, "nir", "was removed, replaced or changed while it was read; run the same"),
        ("nirgen.report.page:make_gallery", replace, "nir", "was removed, replaced or changed while it was read; run"),
        ("nirgen.report.page:make_gallery", cut, "nir/manifest.parquet", "was removed, replaced or changed while it"),
        (
            "nirgen.report.page:Written",
            remove,
            "page.html",
            "was removed or changed while the command was at work; run",
        ),
    ],
)
def test_a_page_about_a_folder_that_went_away_is_no_success(
    nirgen: Command,
    paused: Command,
    save: Callable[..., Path],
    red: Any,
    tmp_path: Path,
    where: str,
    damage: Callable[[Path], None],
    name: str,
    says: str,
) -> None:
    from nirgen.translate.run import translate_folder

    for seed, photo in enumerate(("a.png", "b.png")):
        save(tmp_path / "rgb" / photo, 64, 96, seed)
    translate_folder(tmp_path / "rgb", tmp_path / "nir", model=red)
    shutil.copytree(tmp_path / "nir", tmp_path / "copy")
    command = ("report", tmp_path / "nir", "-o", tmp_path / "page.html")
    code, _, error = paused(where, lambda: damage(tmp_path / name), *command)
    assert code == 1, error
    assert error.splitlines()[-1].startswith("error: ")
    assert says in error.splitlines()[-1]
    assert not (tmp_path / "page.html").exists()
    if damage is remove:
        assert not (tmp_path / name).exists()  # nothing was made anew there
    shutil.rmtree(tmp_path / "nir", ignore_errors=True)
    (tmp_path / "copy").rename(tmp_path / "nir")
    assert nirgen(*command)[0] == 0


@pytest.mark.parametrize(
    ("damage", "name", "says"),
    [
        (
            remove,
            "R/stages/labels/labels.json",
            "stage 'labels': its output {}/labels.json is gone since it ended; run",
        ),
        (remove, "R/state/labels.json", "stage 'labels': its record {}/labels.json was removed or altered since it"),
        (cut, "R/state/labels.json", "stage 'labels': its record {}/labels.json was removed or altered since it ended"),
        (remove, "R", "{}/R: was removed or replaced, or its lock was, while the run was at work; run the same"),
        (replace, "R", "{}/R: was removed or replaced, or its lock was, while the run was at work; run the same"),
        (remove, "R/.lock", "{}: was removed or replaced, or its lock was, while the run was at work; run the same"),
    ],
)
def test_a_recipe_whose_results_are_gone_is_no_success(
    nirgen: Command, paused: Command, tmp_path: Path, damage: Callable[[Path], None], name: str, says: str
) -> None:
    write_sample(tmp_path / "sample", frames=2)
    labels = {"inputs": "${data.sample}/frames.json", "images": "${data.sample}/frames"}
    stages = {
        "labels": {"run": "labels", "with": labels},
        "again": {"run": "labels", "with": {"inputs": "${labels.out}", "policy": "identity"}},
    }
    recipe = {"name": "two", "about": "A test.", "data": {"sample": {"about": "made"}}, "stages": stages}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    given = ("--data", f"sample={tmp_path / 'sample'}", "--out", tmp_path / "R", "--any-code")
    command = ("run", tmp_path / "two.yaml", *given)
    path = tmp_path / name
    code, _, error = paused("nirgen.recipe.run:Outcome", lambda: damage(path), *command)
    assert code == 1, error
    assert error.splitlines()[-1].startswith(f"error: {says.format(path.parent)}")
    assert error.splitlines()[-1].endswith("run the same command again")
    if damage is replace:
        assert list(path.iterdir()) == []
    code, _, error = nirgen(*command)
    assert code == 0, error
    assert json.loads((tmp_path / "R/run.json").read_text())["exit_code"] == 0
    assert nirgen(*command)[2].count("skipped") == 2


@pytest.mark.parametrize("damage", [remove, flip])
def test_a_detector_that_is_not_whole_is_no_success(
    nirgen: Command,
    paused: Command,
    made_dataset: Callable[..., Path],
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    from nirgen.detect.detector import altered

    tiny = ("--model", "fresh-tiny", "--size", 64, "--batch", 2, "--set", "workers=0", "--device", "cpu", "--steps", 2)
    command = ("detect", "train", made_dataset(tmp_path / "D", real=2, generated=2, test=1), tmp_path / "R", *tiny)
    weights = tmp_path / "R/model/model.safetensors"
    code, out, error = paused("nirgen.detect.loop:altered", lambda: damage(weights), *command)
    assert code == 1, error
    assert f"{weights.parent}\n" not in out
    what = "missing" if damage is remove else "damaged or altered since it was written"
    assert error.splitlines()[-1] == (
        f"error: {tmp_path}/R: its model was changed ({weights}: {what}) while the run was at work; its last step was "
        "saved anew: run the same command again"
    )
    assert altered(weights.parent) is None
    code, _, error = nirgen(*command)
    assert code == 0, error
