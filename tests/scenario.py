"""A fixed scenario of commands, to see that a restructuring changes nothing that users see.

    python tests/scenario.py record FOLDER        # run the scenario in FOLDER/work
    python tests/scenario.py reopen WORK FOLDER   # go on in a copy of an older FOLDER/work: do old files still open?
    python tests/scenario.py compare A B          # what differs between two such FOLDERs; exit code 1 if anything does

`record` and `reopen` write FOLDER/commands.txt (each command with its exit code and what it printed) and
FOLDER/hashes.txt (after each command, the SHA-256 of each file that is new or of other content). Clocks, hosts and
absolute paths are masked, in files only where docs/formats.md allows them. The commands are those of the `nirgen` that
PYTHONPATH names, or else of this checkout; nothing of it is imported here.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image

FRAMES = "--generated made=nir --labels sample/frames.json"
REAL = "--real real=sample/pairs/nir --real-labels sample/real.json"
FULL = f"{FRAMES} {REAL} --codec png --channels 1 --formats yolo,hf,rfdetr"
TRAIN = "train settings.yaml run --pairs pairs.csv --root sample/pairs --device cpu --licence MIT --seed 7"
DETECT = "--model fresh-tiny --batch 2 --size 64 --device cpu --set workers=0"
COMPARE = f"detect compare D compared {DETECT} --seeds 0 --ratios 0,1 --steps 2 --resamples 100"
JUDGE = "evaluate --pairs pairs.csv --root sample/pairs --device cpu --resamples 100"

# A line is the exit code that is expected, and a command.
SCENARIO = f"""
0 --help
0 translate --help
0 build-dataset --help
0 detect compare --help
0 models list
0 models info compact
0 sample-data sample --frames 3

0 pairs list --rgb sample/pairs/rgb --nir sample/pairs/nir --split train=0.34,val=0.33,test=0.33 -o pairs.csv
0 pairs sample/pairs --layout auto -o sample/pairs/found.csv --split train=0.5,val=0.5 --seed 3
0 pairs check pairs.csv --root sample/pairs --workers 1 --sheet sheet.png --drop-worse-than 1

0 {TRAIN} --dry-run
0 {TRAIN}
0 {TRAIN} --set steps=24 --allow-changes
0 models info run
0 models info run/model.safetensors --json
0 export run -o run.onnx

0 translate sample/frames nir --workers 1 --preview preview.png
0 translate sample/frames nir --workers 1 --json
3 translate photos all --model run --workers 1
3 translate photos all --model run --workers 1
1 translate photos stopped --model run --list stopping.txt --on-error stop --workers 1
0 translate photos all --model run --dry-run --json
0 translate sample/frames part --model run --list list.txt
0 translate sample/frames part --model run
0 translate sample/frames part --model run --redo --quiet
0 translate sample/frames jpg --format jpg --channels 3 --size 48x64
0 translate sample/frames tif --model run --format tif --bit-depth 16 --tile 64
3 translate photos shard1 --model run --shard 1/2 --batch 2
0 translate photos shard2 --model run --shard 2/2 --batch 2
3 manifest merge shard1 shard2 -o merged --source photos
1 manifest merge shard1 shard1 -o merged2

0 {JUDGE} --model run --size 64 --out judged
0 {JUDGE} --model run --model compact --split test --size native --by category --bootstrap images --json
0 evaluate part jpg nir --size 64 --resamples 100 --name a --name b --published ranus

0 labels sample/frames.json --images sample/frames -o frames_coco.json
0 labels train=sample/real.json -o real_coco.json --policy identity --json
0 labels voc -o voc.json --unknown drop
0 labels gtFine -o polygons.json --drop-duplicates
0 labels masks --images masks -o masks.json
0 labels bdd.json -o bdd_paper.json --policy paper --bdd-inclusive --size 96x128

0 build-dataset {FULL} -o D --dry-run
0 build-dataset {FULL} -o D --yes
0 build-dataset {FULL} -o D --yes
0 build-dataset {FULL} -o planned --plan plan.json --json
0 build-dataset --apply plan.json -o planned --json
0 build-dataset {FULL} -o D2 --yes --files copy
0 build-dataset {FULL} -o D2 --yes --curation decisions.jsonl --replace
0 build-dataset --generated made=jpg --labels frames_coco.json {REAL} --real-pairs real=sample/pairs/found.csv \
-o sampled --yes --generated-per-real 1 --balance class --seed 5 --channels 3 --codec jpg
0 build-dataset --generated made=jpg --labels bdd.json --sources made=sample/frames --real sample/pairs/nir \
--real-labels unsplit.json --split train=0.5,val=0.25,test=0.25 --split-by frame --limit 3 --files symlink \
--no-near-duplicates --include-unlabelled -o unsplit -y
1 build-dataset --generated made=part --labels sample/frames.json {REAL} --real-pairs real=pairs.csv -o leaky --yes
0 build-dataset --generated made=part --labels sample/frames.json {REAL} -o leaky --yes --allow-leak

0 validate D
0 validate D --train-ready --json
0 validate leaky
0 validate D2 --no-decode
0 validate sampled/annotations/train.json sampled/annotations/val.json --images sampled
1 validate wrong.json --images sample/pairs/nir --json
0 explain D 1
0 explain D 3 --image --json
0 explain D made/0002.jpg
0 explain D2 made/0001.jpg#@0 --json
0 explain D images/real/03/0001.png
0 curation apply D decisions.jsonl
3 curation apply D others.jsonl --json
0 rebuild D2 --no-app --dry-run
1 rebuild D2 --curation others.jsonl --yes
0 report D -o report.html --images 2 --boxes 3 --frames 2
0 report all -o translated.html --title Photos --images 2 --frames 2 --json

0 detect train D detector {DETECT} --steps 20 --seed 7
0 detect train D detector {DETECT} --steps 20 --seed 7
0 detect evaluate detector D -o detected --resamples 100 --device cpu
0 detect evaluate D --detections detected/detections.json --real --bootstrap sequences --json
0 {COMPARE} --dry-run
0 {COMPARE}
0 {COMPARE} --json

0 run recipe.yaml --dry-run
0 run recipe.yaml
0 run recipe.yaml
0 run recipe.yaml --set translate.format=jpg --only translate

1 translate nowhere out
1 translate photos out --model compcat
1 translate photos out --model corrupt.safetensors
2 translate photos out --format gif
1 translate photos out --format jpg --bit-depth 16
2 translate photos out --size 48
2 translat photos out
1 train settings.yaml run2 --pairs pairs.csv --set lossses.ssim=1
1 train nosuch run2 --pairs pairs.csv
1 {TRAIN} --set generator.stem_channels=16
1 pairs list nowhere -o x.csv
2 evaluate nir
1 labels bdd_typo.json -o x.json
1 labels sample/frames.json -o x.json --policy papre
1 build-dataset {FRAMES} -o D3 --formats yollo -y
1 build-dataset {FRAMES} -o photos -y
1 build-dataset {FULL} -o D3 -y --licence MIT
1 validate nowhere
1 explain D 999999
1 curation apply D contradiction.jsonl
1 detect train photos d2 {DETECT}
1 detect train D d2 {DETECT} --set augment.flop=3
1 detect evaluate corrupt.safetensors D
1 run wrong_recipe.yaml
1 models export compact x.pt
1 sample-data sample
"""

REOPEN = f"""
0 models info run
0 models info run/best.safetensors --json
3 translate photos all --model run --workers 1 --json
3 translate photos stopped --model run --list stopping.txt --workers 1
0 {TRAIN} --set steps=24
0 {TRAIN} --set steps=28 --allow-changes
0 translate sample/frames nir --workers 1
0 translate sample/more nir_more --workers 1
3 manifest merge shard1 shard2 -o merged_again
0 {JUDGE} --model best.safetensors --size 64
0 evaluate part nir --rgb sample/frames --size 64 --resamples 100
0 pairs check pairs.csv --root sample/pairs --workers 1 -o again.parquet
0 build-dataset --apply plan.json -o planned_later --json
0 build-dataset --apply plan.json -o planned --json
0 build-dataset {FULL} -o D --yes
0 build-dataset {FULL} -o D2 --yes --curation D2/curation.jsonl
0 build-dataset {FULL} -o D2 --yes --curation others.jsonl --replace --allow-loss
0 validate D --json
0 validate sampled
0 validate unsplit --no-decode
0 explain D 1
0 explain unsplit 2 --image --json
0 curation apply D decisions.jsonl
0 report D -o report_again.html --images 2 --boxes 3 --frames 2
0 report sampled -o sampled.html --images 2 --boxes 3 --frames 2
0 detect train D detector {DETECT} --steps 20 --seed 7
0 detect evaluate detector D --resamples 100 --device cpu --json
0 {COMPARE}
0 run recipe.yaml --any-code --dry-run
0 run recipe.yaml --any-code
0 run recipe.yaml --any-code --from dataset
"""

SETTINGS = """
generator:
  {stem_channels: 8, encoder: [[8], [8]], bottleneck: [[8], [8], [8]], decoder: [[8], [8]], attention_heads: 2,
  norm_groups: 4, extractor: {kind: none}}
stages: [{size: 64, batch: 2}]
discriminator: {filters: 8, scales: 2}
compute: {precision: float32}
save: {log_steps: 5, validation_size: 64, samples: 1}
data: {category_weights: {}}
steps: 20
"""
RECIPE = """
name: small
about: From made images to a page.
cost: none
stages:
  sample: {run: sample-data, with: {frames: 2}}
  translate: {run: translate, with: {source: "${sample.out}/frames", model: compact, device: cpu}}
  labels: {run: labels, with: {inputs: "${sample.out}/frames.json", images: "${sample.out}/frames"}}
  dataset:
    run: build-dataset
    with:
      {generated: "made=${translate.out}", labels: "${labels.out}", real: "real=${sample.out}/pairs/nir",
      real-labels: "${sample.out}/real.json", codec: png, channels: "1"}
  validate: {run: validate, with: {paths: "${dataset.out}"}}
  report: {run: report, with: {folder: "${dataset.out}", images: 1, boxes: 1, frames: 1}}
expect:
  - {what: images to train on, value: 5, tolerance: 0, source: counted, file: "${dataset.out}/annotations/train.json",
    at: images}
"""
VOLATILE = {"started", "began", "seconds", "minutes", "profile", "code", "upstream"}
VOLATILE |= {"host", "platform", "python", "torch", "transformers"}
TEXT_MASKS = (
    (r"\b\d+(\.\d+)? (s|ms|min)\b", "N s"),
    (r"\b\d+(\.\d+)?( steps)?/s\b", "N/s"),
    (r"(?<=[a-z] \| )\d+\.\d(?= \|)", "N"),  # in summary.md
    (r'(?<="number">)\d+\.\d|(?<=width: )\d+\.\d', "N"),  # in summary.html
)
# Lines on standard error that come every few seconds; the last line of translating and training always comes.
PASSING = re.compile(
    r"""\w+:\ (?P<done>\d+)/(?!(?P=done),)\d+,\ .*go | \w+:\ \d+,\ .*counting | step\ \d+,\ (?!100).* |
    step\ (?P<step>\d+)\ of\ (?!(?P=step),).* | .*:\ \d+/\d+,\ N\ s\ to\ go | .*:\ \d+\ of\ \d+""",
    re.VERBOSE,
)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["record", folder]:
            work = _new(Path(folder)) / "work"
            make_inputs(work)
            return Recorder(Path(folder), work).run(SCENARIO)
        case ["reopen", old, folder]:
            work = _new(Path(folder)) / "work"
            shutil.copytree(old, work, symlinks=True)
            shutil.copy(work / "run/best.safetensors", work / "best.safetensors")
            add_later_inputs(work)
            return Recorder(Path(folder), work, Path(old).resolve()).run(REOPEN)
        case ["compare", first, second]:
            return compare(Path(first), Path(second))
    print(__doc__)
    return 2


def compare(first: Path, second: Path) -> int:
    """Print what differs between two records; 1 if anything does."""
    differences: list[str] = []
    for name in ("commands.txt", "hashes.txt"):
        texts = [(folder / name).read_text("utf-8").splitlines() for folder in (first, second)]
        assert all(texts), f"{name}: nothing was recorded"
        differences += difflib.unified_diff(*texts, str(first / name), str(second / name), lineterm="", n=4)
    print("\n".join(differences) or "no differences")
    return int(bool(differences))


class Recorder:
    """Runs commands in a folder, and writes down what they print and change.

    Args:
        folder: Gets commands.txt and hashes.txt.
        work: Where commands run; what is there already is not recorded.
        other: An absolute path that is masked as `work` is.
    """

    def __init__(self, folder: Path, work: Path, other: Path | None = None) -> None:
        self.folder, self.work = folder, work.resolve()
        self.code = Path(os.environ.get("PYTHONPATH") or Path(__file__).parents[1]).resolve()
        self.masks = {str(self.work): "WORK", str(other or self.work): "WORK", str(self.code): "CODE"}
        self.known: dict[str, tuple[tuple[int, ...], str]] = {}

    def run(self, lines: str) -> int:
        """Run commands, a line each; 1 if one has another exit code than is expected."""
        self.changes()
        unexpected = 0
        with (self.folder / "commands.txt").open("w") as commands, (self.folder / "hashes.txt").open("w") as hashes:
            for line in filter(None, lines.replace("\\\n", "").splitlines()):
                expected, _, command = line.partition(" ")
                began = time.monotonic()
                done = self.start(shlex.split(command))
                print(f"{time.monotonic() - began:5.1f} s  exit {done.returncode}  {command}", flush=True)
                if done.returncode != int(expected):
                    unexpected += 1
                    print(f"  expected {expected}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
                commands.write(f"$ nirgen {command}\nexit {done.returncode}\n")
                for name, text in (("out", done.stdout), ("err", done.stderr)):
                    commands.writelines(f"{name}| {said}\n" for said in self.mask_output(text))
                hashes.writelines([f"$ nirgen {command}\n", *(f"{change}\n" for change in self.changes())])
        return int(unexpected > 0)

    def start(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        home = self.work / ".home"
        settings = {"PYTHONPATH": str(self.code), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "120"}
        settings |= {"TORCH_HOME": str(home), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        command = [sys.executable, "-m", "nirgen", *arguments]
        return subprocess.run(
            command, cwd=self.work, env=os.environ | settings, capture_output=True, text=True, check=False
        )

    def mask_output(self, text: str) -> list[str]:
        """The lines of what a command printed, without clocks, absolute paths and passing progress."""
        text = self.mask_paths(text)
        if text.startswith("{"):
            value = json.loads(text)
            forms = (indent for indent in (None, 1, 2) if json.dumps(value, indent=indent, ensure_ascii=False) in text)
            return [f"JSON, indent {next(forms, 'of its own')}", *json.dumps(masked(value), indent=1).splitlines()]
        for pattern, replacement in TEXT_MASKS:
            text = re.sub(pattern, replacement, text)
        return [line for line in text.splitlines() if not PASSING.fullmatch(line)]

    def mask_paths(self, text: str) -> str:
        for path, name in self.masks.items():
            text = text.replace(path, name)
        return text

    def changes(self) -> list[str]:
        """A line for each file that is new, of other content or gone since the last call."""
        found, lines = {}, []
        for path in sorted(self.work.rglob("*")):
            if path.is_dir() or ".home" in path.parts:
                continue
            name, status = path.relative_to(self.work).as_posix(), path.lstat()
            name = re.sub(r"events\.out\.tfevents.*", "events", name)
            key = (status.st_mtime_ns, status.st_size, status.st_ino)
            before = self.known.get(name)
            found[name] = before if before and before[0] == key else (key, self.content(path))
            if before is None or found[name][1] != before[1]:
                lines.append(f"{name}  {found[name][1]}")
        lines += [f"{name}  gone" for name in self.known.keys() - found.keys()]
        self.known = found
        return sorted(lines)

    def content(self, path: Path) -> str:
        """The hash of a file, of what isn't volatile in it where clocks and hosts are allowed."""
        name = path.relative_to(self.work).as_posix()
        if path.is_symlink():
            return "-> " + self.mask_paths(str(path.readlink()))
        if "tfevents" in name or name.endswith("hashes.json"):
            return "not compared"
        if path.suffix == ".pt":
            return "values " + _sha256(json.dumps(masked(_plain(torch.load(path, weights_only=True)))).encode())
        if path.suffix == ".onnx":
            return "values " + _sha256(_without_traces(path))
        if path.name == "run.json" or "/state/" in name:
            values = json.loads(self.mask_paths(path.read_text("utf-8")))
            if "/state/" in name:  # the files that a stage wrote, with their times
                values["files"] = sorted(values["files"])
            return json.dumps(masked(values), sort_keys=True)
        if path.name == "log.jsonl":
            lines = path.read_text("utf-8").splitlines()
            return "values " + _sha256(json.dumps([masked(json.loads(line)) for line in lines]).encode())
        if name.startswith("runs/") and ("/logs/" in name or path.stem == "summary"):
            return "text " + _sha256("\n".join(self.mask_output(path.read_text("utf-8"))).encode())
        return _sha256(path.read_bytes())


def masked(value: Any) -> Any:
    """Plain values, without those that differ from run to run."""
    if isinstance(value, dict):
        return {key: "*" if key in VOLATILE else masked(inner) for key, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """The content of a checkpoint, with the hash of each tensor in its place."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape), _sha256(value.numpy().tobytes())]
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _without_traces(path: Path) -> bytes:
    """An ONNX model without what torch says of the code that it came from: paths, lines and modules."""
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model.SerializeToString(deterministic=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _new(folder: Path) -> Path:
    if folder.exists():
        sys.exit(f"{folder}: is there already; name a new folder")
    folder.mkdir(parents=True)
    return folder


def make_inputs(work: Path) -> None:
    """Write what the commands read, but for what `nirgen sample-data` makes."""
    for seed, name in enumerate(("a.png", "sub/b.jpg", "sub/c d.tif", "grey.png", "alpha.webp")):
        save_photo(work / "photos" / name, seed)
    (work / "photos/broken.png").write_bytes((work / "photos/a.png").read_bytes()[:300])
    (work / "photos/notes.txt").write_text("no image\n")
    (work / "corrupt.safetensors").write_bytes(bytes(range(200)))
    (work / "list.txt").write_text("0001.jpg\n0003.jpg\n")
    (work / "stopping.txt").write_text("a.png\nalpha.webp\nbroken.png\n")  # what is in flight after it, none can tell
    (work / "settings.yaml").write_text(SETTINGS)
    (work / "recipe.yaml").write_text(RECIPE)
    (work / "wrong_recipe.yaml").write_text(RECIPE.replace("run: translate", "run: translat"))

    box = {"x1": 10, "y1": 20, "x2": 40.5, "y2": 60}
    names = ("rider", "truck", "train", "traffic light", "person", "bike")
    labels = [{"id": str(number), "category": name, "box2d": box} for number, name in enumerate(names)]
    frames = [{"name": f"000{n}.jpg", "attributes": {"weather": "rainy"}, "labels": labels[n:]} for n in range(3)]
    _dump(work / "bdd.json", [*frames, {"name": "0003.jpg", "labels": []}, {"name": "0004.jpg"}])
    _dump(work / "bdd_typo.json", [{"name": "a.jpg", "labels": [{"id": "1", "category": "ridder", "box2d": box}]}])
    images = [{"id": n, "file_name": f"01/000{n}.png", "width": 128, "height": 96} for n in range(4)]
    boxes = [
        {"id": n + 1, "image_id": n, "category_id": 1, "bbox": [5 + n, 6, 30, 20], "area": 600, "iscrowd": 0}
        for n in range(4)
    ]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
    _dump(work / "unsplit.json", document)
    wrong = [boxes[0] | {"bbox": [100, 90, 60, 40]}, boxes[1] | {"id": 1, "bbox": [1, 1, 0, 5]}]
    _dump(work / "wrong.json", document | {"annotations": wrong})

    inner = "".join(
        f"<object><name>{name}</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>33</xmax><ymax>50</ymax></bndbox></object>"
        for name in ("person", "bicycle", "unheard of")
    )
    size = "<size><width>64</width><height>64</height><depth>3</depth></size>"
    (work / "voc").mkdir()
    (work / "voc/a.xml").write_text(f"<annotation><filename>a.jpg</filename>{size}{inner}</annotation>")
    polygon = [[10, 20], [30, 20], [30, 60]]
    objects = [{"label": name, "polygon": polygon} for name in ("car", "car", "road", "cargroup", "rider")]
    path = "gtFine/val/bonn/bonn_1_gtFine_polygons.json"
    _dump(work / path, {"imgHeight": 96, "imgWidth": 128, "objects": objects})
    pixels = np.full((40, 60, 3), (128, 64, 128), np.uint8)
    pixels[5:15, 10:30], pixels[20:36, 40:50] = (0, 0, 128), (64, 0, 128)
    (work / "masks/01").mkdir(parents=True)
    Image.fromarray(pixels).save(work / "masks/01/0357_gt.png")
    save_photo(work / "masks/01/0357_rgb.png", 9, (40, 60))

    decisions = [
        {"key": "made/0000.jpg", "action": "reject", "reason": "blurred", "author": "anna"},
        {"key": "made/0001.jpg#@0", "action": "relabel", "category": "car", "author": "anna"},
        {"key": "made/0002.jpg#@1", "action": "delete"},
        {"key": "made/0003.jpg#@2", "action": "move", "bbox": [1, 2, 30, 40], "width": 128, "height": 96},
        {"key": "real/01/0000.png", "action": "flag", "reason": "look again"},
    ]
    added = {"key": "made/0003.jpg#+0123456789ab", "action": "add", "category": "person", "bbox": [5, 5, 9.5, 20]}
    others = [
        decisions[0] | {"author": "ben"},
        *decisions[2:4],
        {"key": "made/0009.jpg", "action": "reject"},
        {"key": "made/0001.jpg#@0", "action": "delete", "seen": {"category": "bicycle"}},
    ]
    _write_lines(work / "decisions.jsonl", [*decisions, added | {"width": 128, "height": 96}])
    _write_lines(work / "others.jsonl", others)
    _write_lines(work / "contradiction.jsonl", [decisions[0], decisions[0] | {"action": "keep"}])


def add_later_inputs(work: Path) -> None:
    """Write what an older folder gets, for commands to go on with."""
    save_photo(work / "photos/later.png", 20)
    save_photo(work / "sample/more/a.png", 21)


def save_photo(path: Path, seed: int, size: tuple[int, int] = (72, 88)) -> None:
    """Write a smooth made photograph of (height, width), other for each seed; `grey` and `alpha` are of those modes."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BILINEAR)
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = {"grey": "L", "alpha": "RGBA"}.get(path.stem, "RGB")
    image.convert(mode).save(path, quality=90, **({"lossless": True} if path.suffix == ".webp" else {}))


def _dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _write_lines(path: Path, values: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
