from __future__ import annotations

import pytest

from nirgen.errors import NirgenError
from nirgen.labels.names import safe_path


@pytest.mark.parametrize(
    ("name", "shortest"),
    [("a.jpg", "a.jpg"), ("./a//b/./c.jpg", "a/b/c.jpg"), ("a..b/..c.jpg", "a..b/..c.jpg"), ("é 夜.png", "é 夜.png")],
)
def test_a_path_below_its_folder_passes(name: str, shortest: str) -> None:
    assert safe_path(name, "l.json") == shortest


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        (".", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("C:/a.jpg", "is absolute"),
        ("c:a.jpg", "is absolute"),
        ("a\\b.jpg", "has a backslash"),
        ("\\\\host\\a.jpg", "has a backslash"),
        ("..", "has '..'"),
        ("a/../../b.jpg", "has '..'"),
        ("a\0.jpg", "has a control character"),
        ("a\n.jpg", "has a control character"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(name: str, fault: str) -> None:
    with pytest.raises(NirgenError) as error:
        safe_path(name, "l.json: image 3")
    assert str(error.value).startswith(f"l.json: image 3: the name {name!r} {fault}")
    assert "\n" not in str(error.value)
