"""A dataset as Hugging Face's `datasets` reads it: `hf/SPLIT/metadata.jsonl` beside the images.

A class's number is its position in the list of classes, from 0.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from nirgen.dataset.contents import class_numbers, splits_in
from nirgen.dataset.folder import IMAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from nirgen.dataset.annotations import Labelled
    from nirgen.dataset.plan import Plan
    from nirgen.dataset.store import Store


@contextmanager
def huggingface_files(store: Store, plan: Plan) -> Generator[Callable[[Labelled], None]]:
    """Give each image a second name beside its split's `metadata.jsonl`.

    Args:
        store: The dataset, whose images are there.
        plan: What it is made by.

    Yields:
        What takes the images with their annotations.
    """
    numbers = class_numbers(plan)
    encode = msgspec.json.Encoder().encode
    with ExitStack() as stack:
        files = {split: stack.enter_context(store.stream(f"hf/{split}/metadata.jsonl")) for split in splits_in(plan)}

        def take(labelled: Labelled) -> None:
            image = labelled.image
            name = image.target.removeprefix(f"{IMAGES}/")
            store.link(f"hf/{image.split}/{name}", image.target)
            files[image.split].write(encode({"file_name": name, **_row(labelled, numbers)}) + b"\n")

        yield take


def _row(labelled: Labelled, numbers: Mapping[int, int]) -> dict[str, Any]:
    """An image and its objects; numbers that may have decimals always have some, for readers that guess types."""
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
