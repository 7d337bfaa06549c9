"""`nirgen train`: a generator from RGB-NIR pairs."""

from __future__ import annotations

import sys
import time
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nirgen.cli.interrupt import interruptible

if TYPE_CHECKING:
    from nirgen.pairs import PairList


def train(
    pairs: Annotated[Path, typer.Argument(help="The list that 'nirgen pairs' wrote; its split 'train' is used.")],
    out: Annotated[Path, typer.Argument(help="The run folder to write.")],
    root: Annotated[Path | None, typer.Option(help="The folder of the images.  [default: the list's]")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A YAML file of settings.  [default: those of the embedded model]")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(min=0.05, help="Fit the whole schedule into this time.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1...  [default: the best there is]")] = None,
    licence: Annotated[str, typer.Option(help="What may be done with the weights.")] = "unknown",
    seed: Annotated[int | None, typer.Option(help="Of weights and crops.")] = None,
) -> None:
    """Train a generator; the run folder can then be named as a model.

    It is judged on the split 'val', if there is one, as by 'nirgen evaluate'; the numbers go into the model's header.
    An interrupted run keeps the model so far.
    """
    import yaml

    from nirgen.errors import ConfigError
    from nirgen.pairs import PairList
    from nirgen.train import TrainConfig
    from nirgen.train import train as run

    values: dict[str, Any] = {}
    if config is not None:
        try:
            values = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"{config}: can't be read as YAML ({' '.join(str(error).split())})") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{config}: holds a {type(values).__name__}; write settings as 'name: value'")
    options = {"max_minutes": max_minutes, "seed": seed}
    values |= {name: value for name, value in options.items() if value is not None}
    settings = TrainConfig.read(values, where=str(config or "the command line"))
    began = last = time.monotonic()

    def report(step: int, progress: float, terms: dict[str, float]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (1 if sys.stderr.isatty() else 15):
            return
        last = now
        remaining = (now - began) / max(progress, 1e-6) * (1 - progress) / 60
        losses = ", ".join(f"{name} {value:.3f}" for name, value in terms.items())
        line = f"step {step}, {progress:.1%}, {step / (now - began):.2f} steps/s, {remaining:.0f} min to go: {losses}"
        typer.echo(f"\r{line}\033[K" if sys.stderr.isatty() else line, err=True, nl=not sys.stderr.isatty())

    with interruptible(lambda: _kept(out)):
        listed = PairList.read(pairs, root)
        model = run(listed, settings, out, report=report, device=device, licence=licence)
        if any(pair.split == "val" for pair in listed.pairs):
            _judge(model, listed, device)
    typer.echo(f"{model}")


def _judge(model: Path, pairs: PairList, device: str | None) -> None:
    """Print the model's numbers on the split `val`, and write them into its header."""
    from nirgen.cli.evaluate import print_scores
    from nirgen.errors import NirgenError
    from nirgen.evaluate import as_metrics, evaluate
    from nirgen.model import load_model
    from nirgen.models.checkpoint import record_metrics

    typer.echo("judging the model on the split 'val'", err=True)
    try:
        scores = evaluate(load_model(model, device=device), pairs)
    except NirgenError as error:  # the model is there, whatever can't be said of it
        typer.echo(f"warning: the model's header has no numbers: {error}", err=True)
        return
    record_metrics(model, as_metrics(scores, "val"))
    print_scores(scores)


def _kept(out: Path) -> str:
    """What an interrupted run leaves."""
    model = out / "model.safetensors"
    if not model.exists():
        return "no step was done, and nothing is kept"
    return f"the model so far is {model}; training can't go on where it stopped, but a new run can 'start_from' it"
