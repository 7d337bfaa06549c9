"""`nirgen evaluate`: a model's numbers on pairs that it has not seen."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nirgen.evaluate import Score


def evaluate(
    pairs: Annotated[Path, typer.Argument(help="The list that 'nirgen pairs' wrote.")],
    model: Annotated[str, typer.Option(help="Embedded model, model file or run folder.")] = "compact",
    root: Annotated[Path | None, typer.Option(help="The folder of the images.  [default: the list's]")] = None,
    split: Annotated[str, typer.Option(help="Which split to judge on.")] = "val",
    size: Annotated[int, typer.Option(min=32, help="Height and width at which images are compared.")] = 256,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1...  [default: the best there is]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge a model on RGB-NIR pairs: PSNR and SSIM, beside what needs no model at all."""
    from nirgen.evaluate import evaluate as run
    from nirgen.model import load_model
    from nirgen.pairs import PairList

    scores = run(load_model(model, device=device), PairList.read(pairs, root), split, size=size)
    if as_json:
        typer.echo(json.dumps([asdict(score) for score in scores], indent=2))
        return
    print_scores(scores)


def print_scores(scores: list[Score]) -> None:
    """Print a table with a line for each method and subset."""
    typer.echo(f"{'method':<8}{'images':<18}{'count':>6}{'PSNR dB':>9}{'SSIM':>8}")
    for score in scores:
        typer.echo(f"{score.method:<8}{score.subset:<18}{score.images:>6}{score.psnr:>9.2f}{score.ssim:>8.4f}")
