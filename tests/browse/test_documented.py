"""The commands of README.md and docs/tutorial.md, one after the other in an empty folder, as a reader runs them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from nirgen.recipe.sample import write_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ROOT = Path(__file__).parents[2]
# How many frames of each file.
FRAMES = {"det_list_form.json": 1, "00091078-875c1f73.json": 1, "b1c66a42-6f7d68ca.json": 1}
_SECONDS = 300
NAMING_THE_NEXT = {
    "make", "translate", "models", "doctor", "pairs", "train", "labels", "build-dataset", "validate", "report",
    "rebuild",
}  # fmt: skip
# The values of options that a reader has hours, a GPU and a model from the hub for.
_SMALLER = {"--max-minutes": "0.2", "--steps": "2", "--seeds": "0"}
_NO_HUB = ["--model", "fresh-tiny", "--size", "64", "--device", "cpu", "--set", "batch=2"]


def commands(page: str) -> Iterator[list[str]]:
    """The words of a page's commands, in order, but for those that install something."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "nirgen":
                yield words[1:]


@pytest.fixture
def frames(tmp_path: Path, shared_data: Path) -> Path:
    """The reader's files: frames and labels of BDD100K, and labelled images of a NIR camera."""
    data = shared_data / "bdd100k"
    labelled = [
        frame
        for name, count in FRAMES.items()
        for frame in json.loads((data / "labels" / name).read_text(encoding="utf-8"))[:count]
    ]
    (tmp_path / "photos").mkdir()
    for frame in labelled:
        shutil.copy(data / "images" / frame["name"], tmp_path / "photos")
    (tmp_path / "labels.json").write_text(json.dumps(labelled))
    write_sample(tmp_path / "made", frames=2)
    shutil.move(tmp_path / "made" / "pairs" / "nir", tmp_path / "real")
    shutil.move(tmp_path / "made" / "real.json", tmp_path / "real.json")
    return tmp_path


@pytest.fixture
def run(
    run_nirgen: Callable[..., tuple[int, str, str]],
    fiftyone_environment: dict[str, str],
    free_port: Callable[[], int],
    fo: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[list[str]], tuple[int, str]]]:
    """Run a command in the reader's folder; its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def within(words: list[str]) -> tuple[int, str]:
        if words[0] == "browse":
            return _browse([*words, "--remote", "--port", str(free_port())], fiftyone_environment)
        code, out, err = run_nirgen(*words)
        return code, out + err

    yield within
    if fo.dataset_exists("dataset"):
        fo.delete_dataset("dataset")


def _browse(words: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Serve the App, as a process of its own that Ctrl-C ends once the App is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nirgen", *words],
        env=os.environ | environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    timer = threading.Timer(_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    said = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("FiftyOne's App: "):
                process.send_signal(signal.SIGINT)
        return process.wait(), "".join(said)
    finally:
        timer.cancel()
        process.communicate()


def decide(fo: Any) -> None:
    """Decide as the reader does in the App: the first image is rejected, the first car of the second is a bicycle."""
    from nirgen.browse import selection as deciding
    from nirgen.browse.selection import find_boxes, find_images

    dataset = fo.load_dataset("dataset")
    dataset.reload()
    first, second = sorted(dataset.select_group_slices("nir"), key=lambda sample: sample["key"])[:2]
    deciding.decide(dataset, find_images(dataset, [first.id]), "reject", reason="unreal texture", author="reader")
    box = next(box for box in second.boxes.detections if box.label == "car")
    boxes = find_boxes(dataset, [{"sample_id": second.id, "label_id": box.id}])
    deciding.change_class(dataset, boxes, "bicycle", reason="wrong class", author="reader")


def entries(folder: Path) -> set[str]:
    """The lines of the COCO files that are images or annotations, without the integers that count them."""
    lines = [line for path in (folder / "annotations").glob("*.json") for line in path.read_text().splitlines()]
    return {
        re.sub(r'"(id|image_id)":\d+', "", line.rstrip(","))
        for line in lines
        if line.startswith('{"id":') and ('"file_name"' in line or '"image_id"' in line)
    }


def test_the_tutorials_commands_run_one_after_the_other_and_carry_decisions_back(
    frames: Path, run: Callable[[list[str]], tuple[int, str]], fo: Any
) -> None:
    ran, before = [], set()
    for words in commands("docs/tutorial.md"):
        code, said = run(_adapted(words, frames))
        ran.append(words[0])
        if words[0] == "explain":  # of an image that was rejected: by whom, and that the dataset doesn't have it
            assert "unreal texture" in said
            continue
        assert code == 0, f"{shlex.join(words)}: {said}"
        if words[0] == "browse":
            before = entries(frames / "out/dataset")
            decide(fo)
    assert list(dict.fromkeys(ran)) == ["make", "browse", "rebuild", "explain", "detect"]
    after = entries(frames / "out/dataset")
    rejected = _rejected(frames)
    assert [line for line in before - after if rejected in line]
    assert not any(rejected in line for line in after)
    changed = [line for line in after - before if '"category_id":2' in line]
    assert len(changed) == 1
    assert len(after) < len(before)
    assert (frames / "detector" / "model" / "model.safetensors").is_file()
    assert json.loads((frames / "judged" / "metrics.json").read_text())["images"]["generated"] == 0
    assert " generated images beside " in (frames / "comparison" / "table7.md").read_text()


def _adapted(words: list[str], folder: Path) -> list[str]:
    """The same command, smaller, and with a name where the page has a placeholder."""
    words = [f"nir/{_rejected(folder)}" if word == "nir/FRAME.jpg" else word for word in words]
    words = [_SMALLER.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    return [*words, *_NO_HUB] if words[:2] in (["detect", "train"], ["detect", "compare"]) else words


def _rejected(folder: Path) -> str:
    """The first image of the dataset as it was, by its source."""
    decisions = folder / "out/dataset/curation.jsonl"
    if not decisions.exists():
        return ""
    lines = [json.loads(line) for line in decisions.read_text().splitlines()]
    return next(line["key"] for line in lines if line.get("action") == "reject").removeprefix("nir/")


@pytest.fixture
def belongings(tmp_path: Path) -> Path:
    """The files of README.md's reader: labelled photos (BDD100K's form), pairs, labelled images of a NIR camera."""
    rng = np.random.default_rng(7)

    def save(path: Path, height: int = 64, width: int = 64, channels: int = 3) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rough = Image.fromarray(rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8))
        image = rough.resize((width, height), Image.Resampling.BICUBIC)
        (image if channels == 3 else image.convert("L")).save(path)

    frames, boxes = [], []
    for number in range(4):
        name = f"{number}.jpg"
        save(tmp_path / "photos" / name, 720, 1280)
        save(tmp_path / "real" / f"{number}.png", 720, 1280, 1)
        save(tmp_path / "ranus" / "NIR" / f"{number}.png", channels=1)
        box = {"x1": 100.0, "y1": 200.0, "x2": 300.0, "y2": 350.0}
        frames.append({"name": name, "labels": [{"id": 1, "category": "car", "box2d": box}]})
        boxes.append({"id": number + 1, "image_id": number + 1, "category_id": 3, "bbox": [8, 8, 20, 16], "area": 320})
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            rgb, nir = (tmp_path / "pairs" / split / kind / f"{number}.png" for kind in ("rgb", "nir"))
            save(rgb, 256, 256)
            nir.parent.mkdir(parents=True, exist_ok=True)
            Image.open(rgb).convert("L").save(nir)
    images = [{"id": n + 1, "file_name": f"{n}.png", "width": 64, "height": 64, "sequence": f"s{n}"} for n in range(4)]
    names = ("person", "bicycle", "car")
    coco = {
        "images": images,
        "annotations": [box | {"iscrowd": 0} for box in boxes],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
    }
    (tmp_path / "det_train.json").write_text(json.dumps(frames))
    (tmp_path / "ranus.json").write_text(json.dumps(coco))
    return tmp_path


def test_the_readmes_commands_run_one_after_the_other(
    belongings: Path, run: Callable[[list[str]], tuple[int, str]]
) -> None:
    ran = []
    for words in commands("README.md"):
        if words[0] == "run" and not {"--dry-run", "--list"} & {*words}:  # tests/cli/test_run.py has it
            continue
        code, said = run(["1" if word == "4711" else word for word in _adapted(words, belongings)])
        assert code == 0, f"{shlex.join(words)}: {said}"
        ran.append(words[0])
        if words[0] in NAMING_THE_NEXT and "--dry-run" not in words:
            assert said.splitlines()[-1].startswith("next: nirgen "), f"{shlex.join(words)}: {said}"
    assert set(ran) > NAMING_THE_NEXT
    assert len(ran) >= 15
    assert (belongings / "run" / "model.safetensors").is_file()
    assert (belongings / "report.html").is_file()
