"""Folders and labels on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from nirgen.cli.inputs import parse_labelled, read_positions


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and label files whose names have colons and equals signs."""
    monkeypatch.chdir(tmp_path)
    for folder in ("nir", "10:30/nir", "a=b", "c:d"):
        Path(folder).mkdir(parents=True)
    for file in ("l.json", "10:30/l.json", "d:l.json"):
        Path(file).touch()


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("text", "name", "folder", "labels"),
    [
        ("nir:l.json", None, "nir", "l.json"),
        ("bdd=nir:l.json", "bdd", "nir", "l.json"),
        ("bdd=nir", "bdd", "nir", None),
        ("10:30/nir:l.json", None, "10:30/nir", "l.json"),
        ("bdd=nir:10:30/l.json", "bdd", "nir", "10:30/l.json"),
        ("bdd=10:30/nir:10:30/l.json", "bdd", "10:30/nir", "10:30/l.json"),
        ("10:30/nir", None, "10:30/nir", None),
        ("./a=b:l.json", None, "a=b", "l.json"),
        ("nir:x=l.json", None, "nir", "x=l.json"),
        ("x=none:here:l.json", "x", "none:here", "l.json"),
    ],
)
def test_folder_and_labels_meet_at_the_colon_for_which_both_exist(
    text: str, name: str | None, folder: str, labels: str | None
) -> None:
    assert parse_labelled(text, "--real") == (name, Path(folder), labels and Path(labels))


@pytest.mark.usefixtures("there")
def test_a_text_that_may_be_divided_at_two_colons_is_refused() -> None:
    Path("c").mkdir()
    Path("d:l.json").touch()
    Path("l.json").touch()
    with pytest.raises(typer.BadParameter, match=r"--real c:d:l.json: folder and labels may meet at several"):
        parse_labelled("c:d:l.json", "--real")


@pytest.mark.parametrize(
    ("paths", "inputs", "out"), [([], 0, None), (["D"], 0, "D"), (["n", "l"], 1, None), (["n", "l", "D"], 1, "D")]
)
def test_one_path_is_the_dataset_and_two_are_an_input(paths: list[str], inputs: int, out: str | None) -> None:
    found, folder = read_positions(paths, None)
    assert (len(found), folder) == (inputs, out and Path(out))
