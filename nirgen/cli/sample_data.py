"""`nirgen sample-data`: write synthetic data to try commands on."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, option


def sample_data(
    out: Path = argument("OUT", "Folder to write; new or empty."),
    frames: int | None = option(
        "Frames per recording; there are three.", min=2, max=1000, of="recipe.sample:write_sample"
    ),
    seed: int | None = option("Random seed of the scenes.", min=0, of="recipe.sample:write_sample"),
) -> None:
    """Write synthetic sample data.

    Writes RGB-NIR pairs, labelled RGB frames and labelled NIR frames to try commands and recipes on; the same every
    time. They are too simple to train a useful network.
    """
    from nirgen.recipe.sample import write_sample

    write_sample(out, **options.given(frames=frames, seed=seed))
    typer.echo(f"{out}")
