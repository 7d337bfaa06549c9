from __future__ import annotations

import pytest

from nirgen.dataset.entries import misfit
from nirgen.labels.file import LabelledImage


@pytest.mark.parametrize(
    ("labelled", "size", "remark"),
    [
        ((1280, 720), (1280, 720), None),
        ((1280, 720), (640, 360), None),
        ((1280, 720), (456, 256), None),
        ((1280, 720), (720, 1280), "is 720x1280, labelled as 1280x720, turned by EXIF or not"),
        ((1280, 720), (1280, 704), "is 1280x704, labelled as 1280x720"),
        ((0, 0), (1280, 720), "is 1280x720, labelled as 0x0"),
    ],
)
def test_boxes_can_be_scaled_only_to_an_image_of_the_same_proportions(
    labelled: tuple[int, int], size: tuple[int, int], remark: str | None
) -> None:
    entry = LabelledImage("a.jpg", *labelled, None, None, {}, {}, ())
    assert misfit(entry, *size) == remark
