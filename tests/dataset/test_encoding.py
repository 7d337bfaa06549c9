from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.encoding import choose_encoding

GREY, GREY_JPEG, JPEG, TIFF, WEBP = ("PNG", 1), ("JPEG", 1), ("JPEG", 3), ("TIFF", 1), ("WEBP", 3)


def chosen(real: list[Any], made: list[Any], **settings: Any) -> tuple[Any, Any, bool]:
    given = {"origin": "a", "folder": Path("a"), "labels": Path("a.json")}
    config = DatasetConfig.read({"real": [given], **settings}, where="the test")
    config, note = choose_encoding(config, {"real": Counter(real), "generated": Counter(made)})
    return config.codec, config.channels, note is not None


@pytest.mark.parametrize(
    ("real", "made", "expected"),
    [
        ([GREY], [GREY], ("keep", "keep", False)),
        ([JPEG], [], ("keep", "keep", False)),
        ([], [GREY], ("keep", "keep", False)),
        ([GREY, JPEG], [JPEG, GREY], ("keep", "keep", False)),
        ([GREY_JPEG], [GREY], ("jpg", "keep", True)),
        ([JPEG], [GREY], ("jpg", 3, True)),
        ([JPEG, JPEG, GREY], [GREY], ("jpg", 3, True)),
        ([JPEG, GREY, GREY], [GREY], ("png", 1, True)),
        ([("PNG", 3)], [GREY], ("keep", 3, True)),
        ([TIFF], [GREY], ("png", "keep", True)),
        ([WEBP], [("WEBP", 1)], ("png", 3, True)),
    ],
)
def test_where_real_and_generated_images_differ_the_form_of_most_real_ones_is_taken(
    real: list[Any], made: list[Any], expected: tuple[Any, Any, bool]
) -> None:
    assert chosen(real, made) == expected


def test_what_is_asked_for_stays() -> None:
    assert chosen([JPEG], [GREY], codec="keep", channels="keep") == ("keep", "keep", False)
    assert chosen([JPEG], [GREY], codec="png") == ("png", 3, True)
    assert chosen([JPEG], [GREY], channels=1) == ("jpg", 1, True)
