"""How long `nirgen labels` takes, beside the imports of the same labels by Datumaro and by FiftyOne, in one run.

    python benchmarks/importers.py --others PYTHON [--frames 70000] [--rounds 1]

PYTHON is the interpreter of an environment that has Datumaro, FiftyOne and a MongoDB that FiftyOne can start. Labels
and images (links to a few small files; FiftyOne asks for their sizes) are made first. Each import is a process of its
own; those of one round run one after the other. `nirgen labels` reads, converts, checks and writes a file; the others
read and keep a dataset, Datumaro in memory and FiftyOne in its database, whose memory isn't counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import make_labels
from labels import measure

DATUMARO = """
import sys
from datumaro import Dataset
found = Dataset.import_from(sys.argv[1], "coco_instances")
print(sum(len(item.annotations) for item in found), "boxes", file=sys.stderr)
"""
FIFTYONE = """
import sys
import fiftyone as fo
kind = {"bdd": fo.types.BDDDataset, "coco": fo.types.COCODetectionDataset}[sys.argv[1]]
found = fo.Dataset.from_dir(dataset_type=kind, data_path=sys.argv[2], labels_path=sys.argv[3], progress=False)
fields = found.get_field_schema(embedded_doc_type=fo.Detections)
print([found.count(field + ".detections") for field in fields], "boxes", file=sys.stderr)
found.delete()
"""


def main() -> None:
    """Make what is needed, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", required=True, metavar="PYTHON")
    parser.add_argument("--frames", type=int, default=70_000)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        images, bdd, out = root / "images/default", root / "det.json", root / "out.json"
        coco = root / "annotations/instances_default.json"  # where Datumaro looks
        boxes, names = make_labels.write(bdd, arguments.frames, seed=0)
        make_labels.write_images(images, names)
        labels = [sys.executable, "-m", "nirgen", "labels"]
        measure([*labels, str(bdd), "-o", str(coco), "--policy", "bdd100k"])
        print(f"{arguments.frames} frames, {boxes} boxes")
        commands = {
            "BDD100K, nirgen": [*labels, str(bdd), "-o", str(out), "--policy", "bdd100k"],
            "BDD100K, FiftyOne": [arguments.others, "-c", FIFTYONE, "bdd", str(images), str(bdd)],
            "COCO, nirgen": [*labels, str(coco), "-o", str(out), "--policy", "identity"],
            "COCO, Datumaro": [arguments.others, "-c", DATUMARO, str(root)],
            "COCO, FiftyOne": [arguments.others, "-c", FIFTYONE, "coco", str(images), str(coco)],
        }
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                seconds, _, memory = measure(command)
                print(f"{name}: {seconds:.1f} s, {memory:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
