"""Prediction on a folder of images: COCO results that pycocotools loads, and pictures of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen import images
from nirgen._version import __version__
from nirgen.detect.coco_eval import Result
from nirgen.detect.detector import BATCH, load_detector
from nirgen.detect.evaluation import write_results
from nirgen.errors import ImageError, NirgenError, OutputError
from nirgen.escapes import drawn
from nirgen.files import locked, make_folder, output_file, read_bytes, write_whole
from nirgen.pairs.listing import list_images
from nirgen.progress import in_batches, or_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nirgen.detect.detector import Detections, Detector
    from nirgen.progress import Progress


SCHEMA = 1
ROWS, RESULTS, IMAGES, PICTURES = "rows.jsonl", "detections.json", "images.json", "pictures"
SCORE = 0.3  # least score of a box in a picture
DRAWN = 20  # most pictures


@dataclass(frozen=True)
class Predictions:
    """Detections on a folder of images."""

    names: tuple[str, ...]  # classes; their COCO ids count from 1
    rows: tuple[dict[str, Any], ...]  # of `rows.jsonl`, an image each, in the order of their names
    done_before: int  # images that an earlier run has looked at

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Rows of the images that couldn't be read."""
        return [row for row in self.rows if "error" in row]

    def counts(self, score: float) -> dict[str, int]:
        """Return the numbers of detections of a score and up, by class."""
        found = Counter(box["category"] for row in self.rows for box in row.get("boxes", ()) if box["score"] >= score)
        return {name: found[name] for name in self.names}


def predict(
    model: str,
    source: Path,
    out: Path,
    *,
    categories: Sequence[str] | None = None,
    pictures: int = DRAWN,
    score: float = SCORE,
    device: str | None = None,
    size: int | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> Predictions:
    """Detect objects on the images of a folder; or take up an earlier run of the same model.

    Args:
        model: A run of `nirgen detect train`, a hub id or a folder of transformers.
        source: The folder; its subfolders are searched too.
        out: The folder to write (docs/detect.md describes its files).
        categories: Classes to detect; all that the model knows by default.
        pictures: Most images to draw, spread evenly.
        score: Least score of a box in a picture; the files have all boxes.
        device: `cpu`, `cuda`...; the best available one by default.
        size: Side that images are resized to, in pixels; the model's own by default.
        progress: Progress callback.

    Returns:
        The detections; an image that can't be read has a row with its error.

    Raises:
        NirgenError: The folder has no images, the model can't be loaded, or OUT holds something else.
    """
    paths = list_images(source)
    if not paths:
        raise NirgenError(f"{source}: no images there ({' '.join(sorted(images.SUFFIXES))}); name a folder of images")
    if out.resolve().is_relative_to(source.resolve()):
        raise OutputError(f"{out}: lies in {source}, so its pictures would be images of the next run; name another")
    detector = load_detector(model, categories=categories, device=device, size=size)
    make_folder(out)
    with locked(out / ".lock", busy=f"{out}: another process predicts here; wait for it, or name another folder"):
        rows, before = _detect(detector, source, paths, out, progress)
        _write(detector, rows, out)
        chosen = spread(rows, pictures)
        for done, row in enumerate(chosen, start=1):
            _draw(row, detector.names, source, out, score)
            progress("drawing", done, len(chosen))
    return Predictions(detector.names, tuple(rows), before)


def _detect(
    detector: Detector, source: Path, paths: Sequence[Path], out: Path, progress: Progress
) -> tuple[list[dict[str, Any]], int]:
    """Detect on the images whose rows aren't there; each batch is appended to the rows, which are sorted at the end."""
    about = {"schema": SCHEMA, "model_id": detector.id, "classes": list(detector.names), "size": detector.size}
    earlier = _read_rows(out, about)
    hashes = {path: _sha256(path) for path in paths}
    names = {path: path.relative_to(source).as_posix() for path in paths}
    found = {
        path: earlier[name]
        for path, name in names.items()
        if name in earlier and "error" not in earlier[name] and earlier[name]["sha256"] == hashes[path]
    }
    before, left = len(found), [path for path in paths if path not in found]
    write_whole(out / ROWS, b"".join(map(_line, [about, *found.values()])))
    with (out / ROWS).open("ab") as file:
        for batch, read in zip(_parts(left), in_batches(or_error(images.read, ImageError), left, BATCH), strict=True):
            detections = iter(detector.predict([picture for picture in read if not isinstance(picture, ImageError)]))
            for path, picture in zip(batch, read, strict=True):
                about_file: dict[str, Any] = {"file_name": names[path], "sha256": hashes[path]}
                if isinstance(picture, ImageError):
                    found[path] = about_file | {"error": str(picture)}
                else:
                    height, width = picture.shape[:2]
                    boxes = _boxes(next(detections), detector.names)
                    found[path] = about_file | {"width": width, "height": height, "boxes": boxes}
                file.write(_line(found[path]))
            file.flush()
            progress("detecting", len(found), len(paths))
    ordered = [found[path] for path in paths]
    write_whole(out / ROWS, b"".join(map(_line, [about, *ordered])))
    return ordered, before


def _boxes(found: Detections, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return detections as plain values, rounded as in files."""
    return [
        {"category": names[category], "bbox": [round(side, 3) for side in box], "score": round(score, 8)}
        for category, box, score in zip(
            found.categories.tolist(), found.boxes.tolist(), found.scores.tolist(), strict=True
        )
    ]


def _read_rows(out: Path, about: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of an earlier run by file name, without a line that a kill cut off."""
    path = out / ROWS
    if not path.exists():
        strangers = sorted(entry.name for entry in out.iterdir() if not entry.name.startswith("."))
        if strangers:
            raise OutputError(f"{out}: holds no predictions, but '{strangers[0]}'; name a new folder")
        return {}
    rows = []
    for line in read_bytes(path).split(b"\n"):
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    if not rows or rows[0] != about:
        raise OutputError(
            f"{out}: holds predictions of another model, of other classes or another size; name a new folder"
        )
    return {row["file_name"]: row for row in rows[1:]}


def _write(detector: Detector, rows: Sequence[dict[str, Any]], out: Path) -> None:
    """Write COCO results, and the COCO file of the images that they are on; ids count from 1."""
    ids = {name: number for number, name in enumerate(detector.names, start=1)}
    read = [(number, row) for number, row in enumerate(rows, start=1) if "error" not in row]
    results = [
        Result(number, ids[box["category"]], tuple(box["bbox"]), box["score"])
        for number, row in read
        for box in row["boxes"]
    ]
    document = {
        "info": {"description": f"images of 'nirgen detect predict', nirgen {__version__}"},
        "images": [
            {"id": number, "file_name": row["file_name"], "width": row["width"], "height": row["height"]}
            for number, row in read
        ],
        "annotations": [],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    with output_file(out / IMAGES) as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write_results(out / RESULTS, results)


def spread(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return at most `count` rows of images that were read, spread evenly."""
    read = [row for row in rows if "error" not in row]
    places = np.linspace(0, len(read) - 1, min(count, len(read))).round().astype(int)
    return [read[place] for place in places]


def _draw(row: dict[str, Any], names: Sequence[str], source: Path, out: Path, score: float) -> None:
    """Draw an image with its boxes of a score and up."""
    from nirgen.detect.pictures import Cell, Outline, draw_image, save

    outlines = tuple(
        Outline(tuple(box["bbox"]), box["category"], f"{box['category'][:24]} {box['score']:.2f}")
        for box in row["boxes"]
        if box["score"] >= score
    )
    heading = f"{drawn(row['file_name'][-40:])}: {len(outlines)} boxes at scores from {score:g} on"
    cell = Cell(source / row["file_name"], (row["height"], row["width"]), heading, outlines)
    save(draw_image(cell, names), out / PICTURES / f"{row['file_name']}.png")


def _parts(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    return (paths[first : first + BATCH] for first in range(0, len(paths), BATCH))


def _sha256(path: Path) -> str | None:
    """Return the hash of a file; None if it can't be read, which its row will say."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except OSError:
        return None


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
