"""Load a dataset with the loaders that detectors are trained with, and compare the counts with the annotations.

transformers gets torchvision's images, as it takes three channels only; it drops regions to ignore (`iscrowd` 1), and
boxes without area after clipping to the image.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections import Counter
from typing import TYPE_CHECKING, Any

from nirgen.errors import one_line
from nirgen.progress import in_threads
from nirgen.validate.findings import CROWD, IMAGES, Counts, Loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nirgen.progress import Progress
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings


_SIDE = 64  # of the images that transformers makes: it changes the time, not the counts

_Given = list[tuple[Any, bool]] | Exception | None
"""Category id and `iscrowd` of each annotation of an image; or the error; None if the loader was not tried."""


def load_all(files: Sequence[CocoFile], findings: Findings, report: Progress | None) -> list[Loaded]:
    """Load every image and box of all files with all loaders.

    Findings are errors of the loaders, and counts that differ from the files'.
    """
    processor = _processor(findings)
    loaded = [Loaded(file.split, _expected(file), _load(file, findings, processor, report)) for file in files]
    for each in loaded:
        _compare(each, findings)
    return loaded


def _expected(file: CocoFile) -> Counts:
    labels = [f"{number} {name}" for number, name in zip(file.categories.ids, file.categories.names, strict=True)]
    boxes = Counter(file.annotations.categories[~file.annotations.crowd].tolist())
    counts = Counter({IMAGES: len(file.images)})
    for position in sorted(range(len(labels)), key=lambda position: int(file.categories.ids[position])):
        counts[labels[position]] += boxes[position]
    counts[CROWD] = int(file.annotations.crowd.sum())
    return counts


def _load(
    file: CocoFile, findings: Findings, processor: Callable[..., Any] | None, report: Progress | None
) -> dict[str, Counts]:
    """Return the counts by loader."""
    from torchvision.datasets import CocoDetection

    def fail(loader: str, what: str, error: Exception) -> None:
        findings.add("loader-fails", f"{loader}: {what}: {type(error).__name__} {one_line(error, 200)}")

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            dataset = CocoDetection(file.root, str(file.path))
        categories = dataset.coco.loadCats(dataset.coco.getCatIds())
        labels = {each["id"]: f"{each['id']} {each['name']}" for each in categories}
        got = {"pycocotools": _from_pycocotools(dataset.coco, labels)}
    except Exception as error:  # noqa: BLE001 - any error of a loader is a finding
        fail("pycocotools", file.path.name, error)
        return {}
    got |= {loader: Counter() for loader in ("torchvision", "transformers")[: 1 if processor is None else 2]}
    indices = range(len(dataset))
    results = in_threads(lambda index: _load_one(dataset, index, processor), indices, f"load {file.split}", report)
    for number, given in zip(dataset.ids, results, strict=True):
        for loader, each in zip(("torchvision", "transformers"), given, strict=True):
            if isinstance(each, Exception):
                fail(loader, str(dataset.coco.imgs[number].get("file_name")), each)
            elif each is not None:
                counts = (CROWD if crowd else labels.get(category, f"{category} ?") for category, crowd in each)
                got[loader].update([IMAGES, *counts])
    return got


def _from_pycocotools(coco: Any, labels: Mapping[Any, str]) -> Counts:
    counts = Counter({IMAGES: len(coco.getImgIds())})
    for number, label in labels.items():
        counts[label] = len(coco.getAnnIds(catIds=[number], iscrowd=False))
    counts[CROWD] = len(coco.getAnnIds(iscrowd=True))
    return counts


def _load_one(dataset: Any, index: int, processor: Callable[..., Any] | None) -> tuple[_Given, _Given]:
    """Return the annotations of one image as torchvision and transformers give them."""
    try:
        image, target = dataset[index]
        seen = [(each["category_id"], bool(each["iscrowd"])) for each in target]
    except Exception as error:  # noqa: BLE001 - any error of a loader is a finding
        return error, None
    if processor is None:
        return seen, None
    try:
        annotations = {"image_id": dataset.ids[index], "annotations": target}
        (encoded,) = processor(images=image, annotations=annotations, return_tensors="pt")["labels"]
        return seen, [(number, False) for number in encoded["class_labels"].tolist()]
    except Exception as error:  # noqa: BLE001 - any error of a loader is a finding
        return seen, error


def _processor(findings: Findings) -> Callable[..., Any] | None:
    if importlib.util.find_spec("transformers") is None:
        findings.add("loader-missing", "transformers")
        return None
    from transformers import RTDetrImageProcessor

    processor: Callable[..., Any] = RTDetrImageProcessor(size={"height": _SIDE, "width": _SIDE})
    return processor


def _compare(loaded: Loaded, findings: Findings) -> None:
    for loader, counts in loaded.got.items():
        order = [what for what in counts if what in loaded.expected]
        if loader == "pycocotools" and order != list(loaded.expected):
            classes = ", ".join(what for what in counts if what not in {IMAGES, CROWD})
            findings.add("loader-differs", f"{loaded.split}: {loader} gives the classes as {classes}")
        for what in dict.fromkeys([*loaded.expected, *counts]):
            wanted = loaded.wanted(loader, what)
            if counts[what] != wanted:
                findings.add("loader-differs", f"{loaded.split}: {what}: {wanted}, {loader} gives {counts[what]}")
