from __future__ import annotations

import codecs
import gzip
import json
from typing import TYPE_CHECKING

import pytest

from nirgen.errors import NirgenError
from nirgen.labels import open_labels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "wrap"), [("a.json", lambda data: codecs.BOM_UTF8 + data), ("a.json.gz", gzip.compress)]
)
def test_a_byte_order_mark_and_gzip_change_nothing(converted, coco, tmp_path: Path, name: str, wrap) -> None:
    path = tmp_path / name
    path.write_bytes(wrap(json.dumps(coco(("car", [0, 0, 5, 5]))).encode()))
    assert len(converted(path)["annotations"]) == 1
    path.write_bytes(wrap(json.dumps(converted(path)).encode()))
    assert len(open_labels(path).images) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b'{"images": [{"id": 1, "file_name": "caf\xe9.jpg"}], "annotations": []}',
            r"no UTF-8 \(byte 0xe9 at position 39",
        ),
        ('{"images": []}'.encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"PK\x03\x04...", "a ZIP archive; unpack it"),
        (b'{"images": [], "annotations": [{"bbox": [NaN]}]}', "holds NaN, which is no JSON; write a number or null"),
        (b'{"images": [], "annotations": [{"bbox": [-Infinity]}]}', "holds -Infinity, which is no JSON"),
        (b'{"images": [' + b"[" * 3000 + b"]" * 3000 + b'], "annotations": []}', "nested too deeply"),
        (gzip.compress(b"{}" * 99, mtime=0)[:-9], "damaged gzip file"),
        (b'{"images": [', "damaged, or no JSON"),
    ],
)
def test_what_a_file_is_instead_is_said_in_a_line(converted, tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(NirgenError, match=message) as error:
        converted(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_number_that_no_float_holds_is_refused(save_json, converted, coco) -> None:
    path = save_json(coco(("car", [0, 0, 5, 5])))
    path.write_text(path.read_text().replace("[0, 0, 5, 5]", "[0, 0, 1e400, 5]"))
    with pytest.raises(NirgenError, match=r"labels.json: a value can't be used \(Number out of range"):
        converted(path)
