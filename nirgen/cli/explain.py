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
    dataset: Annotated[Path, typer.Argument(metavar="D", help="Dataset of 'nirgen build-dataset'.")],
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Id or key of an annotation or image, or an image file.")],
    image: Annotated[bool, typer.Option("--image", help="Read a number as an image id, not an annotation id.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show the provenance of a box or an image.

    Prints source label, source image, model, and every step between.

    \b
    Examples:
      nirgen explain dataset 17
      nirgen explain dataset bdd/0001.jpg
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
