"""`nirgen make`: photos and labels to a dataset in one command."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nirgen.curation import Decision, write_decisions
from nirgen.recipe.make import ShortPath
from nirgen.recipe.sample import write_sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Running

    Run = Callable[..., tuple[int, str, str]]

COMMAND = "nirgen make photos labels.json out --real real real.json --yes"
IMAGES = 6  # photos of the sample, all labelled


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled photos and labelled real images, under short names."""
    folder = tmp_path_factory.mktemp("inputs")
    write_sample(folder / "sample", frames=4)
    for old, new in (("frames", "photos"), ("frames.json", "labels.json"), ("pairs/nir", "real"), ("real.json",) * 2):
        (folder / "sample" / old).rename(folder / new)
    shutil.rmtree(folder / "sample")
    return folder


@pytest.fixture(scope="module")
def made(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the command was run once, and what it printed."""
    folder = tmp_path_factory.mktemp("made") / "work"
    shutil.copytree(inputs, folder)
    words = [sys.executable, "-m", *shlex.split(COMMAND)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def work(made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder in which the command was run once; the working folder."""
    shutil.copytree(made[0], tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def fresh(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the inputs; the working folder."""
    shutil.copytree(inputs, tmp_path / "fresh")
    monkeypatch.chdir(tmp_path / "fresh")
    return tmp_path / "fresh"


def run_make(nirgen: Run, *more: object) -> tuple[int, str, str]:
    return nirgen(*shlex.split(COMMAND)[1:], *more)


def commands_in(printed: str) -> list[list[str]]:
    return [shlex.split(line)[2:] for line in printed.splitlines() if line.startswith("$ nirgen ")]


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_one_command_of_80_characters_makes_a_validated_dataset(made: tuple[Path, str]) -> None:
    folder, printed = made
    assert len(COMMAND) <= 80
    assert {path.name for path in (folder / "out").iterdir()} > {
        "dataset", "labels.json", "nir", "preview.png", "report.html",
    }  # fmt: skip
    *_, verdict, wrote = printed.splitlines()
    assert verdict == "10 images in train, 4 images in val, 4 images in test; valid"
    assert wrote == "wrote: out/dataset, out/report.html, out/preview.png"


def test_the_printed_commands_make_the_same_dataset_to_the_byte(made: tuple[Path, str], fresh: Path, nirgen: Run):
    folder, printed = made
    commands = commands_in(printed)
    assert [words[0] for words in commands] == [
        "labels", "labels", "translate", "build-dataset", "validate", "report",
    ]  # fmt: skip

    assert [nirgen(*words)[0] for words in commands] == [0] * 6

    assert len(content(fresh / "out" / "dataset")) > 12
    assert content(fresh / "out" / "dataset") == content(folder / "out" / "dataset")
    assert content(fresh / "out") == {
        name: data for name, data in content(folder / "out").items() if not name.startswith(".make/")
    }


def test_nothing_is_done_again_if_nothing_has_changed(work: Path, nirgen: Run) -> None:
    # the copy's files keep their times
    code, printed, error = run_make(nirgen)

    assert (code, error) == (0, "")
    assert commands_in(printed) == []
    assert "nothing has changed: 10 images in train" in printed


def test_changed_labels_rebuild_the_dataset_without_translating_again(work: Path, nirgen: Run) -> None:
    labels = json.loads((work / "labels.json").read_text())
    entry = next(each for each in labels if each["labels"])
    entry["labels"] = entry["labels"][:1]
    (work / "labels.json").write_text(json.dumps(labels))

    code, printed, error = run_make(nirgen)

    assert (code, error) == (0, "")
    assert "# labels.json changed\n$ nirgen labels labels.json" in printed
    assert f"0 translated, {IMAGES} done already" in printed
    train = json.loads((work / "out/dataset/annotations/train.json").read_text())
    (image,) = [each["id"] for each in train["images"] if each["key"] == f"nir/{entry['name']}"]
    assert len([each for each in train["annotations"] if each["image_id"] == image]) == 1


def test_of_added_photos_only_labelled_ones_are_translated(work: Path, nirgen: Run) -> None:
    labels = json.loads((work / "labels.json").read_text())
    photo = work / "photos" / labels[0]["name"]
    for name in ("labelled", "unlabelled"):
        shutil.copy(photo, photo.with_stem(name))
    labels.append({**labels[0], "name": labels[0]["name"].replace(photo.stem, "labelled")})
    (work / "labels.json").write_text(json.dumps(labels))

    code, printed, _ = run_make(nirgen)

    assert code == 0
    assert f"1 translated, {IMAGES} done already" in printed
    assert len(list((work / "out/nir").rglob("labelled.png"))) == 1
    assert not list((work / "out/nir").rglob("unlabelled.png"))


def test_a_lost_image_of_the_dataset_is_put_back(work: Path, made: tuple[Path, str], nirgen: Run) -> None:
    lost = next((work / "out/dataset/images").rglob("*.png"))
    lost.unlink()

    code, printed, _ = run_make(nirgen)

    assert code == 0
    assert f"# {lost.relative_to(work)} changed or is gone" in printed
    assert content(work / "out/dataset") == content(made[0] / "out/dataset")


def test_decisions_that_the_dataset_was_built_with_are_kept(work: Path, made: tuple[Path, str], nirgen: Run) -> None:
    train = json.loads((work / "out/dataset/annotations/train.json").read_text())
    key = next(each["key"] for each in train["images"] if each["key"].startswith("nir/"))
    write_decisions(work / "decisions.jsonl", [Decision(key, "reject", reason="blurred")])
    (build,) = [words for words in commands_in(made[1]) if words[0] == "build-dataset"]
    assert nirgen(*build, "--curation", "decisions.jsonl", "--replace")[0] == 0

    code, printed, _ = run_make(nirgen)

    assert code == 0
    assert "--curation out/dataset/curation.jsonl" in printed
    assert "9 images in train" in printed.splitlines()[-2]


def test_damaged_photos_fail_alone_and_the_rest_becomes_a_dataset(fresh: Path, nirgen: Run) -> None:
    photo = min((fresh / "photos").rglob("*.jpg"))
    photo.write_bytes(b"no image")

    code, printed, error = run_make(nirgen)

    assert code == 3
    assert "1 of 6 failed; the manifest has every error" in error
    assert "9 images in train, 4 images in val, 4 images in test; valid" in printed


def test_labels_of_other_photos_are_refused_before_anything_is_translated(fresh: Path, nirgen: Run) -> None:
    for path in sorted((fresh / "photos").rglob("*.jpg")):
        path.rename(path.with_stem(f"other-{path.stem}"))

    code, _, error = run_make(nirgen)

    assert code == 1
    assert "labels.json: none of its 6 entries" in error
    assert error.count("\n") == 1
    assert not (fresh / "out" / "nir").exists()


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("photo labels.json out --yes", "photo: does not exist; did you mean 'photos'?"),
        ("photos label.json out --yes", "label.json: does not exist; did you mean 'labels.json'?"),
        ("photos labels.json out --yes --model compct", "compact"),
        ("photos labels.json real --yes", "real: exists, and 'nirgen make' did not write it; name a new folder"),
        ("photos labels.json photos/out --yes", "name a folder of its own"),
    ],
)
def test_wrong_names_are_refused_at_once_and_nothing_is_written(
    words: str, remedy: str, fresh: Path, nirgen: Run
) -> None:
    before = content(fresh)

    code, printed, error = nirgen("make", *words.split())

    assert (code, printed) == (1, "")
    assert remedy in error
    assert content(fresh) == before


def test_a_dry_run_prints_the_commands_and_writes_nothing(fresh: Path, nirgen: Run) -> None:
    before = content(fresh)

    code, printed, _ = run_make(nirgen, "--dry-run")

    assert code == 0
    assert "run  nirgen translate photos out/nir" in printed
    assert printed.splitlines()[-1] == "6 of 6 photos have labels; nothing was written"
    assert content(fresh) == before


def test_without_labels_the_photos_are_translated_and_previewed(fresh: Path, nirgen: Run) -> None:
    code, printed, _ = nirgen("make", "photos", "out")

    assert code == 0
    assert printed.splitlines()[-1] == "wrote: out/nir, out/preview.png"
    assert [words[0] for words in commands_in(printed)] == ["translate"]
    assert len(list((fresh / "out/nir").rglob("*.png"))) == IMAGES


def test_the_result_is_printed_as_json(work: Path, nirgen: Run) -> None:
    os.utime(work / "labels.json")

    code, printed, error = run_make(nirgen, "--json")

    result = json.loads(printed)
    assert (code, error, result["exit_code"]) == (0, "", 0)
    assert list(result["ran"]) == ["labels", "translate", "dataset"]
    assert result["results"]["translate"]["unchanged"] == IMAGES


def test_without_yes_a_terminal_is_needed(fresh: Path, nirgen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", nothing)
        code, _, error = nirgen("make", "photos", "labels.json", "out")

    assert code == 2
    assert "say --yes" in error
    assert not (fresh / "out").exists()


def test_real_images_of_unknown_recordings_are_split_by_frames(fresh: Path) -> None:
    job = ShortPath(Path("photos"), Path("labels.json"), Path("out"), (Path("real"), Path("real.json")))
    assert job.unit() == "sequence"

    document = json.loads((fresh / "real.json").read_text())
    for image in document["images"]:
        image.pop("sequence"), image.pop("split")
        flat = image["file_name"].replace("/", "-")
        (fresh / "real" / image["file_name"]).rename(fresh / "real" / flat)
        image["file_name"] = flat
    (fresh / "real.json").write_text(json.dumps(document))

    assert job.unit() == "frame"


def test_the_same_command_goes_on_after_ctrl_c(
    fresh: Path, made: tuple[Path, str], running: Callable[..., Running]
) -> None:
    words = [sys.executable, "-m", *shlex.split(COMMAND)]
    process = running(*words)
    process.until(lambda: list((fresh / "out/nir").rglob("*.png")))
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130

    process = running(*words)
    printed, error = process.communicate()

    assert process.returncode == 0, error
    assert "$ nirgen labels" not in printed
    assert content(fresh / "out/dataset") == content(made[0] / "out/dataset")
