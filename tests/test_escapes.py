"""Names from data in everything that is written, read again by what reads it."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from markdown_it import MarkdownIt
from PIL import Image

from nirgen import escapes
from nirgen.templates import cell, markdown_table

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    "car",
    "{{$N:x\\\"+'|MARK}}",
    "'));__import__('pathlib').Path('PWNED').touch()#",
    "{{ fileDirname }}",
    "{{_base_.model}}",
    "{{$SECRET:x}}",
    "\N{GRINNING FACE}",
    "$\\frac{1}$",
    "a\nb",
    "<script>alert(1)</script>",
    "![img](http://evil.invalid/x.png)",
    "\x1b]0;owned\x07\x1b[31mred\x9b1m",
    "[red]x[/bold]",
    "a|b",
    "| --- |",
    "&amp; &lt;b&gt;",
    "\u202eevil",
    "---",
    "- x",
    "12. x",
    "> x",
    "# x",
    "_a_ __b__ c_d",
    "!",
    "null",
    "<<",
    "~~x~~ :car: @me #1 www.evil.invalid",
    "%s {0}",
    "\\",
    '"',
    "x" * 1200,
]


def nirgen(*words: object, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nirgen", *map(str, words)], capture_output=True, text=True, check=False, **settings
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """A dataset that the command builds, whose classes have all the names."""
    root = tmp_path_factory.mktemp("names")
    (root / "nir").mkdir()
    entries, boxes = [], []
    for image in range(1, 4):
        Image.new("L", (80, 60), 40 * image).save(root / f"nir/{image}.png")
        split = {1: "train", 2: "val", 3: "test"}[image]
        entries.append({"id": image, "file_name": f"{image}.png", "width": 80, "height": 60, "split": split})
        boxes += [
            {"id": 100 * image + number, "image_id": image, "category_id": number, "bbox": [number, 3, 9, 9]}
            for number in range(1, len(NAMES) + 1)
        ]
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, start=1)]
    (root / "coco.json").write_text(json.dumps({"images": entries, "annotations": boxes, "categories": categories}))
    given = ("--real", f"{root / 'nir'}:{root / 'coco.json'}", "--policy", "identity")
    ended = nirgen("build-dataset", *given, "-o", root / "d", "--yes", "--formats", "yolo,hf,rfdetr")
    assert (ended.returncode, re.findall("Warning", ended.stderr)) == (0, [])
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", ended.stdout + ended.stderr)
    return root / "d"


def test_yaml_readers_find_the_names(dataset) -> None:
    numbered = dict(enumerate(NAMES))
    assert yaml.safe_load((dataset / "dataset.yaml").read_text(encoding="utf-8"))["names"] == numbered
    assert yaml.safe_load((dataset / "configs/rfdetr.yaml").read_text(encoding="utf-8"))["class_names"] == NAMES
    values = yaml.safe_load((dataset / "configs/transformers_dfine.yaml").read_text(encoding="utf-8"))
    assert (values["id2label"], list(values["label2id"])) == (numbered, NAMES)


_READ = """
import json, os, sys
from mmengine.config import Config
config = Config.fromfile(sys.argv[1])
print(json.dumps([list(config.metainfo.classes), config.data_root, config.val_evaluator.ann_file]))
"""
_BASE = """
model = dict(query_head=dict(num_classes=80), roi_head=[dict(bbox_head=dict(num_classes=80))],
    bbox_head=[dict(num_classes=80)])
train_dataloader = val_dataloader = test_dataloader = dict(dataset=dict(a=1))
val_evaluator = test_evaluator = dict(a=1)
"""


@pytest.mark.skipif(importlib.util.find_spec("mmengine") is None, reason="mmengine isn't installed")
@pytest.mark.parametrize("folder", ["d", 'x"+__import__("os").mkdir("PWNED")+"{{$SECRET:x}}'])
def test_mmengine_finds_the_names_and_runs_nothing(dataset, tmp_path, folder: str) -> None:
    base = tmp_path / "mmdetection/projects/CO-DETR/configs/codino/co_dino_5scale_r50_8xb2_1x_coco.py"
    base.parent.mkdir(parents=True)
    base.write_text(_BASE)
    there = tmp_path / folder
    (there / "configs").mkdir(parents=True)
    config = there / "configs/mmdet_co_dino.py"
    config.write_bytes((dataset / "configs/mmdet_co_dino.py").read_bytes())
    ended = subprocess.run(
        [sys.executable, "-c", _READ, str(config)],
        env={**os.environ, "MMDETECTION": str(tmp_path / "mmdetection"), "SECRET": "hunter2"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    classes, root, annotations = json.loads(ended.stdout.splitlines()[-1])
    assert (classes, root) == (NAMES, f"{there}/configs/../")
    assert annotations == f"{there}/configs/../annotations/val.json"
    assert not (tmp_path / "PWNED").exists()


def test_nothing_that_mmengine_replaces_is_in_its_file(dataset) -> None:
    text = (dataset / "configs/mmdet_co_dino.py").read_text(encoding="utf-8")
    assert re.findall(r"\{\{.*?\}\}", text) == ["{{$MMDETECTION:mmdetection}}"]


def test_a_markdown_renderer_shows_the_names_and_no_markup() -> None:
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    for name in NAMES:
        table = "\n".join(markdown_table(["class", "boxes"], [[cell(name), "3"]]))
        shown = next(token for token in reader.parse(table) if token.type == "inline" and token.map == [2, 3])
        texts = [(part.type, part.content) for part in shown.children]
        wanted = escapes.printable(" ".join(name.split()))
        assert "".join(text for _, text in texts) == wanted
        assert {kind for kind, _ in texts} <= {"text", "text_special"}, name
        kinds = [token.type for token in reader.parse(f"- {cell(name)}")]
        assert kinds == [
            "bullet_list_open", "list_item_open", "paragraph_open", "inline", "paragraph_close", "list_item_close",
            "bullet_list_close",
        ], name  # fmt: skip


def test_the_card_has_no_picture_link_or_html_of_a_name(dataset) -> None:
    text = (dataset / "README.md").read_text(encoding="utf-8")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(text.split("---\n", 2)[2])
    parts = [part for token in tokens for part in token.children or ()]
    pictures = [part.attrs["src"] for part in parts if part.type == "image"]
    assert pictures == ["card/examples.png", "card/classes.png"]
    assert {part.type for part in parts} & {"html_inline", "link_open", "s_open"} == set()
    assert not [token for token in tokens if token.type == "html_block"]


def test_the_report_has_no_control_character(dataset, tmp_path) -> None:
    ended = nirgen("report", dataset, "-o", tmp_path / "r.html")
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)


def test_a_terminal_gets_no_escape_sequence_from_a_name(dataset, tmp_path) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "nirgen", "labels", str(dataset.parent / "coco.json"), "--policy", "identity"]
    process = subprocess.Popen([*words, "-o", str(tmp_path / "l.json")], stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = io.BytesIO()
    try:
        while piece := os.read(ours, 4096):
            seen.write(piece)
    except OSError:  # Linux's end of a terminal
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert b"\x1b]0;" not in seen.getvalue()
    assert b"\x1b[31m" not in seen.getvalue()
    assert b"\\u001b]0;owned" in seen.getvalue()


def test_json_on_the_terminal_keeps_the_names(dataset, tmp_path) -> None:
    ended = nirgen("validate", dataset, "--json")
    assert json.loads(ended.stdout)["splits"][0]["images"] == 1
    text = json.dumps({"name": "\x9b1m\u202e"}, ensure_ascii=False)
    assert json.loads(escapes.printable_lines(text)) == {"name": "\x9b1m\u202e"}


def test_matplotlib_draws_a_formula_as_text() -> None:
    from matplotlib.cbook import is_math_text

    for name in NAMES:
        assert not is_math_text(escapes.mathtext(name))

    assert max(len(escapes.drawn(name)) for name in NAMES) == 40
