"""A COCO file for each split: those of the dataset, and those that lie beside the images as rfdetr has them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from nirgen.dataset.annotations import image_entries
from nirgen.dataset.coco import coco_file
from nirgen.dataset.contents import splits_in
from nirgen.dataset.folder import IMAGES, annotations_name
from nirgen.dataset.licences import merge_licences

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Store

RFDETR_FOLDERS = {"train": "train", "val": "valid", "test": "test"}


@contextmanager
def coco_files(store: Store, plan: Plan) -> Generator[Callable[[Labelled], None]]:
    """Write `annotations/SPLIT.json`; names of images are relative to the dataset.

    Args:
        store: The dataset.
        plan: What it is made by.

    Yields:
        What takes the images with their annotations.
    """
    with _split_files(store, plan, annotations_name, str) as take:
        yield take


@contextmanager
def rfdetr_files(store: Store, plan: Plan) -> Generator[Callable[[Labelled], None]]:
    """Give each image a second name below its split's `_annotations.coco.json`.

    Args:
        store: The dataset, whose images are there.
        plan: What it is made by.

    Yields:
        What takes the images with their annotations.
    """

    def folder(split: str) -> str:
        return f"rfdetr/{RFDETR_FOLDERS[split]}"

    def below(target: str) -> str:
        return target.removeprefix(f"{IMAGES}/")

    with _split_files(store, plan, lambda split: f"{folder(split)}/_annotations.coco.json", below) as write:

        def take(labelled: Labelled) -> None:
            image = labelled.image
            store.link(f"{folder(image.split)}/{below(image.target)}", image.target)
            write(labelled)

        yield take


@contextmanager
def _split_files(
    store: Store, plan: Plan, name: Callable[[str], str], image_name: Callable[[str], str]
) -> Generator[Callable[[Labelled], None]]:
    """A COCO file for each split.

    Args:
        store: The dataset.
        plan: What it is made by.
        name: Of the file of a split.
        image_name: Of an image, by its place in the dataset.
    """
    licences, licence_ids = merge_licences(plan.label_files)

    def renamed(entry: dict[str, Any]) -> dict[str, Any]:
        return entry | {"file_name": image_name(entry["file_name"])}

    with ExitStack() as stack:
        files = {
            split: stack.enter_context(
                coco_file(
                    store,
                    name(split),
                    categories=plan.categories,
                    licences=licences,
                    images=map(renamed, image_entries(plan, split, licence_ids)),
                )
            )
            for split in splits_in(plan)
        }

        def take(labelled: Labelled) -> None:
            for box in labelled.boxes:
                files[labelled.image.split](box.coco)

        yield take
