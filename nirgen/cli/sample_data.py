"""`nirgen sample-data`: made images to try things on."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer


def sample_data(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; new, or empty.")],
    frames: Annotated[int, typer.Option(min=2, max=1000, help="Frames of each of three recordings.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the scenes.")] = 0,
) -> None:
    """Write made RGB-NIR pairs, labelled RGB frames and labelled NIR frames, the same every time.

    They are to try commands and recipes on, and teach a network nothing of use.
    """
    from nirgen.recipe.sample import write_sample

    write_sample(out, frames=frames, seed=seed)
    typer.echo(f"{out}")
