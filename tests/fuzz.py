"""Change valid files at random, and check that their readers give a result or one line: no traceback, hang or lie.

    python tests/fuzz.py --count 1000 --seed 1 --targets labels/coco,dataset.json

A target is a valid file, a call that reads it, and whether it is sealed. Each mutation is

- `equal`, if the reader gives what the valid file holds;
- `refused`, if it raises a NirgenError of one line, or gives None, which stands for a file that is not there;
- `other`, if it gives something else: right for files that people edit, a failure (`lie`) for a sealed one;
- `unsealed`, if a sealed file has lost its checksum alone, which files of older versions lack;
- a failure with a `traceback`, a `hang` of over 20 seconds, or an error that is no `line`.

The same seed and number draw the same mutation of a target. A new target is an entry in `targets`.
"""

from __future__ import annotations

import argparse
import errno
import io
import json
import random
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter, defaultdict
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

SECONDS = 20  # for reading a file
FAILURES = ("lie", "traceback", "hang", "line")


@dataclass(frozen=True)
class Target:
    """A valid file and its reader."""

    file: Path
    read: Callable[[], Any]
    sealed: bool = False  # None or another result than the valid file's is never right


# What replaces a value in JSON; a token in place of what `json` can't write.
DEEP, HUGE = "[" * 20_000 + "]" * 20_000, "9" * 400
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 1e308, -1e308, 5e-324, 0.5, "", "a", "1", "nan"),
    *("../../a", "/a", "a\0b", "a\nb", "a\u2028b", "\\u" + "d800", "é" * 300, "x" * 100_000),
    *([], {}, [[]], [None], [1], {"a": 1}, [[1, 2]], {"size": [2**40, 2**40], "counts": [1]}),
    *("@1e400@", "@NaN@", "@-Infinity@", f"@{DEEP}@", f"@{HUGE}@", '@"\\ud800"@', '@"\x00"@'),
)
TOKENS = (b"\0", b"\xff", b"\n", b'"', b"{", b"[", b"-1", b"1e400", b"NaN", b",", b"'", b"&a", b"<", HUGE.encode())


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Return a changed copy of a file's content."""
    if chance.random() < 0.5:
        found = (change(data, chance) for change in (in_safetensors, in_parquet, in_json, in_lines))
        structured = next((changed for changed in found if changed is not None), None)
        if structured is not None:
            return structured
    return chance.choice((flip, noise, cut, drop, double, insert))(data, chance)


def flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def noise(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + chance.randbytes(8) + data[place + 8 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _chunk(data: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(data))
    return start, min(len(data), start + chance.choice((1, 4, 16, 64, 256)))


def drop(data: bytes, chance: random.Random) -> bytes:
    start, end = _chunk(data, chance)
    return data[:start] + data[end:]


def double(data: bytes, chance: random.Random) -> bytes:
    start, end = _chunk(data, chance)
    return data[:end] + data[start:end] + data[end:]


def insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + chance.choice(TOKENS) + data[place:]


def in_json(data: bytes, chance: random.Random) -> bytes | None:
    """Change one value in JSON; None if the content is none."""
    try:
        values = json.loads(data)
    except ValueError:
        return None
    return changed_json(values, chance).encode(errors="surrogatepass")


def changed_json(values: Any, chance: random.Random) -> str:
    """Return JSON of which one value is replaced, removed, repeated or called otherwise."""
    holder = {"": values}
    places: list[tuple[Any, Any]] = [(holder, "")]
    for container, key in places:
        value = container[key]
        keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        places += [(value, key) for key in keys]
    container, key = chance.choice(places)
    what = chance.choice(("replace", "replace", "replace", "remove", "repeat", "rename"))
    if container is holder or what == "replace":
        container[key] = chance.choice(HOSTILE)
    elif what == "remove":
        del container[key]
    elif isinstance(container, list):
        container.insert(key, container[key])
    else:
        container[f"{key}x" if what == "rename" else f" {key}"] = container.pop(key)
    text = json.dumps(holder[""])
    for token in (value[1:-1] for value in HOSTILE if isinstance(value, str) and value[:1] == "@"):
        text = text.replace(json.dumps(f"@{token}@"), token)
    return text


def in_lines(data: bytes, chance: random.Random) -> bytes | None:
    """Change one line of several: a value of its JSON, or one of its words."""
    lines = data.split(b"\n")
    if len(lines) < 3 or b"\0" in data:
        return None
    place = chance.randrange(len(lines))
    words = lines[place].split(b" ")
    words[chance.randrange(len(words))] = str(chance.choice(HOSTILE)).encode(errors="replace")
    lines[place] = chance.choice((in_json(lines[place], chance) or b" ".join(words), b"", lines[place - 1]))
    return b"\n".join(lines)


def in_safetensors(data: bytes, chance: random.Random) -> bytes | None:
    """Change one value of the header of a model file, or of the JSON in it."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length])
        if chance.random() < 0.6:
            header["__metadata__"]["nirgen"] = changed_json(json.loads(header["__metadata__"]["nirgen"]), chance)
            text = json.dumps(header)
        else:
            text = changed_json(header, chance)
    except (ValueError, KeyError, TypeError):
        return None
    encoded = text.encode(errors="surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded + data[8 + length :]


def in_parquet(data: bytes, chance: random.Random) -> bytes | None:
    """Change a column of a Parquet file, its rows or its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not data.startswith(b"PAR1") or not data.endswith(b"PAR1"):
        return None
    table = pq.read_table(pa.BufferReader(data))
    place, metadata = chance.randrange(table.num_columns), dict(table.schema.metadata or {})
    name = table.column_names[place]
    what = chance.choice(("remove", "nulls", "numbers", "texts", "rows", "metadata", "rename"))
    if what == "remove":
        table = table.remove_column(place)
    elif what == "rows":
        table = pa.concat_tables([table, table])
    elif what == "rename":
        table = table.rename_columns([f"{each}x" if each == name else each for each in table.column_names])
    elif what != "metadata":
        count = len(table)
        values: Mapping[str, Any] = {
            "nulls": pa.nulls(count, table.schema.field(name).type),
            "numbers": pa.array([-7] * count, pa.int32()),
            "texts": pa.array([chance.choice(("../a", "a\nb", "", "x" * 1000))] * count, pa.string()),
        }
        table = table.set_column(place, name, values[what])
    elif metadata:
        key = chance.choice(sorted(metadata))
        metadata[key] = in_json(metadata[key], chance) or b"\xff"
    buffer = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue().to_pybytes()


def targets(folder: Path) -> dict[str, Target]:
    """Write a valid file of each kind below a folder, and return them by name."""
    found = {f"labels/{name}": target for name, target in label_targets(folder).items()}
    return found | dataset_targets(folder) | state_targets(folder) | settings_targets(folder)


def label_targets(folder: Path) -> dict[str, Target]:
    """Return labels in the formats that `nirgen labels` reads."""
    from nirgen.evaluate.regions import draw
    from nirgen.labels import LabelFile, Policy, Source, annotation, convert, open_labels

    image = {"id": 1, "file_name": "a/b.jpg", "width": 100, "height": 80}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 30], "area": 600, "iscrowd": 0}
    rle = {"size": [80, 100], "counts": [800, 30, 7170]}
    outline = {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0}
    masked = {"id": 3, "image_id": 1, "category_id": 1, "segmentation": rle, "attributes": {"occluded": True}}
    coco = {"images": [image], "annotations": [box, outline, masked], "categories": [{"id": 1, "name": "car"}]}
    frame = {
        "name": "a.jpg",
        "attributes": {"weather": "clear"},
        "labels": [
            {"category": "car", "id": "1", "box2d": {"x1": 10, "y1": 10, "x2": 30, "y2": 40}},
            {"category": "car", "poly2d": [{"vertices": [[1, 1], [9, 1], [9, 9]], "types": "LCC", "closed": True}]},
        ],
    }
    cityscapes = {"imgHeight": 80, "imgWidth": 100, "objects": [{"label": "car", "polygon": [[1, 1], [9, 1], [9, 9]]}]}
    labelme = {
        "imagePath": "a.jpg",
        "imageHeight": 80,
        "imageWidth": 100,
        "shapes": [{"label": "car", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}],
    }
    region = {"x": 1, "y": 1, "width": 10, "height": 10, "rotation": 5, "rectanglelabels": ["car"]}
    size = {"original_width": 100, "original_height": 80}
    result = [{"id": "r", "type": "rectanglelabels", "value": region, **size}]
    studio = [{"id": 1, "data": {"image": "/a.jpg"}, "annotations": [{"result": result}]}]
    xml = (
        "<annotation>\n<filename>a.jpg</filename>\n<size><width>100</width><height>80</height></size>\n<object>\n"
        "<name>car</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>\n</object>\n"
        "</annotation>"
    )
    cvat = (
        '<annotations>\n<image id="0" name="a.jpg" width="100" height="80">\n<box label="car" xtl="1" ytl="1" xbr="9" '
        'ybr="9" occluded="0"/>\n<polygon label="car" points="1,1;9,1;9,9"/>\n</image>\n</annotations>'
    )
    kitti = (
        "Car 0.50 2 -1.57 10 20 40.5 50 1.5 1.6 3.9 1 2 30 -1.6\nDontCare -1 -1 -10 60 20 50 30 -1 -1 -1 -1 -1 -1 -1\n"
    )
    kaist = "% bbGt version=3\nperson 10 20 5 12 1 0 0 0 0 0 0\npeople 40 20 5 12 0 0 0 0 0 1 0\n"
    open_images = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
        "b,x,/m/0k4j,1,0.2,0.6,0.25,0.5,1,-1,0,0,0\na,x,/m/01g317,1,0.1,0.2,0.5,1,0,0,1,0,0\n"
    )
    yolo = "1 0.5 0.5 0.2 0.1\n0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
    files = {  # a file that is changed, its text, and files that are not
        "coco": ("a.json", json.dumps(coco)),
        "bdd": ("a.json", json.dumps([frame])),
        "cityscapes": ("a_gtFine_polygons.json", json.dumps(cityscapes)),
        "labelme": ("a.json", json.dumps(labelme)),
        "labelstudio": ("a.json", json.dumps(studio)),
        "voc": ("a.xml", xml),
        "cvat": ("a.xml", cvat),
        "kitti": ("label_2/a.txt", kitti),
        "kaist": ("a.txt", kaist),
        "openimages": ("a.csv", open_images),
        "yolo": ("labels/train/1.txt", yolo),
        "yolo/settings": ("data.yaml", YOLO),
        "nirgen": ("a.json", own_labels()),
    }
    found = {}
    for name, (file, text) in files.items():
        root = folder / name.replace("/", "-")
        (root / file).parent.mkdir(parents=True)
        if "yolo" in name:
            write_image(root / "images/train/1.png", 1)
            (root / "labels/train").mkdir(parents=True, exist_ok=True)
            (root / "labels/train/1.txt").write_text(yolo)
            (root / "data.yaml").write_text(YOLO)
        (root / file).write_text(text)
        source = root if "/" in file or "yolo" in name else root / file

        def read(source: Path = source) -> object:
            document = convert(
                [Source(source)], Policy.load("identity"), size=(80, 100), outlines="box", drop_duplicates=True
            )
            labels = LabelFile.parse(b"".join(document.chunks()), source)
            return (
                labels.categories,
                labels.counts,
                [list(map(annotation, image.annotations)) for image in labels.images],
            )

        found[name] = Target(root / file, read)
    opened = folder / "nirgen/a.json"
    found["opened"] = Target(opened, lambda: open_labels(opened).images)
    found["regions"] = Target(
        opened, lambda: [draw(image, file).sum() for file in [LabelFile.read(opened)] for image in file.images]
    )
    return found | {"validate": Target(folder / "coco/a.json", lambda: validated(folder / "coco/a.json"))}


YOLO = "train: images/train\nnames: {0: person, 1: car}\n"


def write_image(path: Path, seed: int) -> None:
    """Write a PNG of 30x20 pixels."""
    import numpy as np
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30), np.uint8)).save(path)


def own_labels() -> str:
    """Return a labels file of two images of 30x20 pixels."""
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 10, 5], "area": 50, "iscrowd": 0}
        | {"source_key": str(n), "source_category": "car", "segmentation": outline}
        for n, outline in enumerate(([[1, 2, 11, 2, 11, 7]], {"size": [20, 30], "counts": [100, 50, 450]}), start=1)
    ]
    splits = ((1, "train"), (2, "val"))
    images = [{"id": n, "file_name": f"{n}.png", "width": 30, "height": 20, "split": split} for n, split in splits]
    info = {"nirgen": {"schema": 1, "policy": "default", "inputs": [], "counts": {}}}
    document = {"info": info, "categories": [{"id": 1, "name": "car"}], "images": images, "annotations": annotations}
    return json.dumps(document)


def validated(*paths: Path) -> object:
    """Return what is found in a COCO file, or a dataset's folder."""
    from nirgen.validate import Options, validate

    return validate(paths, options=Options(decode=False)).as_dict()


def dataset_targets(folder: Path) -> dict[str, Target]:
    """Return the files of a dataset, decisions about it, its scores and plan, and those of a translation folder."""
    from nirgen.collection import open_collection
    from nirgen.curation import read_decisions
    from nirgen.dataset.build import build
    from nirgen.dataset.config import DatasetConfig
    from nirgen.dataset.folder import read_dataset
    from nirgen.dataset.planner import apply_plan, make_plan, write_plan
    from nirgen.dataset.read import read
    from nirgen.dataset.rebuild import plan_again
    from nirgen.explain import explain
    from nirgen.files import sha256_of
    from nirgen.scores.table import read_table, score
    from nirgen.translate.items import Row
    from nirgen.translate.journal import header_line, journal_path, read_journal, to_line
    from nirgen.translate.manifest import Manifest, iter_rows, read_manifest, write_manifest

    decisions = folder / "decisions.jsonl"
    for number in (1, 2):
        write_image(folder / f"real/{number}.png", number)
    (folder / "real.json").write_text(own_labels())
    decisions.write_text(
        '{"key":"real/1.png","action":"keep","author":"a"}\n{"key":"real/2.png#2","action":"move","bbox":[1,1,5,5],'
        '"width":30,"height":20}\n{"key":"real/2.png","action":"flag","seen":{"sha256":"' + "5" * 64 + '"}}\n'
    )
    given = {"origin": "real", "folder": folder / "real", "labels": folder / "real.json"}
    config = {"real": [given], "near_duplicates": False, "curation": decisions}
    plan = make_plan(DatasetConfig.read(config, where="fuzz"))
    built = folder / "D"
    build(plan, built)
    write_plan(folder / "plan.json", plan)

    def described() -> object:
        info = read_dataset(built)
        return info.digest, info.categories, info.files, info.splits, list(read(info))

    score(open_collection(built), workers=1)

    def scores() -> object:
        table = read_table(built)
        return None if table is None else table.to_pylist()

    write_image(folder / "nir/a.png", 5)
    row = Row("a.jpg", "m", "o", "done", "5" * 64, 30, 20, "a.png", sha256_of(folder / "nir/a.png"), 30, 20)
    rows = (row, Row("b.jpg", "m", "o", "failed", error="damaged"))
    header = {"licence": "CC0-1.0", "training": {"pairs": [{"nir_sha256": "5" * 64}]}, "architecture": {}}
    write_manifest(folder / "nir", Manifest(rows, "0", {"format": "png"}, header))
    (folder / "nir.json").write_text(own_labels().replace("1.png", "a.jpg"))
    generated = {"origin": "nir", "folder": folder / "nir", "labels": folder / "nir.json"}
    settings = DatasetConfig.read({"generated": [generated], "real": [given], "near_duplicates": False}, where="fuzz")
    journal = journal_path(folder / "run")
    journal.parent.mkdir(parents=True)
    journal.write_bytes(header_line() + b"".join(map(to_line, rows)))
    return {
        "dataset.json": Target(built / "dataset.json", described, sealed=True),
        "provenance.parquet": Target(built / "provenance.parquet", described, sealed=True),
        "annotations": Target(built / "annotations/train.json", described),
        "validate": Target(built / "annotations/train.json", lambda: validated(built)),
        "validate/dataset.json": Target(built / "dataset.json", lambda: validated(built)),
        "run.json": Target(
            built / "run.json", lambda: plan_again(read_dataset(built), read_decisions(decisions)).digest
        ),
        "scores": Target(built / "scores.parquet", scores, sealed=True),
        "decisions": Target(decisions, lambda: read_decisions(decisions).all),
        "plan": Target(folder / "plan.json", lambda: apply_plan(folder / "plan.json").digest),
        "manifest": Target(folder / "nir/manifest.parquet", lambda: read_manifest(folder / "nir"), sealed=True),
        "manifest/rows": Target(folder / "nir/manifest.parquet", lambda: list(iter_rows(folder / "nir"))),
        "manifest/build": Target(folder / "nir/manifest.parquet", lambda: make_plan(settings).digest),
        "collection": Target(folder / "nir/manifest.parquet", lambda: list(open_collection(folder / "nir").items())),
        "explain": Target(built / "annotations/train.json", lambda: explain(built, "real/1.png#1")),
        "journal": Target(journal, lambda: list(map(asdict, read_journal(folder / "run")))),
    }


def state_targets(folder: Path) -> dict[str, Target]:
    """Return files of state: models, trainings, recipes, adaptations, detectors."""
    import numpy as np

    from nirgen.adapt.validation import Record
    from nirgen.cli.models import info
    from nirgen.detect.detector import read_about
    from nirgen.files import seal
    from nirgen.models.baselines import Linear
    from nirgen.models.checkpoint import load_baseline, save_baseline
    from nirgen.recipe.plan import Hashes, State
    from nirgen.runlog import read_run, write_run
    from nirgen.train.monitor import read_log

    model = folder / "m.safetensors"
    linear = Linear(np.array([0.2, 0.3, 0.4]), 0.1)
    save_baseline(model, linear, training={"pairs": [{"nir_sha256": "5" * 64}], "steps": 7}, licence="CC0-1.0")

    def loaded() -> object:
        baseline, header = load_baseline(model)
        arrays = {name: values.tolist() for name, values in baseline.arrays().items()}
        return arrays, {key: header[key] for key in ("licence", "training", "metrics", "model_id")}

    state = State("done", {"command": "labels", "options": {"a": 1}, "inputs": {}}, 1.5, {"out:a": [1, 2]})
    state.write(State.file(folder, "labels"))
    hashes = Hashes(folder / "hashes.json")
    hashes.of(model)
    hashes.save()
    record = Record(folder / "record", "print")
    record.write("fold", {"psnr": [20.5, 21.0]})
    (folder / "detector").mkdir()
    (folder / "detector/config.json").write_text("{}")
    about = {"schema": 1, "names": ["a", "b"], "size": 640, "dataset": {"sha256": "5" * 64}, "files": {}}
    (folder / "detector/nirgen.json").write_text(json.dumps(seal(about), indent=2))

    def known() -> object:
        values = read_about(folder / "detector") or {}
        return {key: values.get(key) for key in about}

    (folder / "training").mkdir()
    lines = [{"step": step, "generator": {"l1": 0.5 / step}, "seconds": 1.5} for step in (1, 2, 3)]
    (folder / "training/log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    write_run(folder / "training", {"schema": 1, "state": "ended", "started": "2026-01-01"})
    return {
        "model": Target(model, loaded, sealed=True),
        "model/info": Target(model, lambda: info(str(model), as_json=True)),
        "recipe/state": Target(State.file(folder, "labels"), lambda: State.read(folder, "labels"), sealed=True),
        "recipe/hashes": Target(
            folder / "hashes.json", lambda: Hashes(folder / "hashes.json").of(folder / "real.json"), sealed=True
        ),
        "adapt/record": Target(folder / "record/fold.json", lambda: record.read("fold"), sealed=True),
        "detector": Target(folder / "detector/nirgen.json", known, sealed=True),
        "training/log": Target(folder / "training/log.jsonl", lambda: read_log(folder / "training")),
        "training/run.json": Target(folder / "training/run.json", lambda: read_run(folder / "training")),
    }


def settings_targets(folder: Path) -> dict[str, Target]:
    """Return what people write: policies, recipes, settings, lists of pairs."""
    from nirgen.detect.config import DetectConfig
    from nirgen.labels import Policy
    from nirgen.pairs.listing import read_rows
    from nirgen.recipe.recipe import Recipe
    from nirgen.train.config import TrainConfig

    texts = {
        "policy.yaml": "classes:\n  - name: car\n    take: [car, van]\n    ignore: [trailer]\ndrop: [sky]\n",
        "recipe.yaml": "name: a\nabout: b\ndata:\n  photos: {about: c}\nstages:\n  labels:\n    run: labels\n"
        "    with: {sources: '${data.photos}', policy: paper}\nexpect:\n  - {what: PSNR, value: 20.5}\n",
        "train.yaml": "steps: 7\noptimizer:\n  learning_rate: 1.0e-4\ncompute: {precision: fp32}\n",
        "detect.yaml": "steps: 7\n",
        "pairs.csv": "name,rgb,nir,sequence,split,category,rgb_sha256,nir_sha256\na,rgb/a.jpg,nir/a.jpg,s,train,,5,5\n"
        "b,rgb/b.jpg,nir/b.jpg,s,val,,5,5\n",
    }
    readers: dict[str, Callable[[Path], Any]] = {
        "policy.yaml": Policy.load,
        "recipe.yaml": Recipe.load,
        "train.yaml": lambda path: TrainConfig.read(read_settings(path), where=str(path)),
        "detect.yaml": lambda path: DetectConfig.read(read_settings(path), where=str(path)),
        "pairs.csv": read_rows,
    }
    found = {}
    for name, text in texts.items():
        path, read = folder / name, readers[name]
        path.write_text(text)
        found[f"settings/{name}"] = Target(path, lambda path=path, read=read: read(path))  # type: ignore[misc]
    return found


def read_settings(path: Path) -> dict[str, Any]:
    from nirgen.config import read_yaml

    return read_yaml(path)


class _HangError(BaseException):
    """A reader that takes too long."""


@contextmanager
def limited() -> Generator[None]:
    """Raise `_HangError` in a block that takes over `SECONDS`."""

    def stop(_number: int, _frame: object) -> None:
        raise _HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def judge(target: Target, right: Any) -> tuple[str, str]:
    """Read a changed file; return the verdict and what there is to say of a failure."""
    from nirgen.errors import NirgenError

    try:
        with limited():
            found = target.read()
    except NirgenError as error:
        text = str(error).replace("a\nb", "")  # a name, whose line end the command line makes visible
        return ("refused", "") if text and "\n" not in text else ("line", text[:500])
    except OSError as error:  # the command line makes a line of names that are too long
        return ("refused", "") if error.errno == errno.ENAMETOOLONG else ("traceback", traceback.format_exc(limit=-4))
    except _HangError:
        return "hang", traceback.format_exc(limit=-4)
    except Exception:  # noqa: BLE001 - that is what is looked for
        return "traceback", traceback.format_exc(limit=-4)
    if found is None and right is not None:
        return "refused", ""
    same = repr(found) == repr(right)
    return "equal" if same else "lie" if target.sealed else "other", "" if same else repr(found)[:500]


def run(count: int, seed: int, work: Path, only: str = "") -> tuple[dict[str, Counter[str]], list[str]]:
    """Read `count` mutations, spread over the targets whose names contain `only`; return counts and failures."""
    made = {name: target for name, target in targets(work).items() if any(one in name for one in only.split(","))}
    rights = {name: target.read() for name, target in made.items()}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    failures = []
    names = sorted(made)
    for number in range(count):
        name = names[number % len(names)]
        target, whole = made[name], made[name].file.read_bytes()
        changed = mutate(whole, random.Random(f"{seed} {name} {number}"))
        target.file.write_bytes(changed)
        verdict, text = judge(target, rights[name])
        if verdict == "lie" and changed.count(b"sha256") < whole.count(b"sha256"):
            verdict = "unsealed"
        counts[name][verdict] += 1
        if verdict in FAILURES:
            kept = work / f"failure-{number}-{name.replace('/', '_')}"
            kept.write_bytes(changed)
            failures.append(f"{verdict}: {name}, mutation {number} of seed {seed}: {text}")
        target.file.write_bytes(whole)
    return counts, failures


def main() -> None:
    """Run mutations; print counts by target and exit with 1 if any has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="mutations in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", default="", help="parts of names, separated by commas")
    parser.add_argument("--work", type=Path, help="folder to work in, kept; a temporary one by default")
    options = parser.parse_args()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        with redirect_stdout(io.StringIO()):  # commands print
            counts, failures = run(options.count, options.seed, work.resolve(), options.targets)
    for name in sorted(counts):
        print(f"{name:24}", "  ".join(f"{verdict} {number}" for verdict, number in sorted(counts[name].items())))
    total = sum(counts.values(), Counter[str]())
    print("in all:", "  ".join(f"{verdict} {number}" for verdict, number in sorted(total.items())))
    for failure in failures:
        print(failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
