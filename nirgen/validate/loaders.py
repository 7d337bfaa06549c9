"""Whether a dataset comes out of the loaders that detectors are trained with as it went in.

What each of them does with a file:

- pycocotools' `COCO` gives all annotations; those of `iscrowd` 1 are regions to ignore, and counted apart here.
- torchvision's `CocoDetection` gives what pycocotools gives, and images converted to RGB, grey ones with three equal
  channels.
- transformers' processors of the DETR family take three channels, so they get torchvision's RGB images; they drop
  annotations of `iscrowd` 1, and boxes that have no area once they are clipped to the image.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nirgen.dataset.folder import THREADS
from nirgen.validate.findings import CROWD, IMAGES, Counts, Loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nirgen.progress import Progress
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings


LOADERS = ("pycocotools", "torchvision", "transformers")


_SIDE = 64  # of what transformers makes: the counts don't depend on it, the time does


@dataclass
class _Loading:
    """One file on its way through the loaders."""

    file: CocoFile
    findings: Findings
    got: dict[str, Counts] = field(default_factory=dict)

    def fails(self, loader: str, what: str, error: Exception) -> None:
        reason = " ".join(str(error).split())[:200]
        self.findings.add("loader-fails", f"{loader}: {what}: {type(error).__name__} {reason}")


def load_all(files: Sequence[CocoFile], findings: Findings, report: Progress | None) -> list[Loaded]:
    """Load all files with all loaders, every image and every box.

    Args:
        files: The annotation files.
        findings: Takes what doesn't come out, or not as expected.
        report: Told after each image.

    Returns:
        What came out of each file.
    """
    processor = _processor(findings)
    loaded = []
    for file in files:
        loading = _Loading(file, findings)
        _load(loading, processor, report)
        result = Loaded(file.split, _expected(file), loading.got)
        _compare(result, findings)
        loaded.append(result)
    return loaded


def _expected(file: CocoFile) -> Counts:
    labels = _labels(file)
    order = sorted(range(len(labels)), key=lambda position: int(file.categories.ids[position]))
    counts = Counter({IMAGES: len(file.images)})
    boxes = Counter(file.annotations.categories[~file.annotations.crowd].tolist())
    counts.update({labels[position]: boxes[position] for position in order})
    counts[CROWD] = int(file.annotations.crowd.sum())
    return counts


def _labels(file: CocoFile) -> list[str]:
    return [f"{number} {name}" for number, name in zip(file.categories.ids, file.categories.names, strict=True)]


def _load(loading: _Loading, processor: Callable[..., Any] | None, report: Progress | None) -> None:
    from torchvision.datasets import CocoDetection

    file = loading.file
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
            dataset = CocoDetection(file.root, str(file.path))
        categories = dataset.coco.loadCats(dataset.coco.getCatIds())
        labels = {each["id"]: f"{each['id']} {each['name']}" for each in categories}
        loading.got["pycocotools"] = _from_pycocotools(dataset.coco, labels)
    except Exception as error:  # noqa: BLE001 - whatever a loader raises is the finding
        loading.fails("pycocotools", file.path.name, error)
        return
    loading.got["torchvision"] = Counter()
    if processor is not None:
        loading.got["transformers"] = Counter()
    pool = ThreadPoolExecutor(THREADS)
    try:
        results = pool.map(lambda index: _load_one(dataset, index, processor), range(len(dataset)))
        for done, (seen, processed) in enumerate(results, start=1):
            for loader, given in (("torchvision", seen), ("transformers", processed)):
                if isinstance(given, Exception):
                    loading.fails(loader, _name(dataset, done - 1), given)
                elif given is not None:
                    loading.got[loader].update(_counted(given, labels))
            if report is not None:
                report(f"load {file.split}", done, len(dataset))
    finally:
        pool.shutdown(cancel_futures=True)


def _from_pycocotools(coco: Any, labels: Mapping[Any, str]) -> Counts:
    counts = Counter({IMAGES: len(coco.getImgIds())})
    for number, label in labels.items():
        counts[label] = len(coco.getAnnIds(catIds=[number], iscrowd=False))
    counts[CROWD] = len(coco.getAnnIds(iscrowd=True))
    return counts


_Given = list[tuple[Any, bool]] | Exception | None
"""Category id and whether it is a region to ignore, of each annotation of an image; or why there are none."""


def _load_one(dataset: Any, index: int, processor: Callable[..., Any] | None) -> tuple[_Given, _Given]:
    """What torchvision and transformers make of one image."""
    try:
        image, target = dataset[index]
        seen = [(each["category_id"], bool(each["iscrowd"])) for each in target]
    except Exception as error:  # noqa: BLE001 - as above
        return error, None
    if processor is None:
        return seen, None
    try:
        annotations = {"image_id": dataset.ids[index], "annotations": target}
        (encoded,) = processor(images=image, annotations=annotations, return_tensors="pt")["labels"]
        return seen, [(number, False) for number in encoded["class_labels"].tolist()]
    except Exception as error:  # noqa: BLE001 - as above
        return seen, error


def _counted(given: list[tuple[Any, bool]], labels: Mapping[Any, str]) -> Counts:
    counts = Counter(CROWD if crowd else labels.get(number, f"{number} ?") for number, crowd in given)
    counts[IMAGES] = 1
    return counts


def _name(dataset: Any, index: int) -> str:
    return str(dataset.coco.imgs[dataset.ids[index]].get("file_name"))


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
            if counts[what] != loaded.wanted(loader, what):
                wanted = loaded.wanted(loader, what)
                findings.add("loader-differs", f"{loaded.split}: {what}: {wanted}, {loader} gives {counts[what]}")
