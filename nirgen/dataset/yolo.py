"""Labels as YOLO reads them: `labels/`, `dataset.yaml` and lists of images.

A class's number is its position in the list of classes, from 0. YOLO knows no regions to ignore: they are left out,
and what is in them counts as background.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from nirgen.dataset.contents import class_numbers, splits_in
from nirgen.dataset.rendering import render
from nirgen.errors import NirgenError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Store


def label_name(target: str) -> str:
    """Where YOLO's readers look for an image's labels: the last folder `images` becomes `labels`.

    Example:
        >>> label_name("images/ranus/01/a.png"), label_name("images/bdd100k/images/b.jpg")
        ('labels/ranus/01/a.txt', 'images/bdd100k/labels/b.txt')
    """
    before, _, after = f"/{target}".rpartition("/images/")
    return f"{before}/labels/{PurePosixPath(after).with_suffix('.txt')}".removeprefix("/")


def check_names(plan: Plan) -> None:
    """Refuse images that would share a file of labels.

    Raises:
        NirgenError: Two images differ in their ending alone.
    """
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
    """Write a text file of boxes for each image, and the lists of images.

    Args:
        store: The dataset, whose images are there.
        plan: What it is made by.

    Yields:
        What takes the images with their annotations.
    """
    numbers = class_numbers(plan)
    yield lambda labelled: store.write(label_name(labelled.image.target), _lines(labelled, numbers).encode())
    splits = splits_in(plan)
    for split in splits:
        names = [f"./{image.target}\n" for image in plan.images if image.split == split]
        store.write(f"{split}.txt", "".join(names).encode())
    store.write("dataset.yaml", render("dataset.yaml.j2", plan, splits=splits))


def _lines(labelled: Labelled, numbers: Mapping[int, int]) -> str:
    """A line for each box: class, then middle and size as shares of the image's."""
    width, height = labelled.image.width, labelled.image.height
    lines = []
    for box in labelled.boxes:
        if box.coco["iscrowd"]:
            continue
        x, y, w, h = box.coco["bbox"]
        middle, size = ((x + w / 2) / width, (y + h / 2) / height), (w / width, h / height)
        lines.append(
            f"{numbers[box.coco['category_id']]} " + " ".join(f"{value:.6f}" for value in (*middle, *size)) + "\n"
        )
    return "".join(lines)
