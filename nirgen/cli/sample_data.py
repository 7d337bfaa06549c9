"""`nirgen sample-data`: write synthetic data to try commands on."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from nirgen.cli import options


def sample_data(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; new or empty.")],
    frames: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=1000,
            help="Frames per recording; there are three.  [default: {recipe.sample:write_sample.frames}]",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed of the scenes.  [default: {recipe.sample:write_sample.seed}]")
    ] = None,
) -> None:
    """Write synthetic sample data.

    Writes RGB-NIR pairs, labelled RGB frames and labelled NIR frames to try commands and recipes on; the same every
    time. They are too simple to train a useful network.
    """
    from nirgen.recipe.sample import write_sample

    write_sample(out, **options.given(frames=frames, seed=seed))
    typer.echo(f"{out}")
