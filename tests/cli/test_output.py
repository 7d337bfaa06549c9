"""Terminal output that all commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nirgen.cli.output import conclude

if TYPE_CHECKING:
    import pytest


def test_the_end_of_a_command_is_a_verdict_its_files_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    conclude("8 images translated", wrote=[Path("my nir"), "preview.png"], then=["labels", "LABELS", Path("my nir")])

    printed = capsys.readouterr()
    assert printed.out == "8 images translated\nwrote: my nir, preview.png\n"
    assert printed.err == "next: nirgen labels LABELS 'my nir'\n"


def test_a_command_without_files_ends_in_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    conclude("nothing found in dataset")

    assert capsys.readouterr().out == "nothing found in dataset\n"
