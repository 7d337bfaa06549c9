"""How long `nirgen build-dataset` takes for a dataset of the size of BDD100K's train split, and how much memory.

    python benchmarks/build_dataset.py [--frames 70000] [--folder DIR] [--formats yolo,hf,rfdetr]

Labels and a translation folder of tiny images, 64x36 pixels, are made first, unless DIR has them; see make_labels.py.
All ten classes are kept, so that there are as many annotations as labels.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import make_labels
import numpy as np
from labels import measure

from nirgen import images
from nirgen._version import __version__
from nirgen.translate.items import Row
from nirgen.translate.manifest import Manifest, write_manifest

SIZE = (36, 64)
MODEL_ID, OPTIONS_ID = "a" * 64, "b" * 64


def write_translation(out: Path, names: list[str]) -> None:
    """Write a translation folder with an image of its own for each name."""
    out.mkdir(parents=True)
    rows = []
    for number, name in enumerate(names):
        pixels = np.full(SIZE, number % 256, np.uint8)
        pixels[0, :4] = np.frombuffer(number.to_bytes(4, "little"), np.uint8)
        data = images.encode(pixels, "png")
        output = Path(name).with_suffix(".png").name
        (out / output).write_bytes(data)
        rows.append(
            Row(
                source=name,
                model_id=MODEL_ID,
                options_id=OPTIONS_ID,
                status="done",
                source_sha256=hashlib.sha256(name.encode()).hexdigest(),
                source_width=make_labels.WIDTH,
                source_height=make_labels.HEIGHT,
                output=output,
                output_sha256=hashlib.sha256(data).hexdigest(),
                width=SIZE[1],
                height=SIZE[0],
            )
        )
    write_manifest(out, Manifest(tuple(rows), __version__, {"format": "png"}, {"licence": "unknown"}))


def main() -> None:
    """Make what is needed, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=70_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--formats")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        labels, translation, out = folder / "labels.json", folder / "nir", folder / "dataset"
        if not labels.exists():
            folder.mkdir(parents=True, exist_ok=True)
            source = folder / "det.json"
            _, names = make_labels.write(source, arguments.frames, seed=0)
            write_translation(translation, names)
            convert = [sys.executable, "-m", "nirgen", "labels", source, "-o", labels, "--policy", "bdd100k"]
            subprocess.run(convert, check=True)
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, "-m", "nirgen", "build-dataset", "--yes"]
        command += [f"bdd100k={translation}", str(labels), str(out)]
        command += ["--formats", arguments.formats] if arguments.formats else []
        seconds, busy, memory = measure(command)
        written = (out / "annotations/train.json").stat().st_size / 1e6
        print(f"{seconds:.1f} s ({busy:.1f} s of a core), {memory:.0f} MiB; annotations {written:.0f} MB")


if __name__ == "__main__":
    main()
