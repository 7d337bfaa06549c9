from __future__ import annotations

import hashlib

import pytest

from nirgen.dataset.store import Store
from nirgen.errors import NirgenError, OutputError


def test_every_file_has_its_hash(tmp_path) -> None:
    store = Store(tmp_path)
    store.write("a/b.txt", b"one")
    with store.stream("c.txt") as file:
        file.write(b"t")
        file.write(b"wo")
    store.link("d/e.txt", "a/b.txt")
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"one", b"two"))
    assert store.hashes == {"a/b.txt": one, "c.txt": two, "d/e.txt": one}
    assert (tmp_path / "c.txt").read_bytes() == b"two"
    assert (tmp_path / "d/e.txt").samefile(tmp_path / "a/b.txt")


def test_a_second_name_is_a_copy_where_there_are_no_hard_links(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refuse)
    store = Store(tmp_path)
    store.write("a", b"one")
    store.link("b", "a")
    assert (tmp_path / "b").read_bytes() == b"one"
    assert not (tmp_path / "b").samefile(tmp_path / "a")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\x", "C:/x", "", "a\0b"])
def test_no_name_leads_out_of_the_dataset(tmp_path, name: str) -> None:
    with pytest.raises(NirgenError, match="write a path relative to"):
        Store(tmp_path / "inside").claim(name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_given_once(tmp_path) -> None:
    store = Store(tmp_path)
    store.write("a", b"")
    with pytest.raises(OutputError, match=r"^a: two files of the dataset would have this name"):
        store.write("a", b"")
