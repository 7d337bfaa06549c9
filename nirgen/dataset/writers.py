"""Writers of label files: COCO, YOLO, Hugging Face, rfdetr, and settings for detectors.

Writers are context managers that yield a callback, which takes the images with their annotations. YOLO and Hugging Face
number classes by position, from 0. YOLO has no regions to ignore: they become background.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from nirgen._version import __version__
from nirgen.config import SPLITS
from nirgen.dataset.annotations import image_entries
from nirgen.dataset.contents import class_numbers, splits_in
from nirgen.dataset.folder import IMAGES, annotations_name
from nirgen.errors import NirgenError
from nirgen.labels.file import Licences
from nirgen.templates import render

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import LabelInput, Plan
    from nirgen.dataset.store import Store, Stream
    from nirgen.labels.file import Category


RFDETR_FOLDERS = {"train": "train", "val": "valid", "test": "test"}


@contextmanager
def coco_files(store: Store, plan: Plan) -> Generator[Callable[[Labelled], None]]:
    """Write `annotations/SPLIT.json`; names of images are relative to the dataset."""
    with _split_files(store, plan, annotations_name, str) as take:
        yield take


@contextmanager
def rfdetr_files(store: Store, plan: Plan) -> Generator[Callable[[Labelled], None]]:
    """Give each image a second name below its split's `_annotations.coco.json`."""
    folders = {split: f"rfdetr/{name}" for split, name in RFDETR_FOLDERS.items()}
    with _split_files(store, plan, lambda split: f"{folders[split]}/_annotations.coco.json", _below_images) as write:

        def take(labelled: Labelled) -> None:
            image = labelled.image
            store.link(f"{folders[image.split]}/{_below_images(image.target)}", image.target)
            write(labelled)

        yield take


def _below_images(target: str) -> str:
    return target.removeprefix(f"{IMAGES}/")


@contextmanager
def _split_files(
    store: Store, plan: Plan, name: Callable[[str], str], image_name: Callable[[str], str]
) -> Generator[Callable[[Labelled], None]]:
    """Write a COCO file for each split; `name` gives its file, `image_name` that of an image by its target."""
    licences, licence_ids = merge_licences(plan.label_files)
    with ExitStack() as stack:
        files = {}
        for split in splits_in(plan):
            entries = image_entries(plan, split, licence_ids)
            images = (entry | {"file_name": image_name(entry["file_name"])} for entry in entries)
            file = coco_file(store, name(split), categories=plan.categories, licences=licences, images=images)
            files[split] = stack.enter_context(file)

        def take(labelled: Labelled) -> None:
            for box in labelled.boxes:
                files[labelled.image.split](box.coco)

        yield take


@contextmanager
def coco_file(
    store: Store,
    name: str,
    *,
    categories: Sequence[Category],
    licences: Sequence[Mapping[str, Any]],
    images: Iterable[Mapping[str, Any]],
) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """Write a COCO file with a line for each image and each annotation; `licences` and `images` are COCO entries.

    Yields:
        Callback that takes an annotation.
    """
    encode = msgspec.json.Encoder().encode
    info = {"description": "NIR detection dataset, built by nirgen", "version": __version__}
    with store.stream(name) as file:
        file.write(b'{"info": ' + encode(info))
        file.write(b',\n"licenses": ' + encode(list(licences)))
        file.write(b',\n"categories": ' + encode([asdict(category) for category in categories]))
        with _array(file, "images") as put:
            for image in images:
                put(encode(image))
        with _array(file, "annotations") as put:
            yield lambda annotation: put(encode(annotation))
        file.write(b"}\n")


@contextmanager
def _array(file: Stream, name: str) -> Generator[Callable[[bytes], None]]:
    """Write a key with an array of encoded items, one a line."""
    before = b"\n"

    def put(item: bytes) -> None:
        nonlocal before
        file.write(before + item)
        before = b",\n"

    file.write(f',\n"{name}": ['.encode())
    yield put
    file.write(b"]" if before == b"\n" else b"\n]")


def label_name(target: str) -> str:
    """Return the YOLO label file of an image: the last folder `images` becomes `labels`.

    Example:
        >>> label_name("images/ranus/01/a.png"), label_name("images/bdd100k/images/b.jpg")
        ('labels/ranus/01/a.txt', 'images/bdd100k/labels/b.txt')
    """
    before, _, after = f"/{target}".rpartition("/images/")
    return f"{before}/labels/{PurePosixPath(after).with_suffix('.txt')}".removeprefix("/")


def check_names(plan: Plan) -> None:
    """Refuse images that would share a YOLO label file."""
    owners: dict[str, str] = {}
    for image in plan.images:
        other = owners.setdefault(label_name(image.target), image.target)
        if other != image.target:
            raise NirgenError(
                f"{other} and {image.target} would share one YOLO label file; encode them anew with --codec png, "
                "which tells their names apart, or leave out --formats yolo"
            )


@contextmanager
def yolo_files(store: Store, plan: Plan) -> Generator[Callable[[Labelled], None]]:
    """Write a text file of boxes for each image, and the lists of images."""
    numbers = class_numbers(plan)
    yield lambda labelled: store.write(label_name(labelled.image.target), _lines(labelled, numbers).encode())
    splits = splits_in(plan)
    for split in splits:
        names = [f"./{image.target}\n" for image in plan.images if image.split == split]
        store.write(f"{split}.txt", "".join(names).encode())
    store.write("dataset.yaml", render_text("dataset.yaml.j2", plan, splits=splits))


def _lines(labelled: Labelled, numbers: Mapping[int, int]) -> str:
    """Return a line for each box: class, centre and size relative to the image."""
    width, height = labelled.image.width, labelled.image.height
    lines = []
    for coco in (box.coco for box in labelled.boxes if not box.coco["iscrowd"]):
        x, y, w, h = coco["bbox"]
        place = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
        lines.append(" ".join([str(numbers[coco["category_id"]]), *(f"{value:.6f}" for value in place)]) + "\n")
    return "".join(lines)


_OBJECTS = pa.struct(
    [
        ("id", pa.list_(pa.int64())),
        ("bbox", pa.list_(pa.list_(pa.float64()))),
        ("category", pa.list_(pa.int64())),
        ("area", pa.list_(pa.float64())),
        ("iscrowd", pa.list_(pa.int64())),
    ]
)
_ROWS = pa.schema(
    [
        ("file_name", pa.string()),
        ("image_id", pa.int64()),
        ("key", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("objects", _OBJECTS),
    ]
)
_BATCH = 1000  # rows that are written at once


@contextmanager
def huggingface_files(store: Store, plan: Plan) -> Generator[Callable[[Labelled], None]]:
    """Give each image a second name beside its split's `metadata.parquet`, whose types don't depend on the boxes."""
    numbers = class_numbers(plan)
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in splits_in(plan)}
    with ExitStack() as stack:
        files = {split: stack.enter_context(store.stream(f"hf/{split}/metadata.parquet")) for split in rows}
        writers = {split: stack.enter_context(pq.ParquetWriter(file, _ROWS)) for split, file in files.items()}

        def flush(split: str) -> None:
            writers[split].write_table(pa.Table.from_pylist(rows[split], schema=_ROWS))
            rows[split].clear()

        def take(labelled: Labelled) -> None:
            image = labelled.image
            name = _below_images(image.target)
            store.link(f"hf/{image.split}/{name}", image.target)
            rows[image.split].append({"file_name": name, **_row(labelled, numbers)})
            if len(rows[image.split]) == _BATCH:
                flush(image.split)

        yield take
        for split in rows:
            flush(split)


def _row(labelled: Labelled, numbers: Mapping[int, int]) -> dict[str, Any]:
    """Return an image and its objects."""
    boxes = [box.coco for box in labelled.boxes]
    return {
        "image_id": labelled.id,
        "key": labelled.image.key,
        "width": labelled.image.width,
        "height": labelled.image.height,
        "objects": {
            "id": [box["id"] for box in boxes],
            "bbox": [[float(value) for value in box["bbox"]] for box in boxes],
            "category": [numbers[box["category_id"]] for box in boxes],
            "area": [float(box["area"]) for box in boxes],
            "iscrowd": [box["iscrowd"] for box in boxes],
        },
    }


# (detector, pretrained weights) by file
TRANSFORMERS = {
    "transformers_rtdetr_v2.yaml": ("RT-DETRv2", "PekingU/rtdetr_v2_r50vd"),
    "transformers_dfine.yaml": ("D-FINE", "ustc-community/dfine-medium-coco"),
}


def write_configs(store: Store, plan: Plan) -> None:
    """Write `configs/`: mmdetection, transformers and, if its folder is written, rfdetr."""
    splits = splits_in(plan)
    loaders = {split: split if split in splits else None for split in SPLITS}
    loaders["test"] = loaders["test"] or loaders["val"]
    store.write("configs/mmdet_co_dino.py", render_text("mmdet_co_dino.py.j2", plan, loaders=loaders))
    for name, (title, checkpoint) in TRANSFORMERS.items():
        text = render_text("transformers.yaml.j2", plan, name=name, title=title, checkpoint=checkpoint, splits=splits)
        store.write(f"configs/{name}", text)
    if "rfdetr" in plan.config.formats:
        store.write("configs/rfdetr.yaml", render_text("rfdetr.yaml.j2", plan, splits=splits))


def render_text(template: str, plan: Plan, /, **values: Any) -> bytes:
    """Render a template of `templates/` in UTF-8; it reads `plan`, `categories`, `config` and `values`."""
    name = f"templates/{template}"
    values |= {"plan": plan, "categories": plan.categories, "config": plan.config}
    return render("nirgen.dataset", name, **values).encode()


def merge_licences(label_files: Sequence[LabelInput]) -> tuple[list[dict[str, Any]], dict[tuple[int, Any], int]]:
    """Merge the COCO `licenses` of label files; new ids of renumbered ones are by (position of the file, old id)."""
    merged = Licences()
    new_ids = [merged.add(labels.licenses) for labels in label_files]
    return merged.all, {(place, old): new for place, ids in enumerate(new_ids) for old, new in ids.items()}
