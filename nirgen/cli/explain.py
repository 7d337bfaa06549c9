"""`nirgen explain`: where a box or an image of a dataset comes from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import show

if TYPE_CHECKING:
    from nirgen.explain import Explanation


def explain(
    dataset: Annotated[Path, typer.Argument(metavar="D", help="A dataset of 'nirgen build-dataset'.")],
    wanted: Annotated[
        str, typer.Argument(metavar="ID", help="An annotation's or image's id or key, or an image file.")
    ],
    image: Annotated[bool, typer.Option("--image", help="A number is an image's id.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Tell where a box or an image comes from: source label, source image, model, and every step between.

    A number is an annotation's id, or an image's if no annotation has it.
    """
    from nirgen.explain import explain as find

    found = find(dataset, wanted, image=image)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    _print(found)


def _print(found: Explanation) -> None:
    from rich.text import Text

    from nirgen.explain import lines

    show(("", ""), [(Text(name, "bold"), text) for name, text in lines(found)])
    if found.note:
        typer.echo(f"note: {found.note}", err=True)
