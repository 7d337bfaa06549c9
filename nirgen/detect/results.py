"""COCO results: a list of detections, as every tool of detection writes it."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from nirgen.errors import NirgenError
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nirgen.detect.truth import Truth


class Result(NamedTuple):
    """A detection.

    Attributes:
        image_id: Of the image in the split's COCO file.
        category_id: Of the dataset.
        bbox: COCO xywh in pixels of the image as stored.
        score: The higher, the surer.
    """

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    score: float


def read_results(path: Path, truth: Truth) -> tuple[list[Result], str]:
    """Read detections that were made elsewhere.

    Args:
        path: A JSON list of objects with `image_id`, `category_id`, `bbox`, `score`; other keys are left aside.
        truth: The images that they are of.

    Returns:
        The detections in their order, without those on images of the split that are left out; and the sha256 of the
        file.

    Raises:
        NirgenError: It isn't such a list, or has an image or a category that the split doesn't have, or a box or a
            score that is no number.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); name a file of COCO results") from None
    try:
        values = json.loads(data)  # unlike msgspec it reads NaN, so that its place can be named
    except ValueError as error:
        raise NirgenError(f"{path}: no JSON ({error}); write COCO results, a list of detections") from None
    if not isinstance(values, list):
        what = "has 'annotations', so it is a COCO file of labels" if _is_coco(values) else f"a {type(values).__name__}"
        raise NirgenError(f"{path}: no list but {what}; write COCO results, a list of detections with their scores")
    images = {entry.image.id for entry in truth.entries}
    categories = {category.id: category.name for category in truth.categories}
    results = []
    for number, value in enumerate(values):
        where = f"{path}: detection {number}"
        result = _read_one(value, where)
        if result.image_id not in images and result.image_id not in truth.left_out:
            raise NirgenError(
                f"{where} is on image {result.image_id}, which the split '{truth.split}' doesn't have; detect on the "
                f"images of {truth.folder.name}/annotations/{truth.split}.json, by their ids"
            )
        if result.category_id not in categories:
            known = ", ".join(f"{key} {name}" for key, name in categories.items())
            raise NirgenError(
                f"{where} is of category {result.category_id}, which the dataset doesn't have (it has {known}); map "
                "the detector's classes to these ids"
            )
        if result.image_id in images:
            results.append(result)
    return results, hashlib.sha256(data).hexdigest()


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Write detections as COCO results, in their order.

    Args:
        path: The file; its folders are made.
        results: Boxes are rounded to 3 decimals, scores to 8.

    Raises:
        OutputError: It can't be written.
    """
    lines = [
        msgspec.json.encode(
            {
                "image_id": result.image_id,
                "category_id": result.category_id,
                "bbox": result.bbox,
                "score": result.score,
            }
        )
        for result in map(rounded, results)
    ]
    with output_file(path) as temporary:
        temporary.write_bytes(b"[" + b",\n".join(lines) + b"]\n")


def rounded(result: Result) -> Result:
    """A detection as it stands in a file: what is judged is what is written.

    Example:
        >>> rounded(Result(1, 3, (0.12345, 2.0, 3.0, 4.0), 0.123456789))
        Result(image_id=1, category_id=3, bbox=(0.123, 2.0, 3.0, 4.0), score=0.12345679)
    """
    x, y, width, height = (round(value, 3) for value in result.bbox)
    return result._replace(bbox=(x, y, width, height), score=round(result.score, 8))


def _is_coco(value: Any) -> bool:
    return isinstance(value, dict) and "annotations" in value


def _read_one(value: Any, where: str) -> Result:
    try:
        image_id, category_id, bbox, score = (value[key] for key in Result._fields)
        box = tuple(float(side) for side in bbox)
        if not all(_is_whole(number) for number in (image_id, category_id)) or len(box) != 4:
            raise TypeError
        number = float(score)
    except (KeyError, TypeError, ValueError, IndexError):
        raise NirgenError(
            f"{where} isn't one ({str(value)[:80]}); it needs image_id, category_id, bbox and score"
        ) from None
    if not math.isfinite(number):
        raise NirgenError(f"{where} has the score {number}; a score is a finite number")
    if not all(map(math.isfinite, box)) or box[2] < 0 or box[3] < 0:
        raise NirgenError(f"{where} has the box {list(box)}; x, y, width and height are finite, and sizes not negative")
    return Result(int(image_id), int(category_id), box, number)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
