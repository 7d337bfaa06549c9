"""`nirgen pairs`: a list of aligned RGB-NIR pairs, for training and judging."""

from __future__ import annotations

from collections import Counter
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer


def pairs(
    root: Annotated[Path, typer.Argument(help="The folder that holds <split>/rgb/NAME.* and <split>/nir/NAME.*")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The CSV file to write.")],
    index: Annotated[
        Path | None,
        typer.Option(help="A CSV with the columns name, scene_group (or sequence) and, if known, category."),
    ] = None,
) -> None:
    """List RGB-NIR pairs, matched by stem, with their sequences, splits and hashes."""
    from nirgen.pairs import find_pairs

    found = find_pairs(root, index)
    found.write(out)
    counts = Counter(pair.split for pair in found.pairs)
    typer.echo(f"{out}: " + ", ".join(f"{count} {split}" for split, count in sorted(counts.items())))
