"""`nirgen sample-data`: made images to try things on."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from nirgen.cli import options


def sample_data(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; new, or empty.")],
    frames: Annotated[
        int | None,
        typer.Option(min=2, max=1000, help="Frames per recording.  [default: {recipe.sample:write_sample.frames}]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed of the scenes.  [default: {recipe.sample:write_sample.seed}]")
    ] = None,
) -> None:
    """Write made RGB-NIR pairs, labelled RGB frames and labelled NIR frames, the same every time.

    They are to try commands and recipes on, and teach a network nothing of use.
    """
    from nirgen.recipe.sample import write_sample

    write_sample(out, **options.given(frames=frames, seed=seed))
    typer.echo(f"{out}")
