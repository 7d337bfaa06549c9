"""How long `nirgen browse` takes to load a large dataset into FiftyOne, beside FiftyOne's own way, in one run.

    python benchmarks/browse.py --database-uri mongodb://127.0.0.1:27017 [--images 70000] [--boxes 10] [--own 5000]

A dataset is made up first: its labels, its provenance, and an empty file for each RGB image; nobody reads pixels. Each
load is a process of its own with MongoDB, whose memory isn't counted, beside it; starting Python and FiftyOne is part
of it. FiftyOne's own way is `Dataset.add_samples` on the same samples, RGB images too, of the first 5,000 images:
with its defaults, and without validation and expansion of the schema.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from labels import measure

from nirgen.dataset.provenance import COLUMNS, METADATA

CLASSES = ("person", "bicycle", "car")
WIDTH, HEIGHT = 1280, 720

OWN = """
import json, sys
from pathlib import Path
import fiftyone as fo
folder, rgb, count, options = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
coco = json.loads((folder / "annotations/train.json").read_bytes())
names = {each["id"]: each["name"] for each in coco["categories"]}
boxes = {}
for each in coco["annotations"]:
    boxes.setdefault(each["image_id"], []).append(each)
dataset = fo.Dataset("nirgen benchmark, own way", overwrite=True)
dataset.add_group_field("group", default="nir")
dataset.add_sample_field("boxes", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
dataset.add_sample_field("key", fo.StringField)
def samples():
    for image in coco["images"][:count]:
        group = fo.Group()
        for name, path in (("nir", folder / image["file_name"]), ("rgb", rgb / Path(image["file_name"]).name)):
            detections = [
                fo.Detection(
                    label=names[box["category_id"]],
                    bounding_box=[value / size for value, size in zip(box["bbox"], (1280, 720) * 2)],
                    key=box["key"], source_category=box["source_category"], flags=[], iscrowd=False,
                )
                for box in boxes[image["id"]]
            ]
            labels = fo.Detections(detections=detections)
            yield fo.Sample(str(path), group=group.element(name), key=image["key"], boxes=labels)
dataset.add_samples(samples(), progress=False, num_samples=2 * count, **options)
print(len(dataset), file=sys.stderr)
dataset.delete()
"""


def make_dataset(folder: Path, rgb: Path, images: int, boxes: int) -> None:
    """Make up a dataset of generated images, all in `train`."""
    random = np.random.default_rng(0)
    (folder / "annotations").mkdir(parents=True)
    rgb.mkdir(parents=True)
    entries, annotations = [], []
    columns = {name: [] for name in COLUMNS.names}
    for number in range(1, images + 1):
        name = f"{number:06d}.jpg"
        (rgb / name).touch()
        key = f"bdd100k/{name}"
        digest = hashlib.sha256(key.encode()).hexdigest()
        file = f"images/bdd100k/{number:06d}.png"
        attributes = {"weather": "clear", "timeofday": ("daytime", "night")[number % 2], "scene": "highway"}
        entry = {"id": number, "file_name": file, "width": WIDTH, "height": HEIGHT, "key": key, "origin": "bdd100k"}
        entries.append(entry | {"kind": "generated", "attributes": attributes})
        row = dict.fromkeys(COLUMNS.names) | {"kind": "image", "key": key, "id": number, "split": "train"}
        row |= {"image_key": key, "file_name": file, "sha256": digest, "input_sha256": digest, "origin": "bdd100k"}
        row |= {
            "generated": True,
            "source": name,
            "source_sha256": digest[::-1],
            "transforms": [],
            "model_id": "a" * 64,
        }
        for column, values in columns.items():
            values.append(row[column])
        for position in range(boxes):
            left, top = int(random.integers(0, WIDTH - 300)), int(random.integers(0, HEIGHT - 300))
            width, height = (int(value) for value in random.integers(10, 300, 2))
            box = {"id": len(annotations) + 1, "image_id": number, "category_id": 1 + position % 3, "iscrowd": 0}
            box |= {"bbox": [left, top, width, height], "area": width * height, "key": f"{key}#{position}"}
            annotations.append(box | {"source_category": CLASSES[position % 3]})
    categories = [{"id": each, "name": name, "supercategory": "thing"} for each, name in enumerate(CLASSES, start=1)]
    coco = {"info": {}, "licenses": [], "categories": categories, "images": entries, "annotations": annotations}
    (folder / "annotations/train.json").write_text(json.dumps(coco))
    pq.write_table(pa.table(columns, COLUMNS.with_metadata(METADATA)), folder / "provenance.parquet")
    described = {"schema": 1, "nirgen": "0", "digest": "0" * 64, "categories": categories, "files": {}}
    described |= {"splits": {"train": {"images": images}}, "labels": [{"origin": "bdd100k"}], "curation": None}
    (folder / "dataset.json").write_text(json.dumps(described))
    (folder / "run.json").write_text(json.dumps({"inputs": {"bdd100k": {"folder": "", "sources": str(rgb)}}}))


def main() -> None:
    """Make what is needed, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-uri", required=True)
    parser.add_argument("--images", type=int, default=70_000)
    parser.add_argument("--boxes", type=int, default=10)
    parser.add_argument("--own", type=int, default=5_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, rgb = Path(temporary) / "nirgen-benchmark", Path(temporary) / "rgb"
        make_dataset(folder, rgb, arguments.images, arguments.boxes)
        browse = [sys.executable, "-m", "nirgen", "browse", str(folder), "--no-launch", "--no-scores"]
        browse += ["--database-uri", arguments.database_uri]
        own = [sys.executable, "-c", OWN, str(folder), str(rgb), str(min(arguments.own, arguments.images))]
        commands = {
            "nirgen browse": browse,
            "nirgen browse again, nothing changed": browse,
            "FiftyOne, add_samples": [*own, "{}"],
            "FiftyOne, add_samples without checks": [*own, '{"validate": false, "expand_schema": false}'],
        }
        for name, command in commands.items():
            seconds, busy, memory = measure(command)
            print(f"{name}: {seconds:.1f} s ({busy:.1f} s of a core), {memory:.0f} MiB", flush=True)
        described = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps(described | {"digest": "1" * 64}))
        seconds, busy, memory = measure(browse)
        print(f"nirgen browse after a rebuild: {seconds:.1f} s ({busy:.1f} s of a core), {memory:.0f} MiB", flush=True)
        delete = "import fiftyone; fiftyone.delete_dataset('nirgen-benchmark')"
        measure([sys.executable, "-c", delete])


if __name__ == "__main__":
    main()
