"""`nirgen train`: a generator from RGB-NIR pairs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, bars, step_text, stoppable

if TYPE_CHECKING:
    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig


def train(
    config: Annotated[
        str, typer.Argument(help="A YAML file of settings, or a preset: paper, released, compact.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(help="The run folder to write, or to go on with.")],
    pairs: Annotated[
        Path | None, typer.Option(help="The list that 'nirgen pairs' wrote.  [default: the settings' data.pairs]")
    ] = None,
    root: options.Root = None,
    changes: options.Changes = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.05, help="Fit the schedule into this time; judging comes on top.")
    ] = None,
    device: options.Device = None,
    licence: Annotated[str | None, typer.Option(help="What may be done with the weights.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights, order and crops.")] = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Resume although settings or pairs changed.")
    ] = False,
    dry_run: options.DryRun = False,
) -> None:
    """Train a generator; the run folder can then be named as a model.

    The same command goes on where a run stopped. Ctrl-C finishes the step, saves and leaves; a second leaves at once.
    A finished model is judged on the split 'val', as by 'nirgen evaluate'. On several GPUs: torchrun --nproc-per-node=4
    -m nirgen train...
    """
    from nirgen.errors import ConfigError
    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig

    given = options.given(max_minutes=max_minutes, licence=licence, seed=seed)
    given |= {f"data.{name}": str(path) for name, path in options.given(pairs=pairs, root=root).items()}
    settings = TrainConfig.load(config, changes or [], given)
    if settings.data.pairs is None:
        raise ConfigError("no pairs are named; give --pairs LIST, as 'nirgen pairs' writes it, or set data.pairs")
    listed = PairList.read(Path(settings.data.pairs), Path(settings.data.root) if settings.data.root else None)
    if dry_run:
        _describe(settings, listed)
        return
    _train(settings, listed, out, device, allow_changes=allow_changes)


def _train(settings: TrainConfig, pairs: PairList, out: Path, device: str | None, *, allow_changes: bool) -> None:
    """Train, then judge the model; leave with code 130 if the run was stopped."""
    announce("loading torch")
    from nirgen.train.loop import train as run

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    kept = f"the same command goes on from the last checkpoint in {out}"
    with stoppable(kept, second="raise", quiet=os.environ.get("RANK", "0") != "0") as stop, bars(final="train") as bar:
        outcome = run(
            pairs,
            settings,
            out,
            device=device,
            distributed="TORCHELASTIC_RUN_ID" in os.environ or processes > 1,
            allow_changes=allow_changes,
            report=lambda at: bar(
                "train", at.step, round(at.step / at.progress) if at.progress else None, step_text(at)
            ),
            stopped=stop,
        )
    if outcome.model is None:
        return
    if not outcome.finished:
        typer.echo(f"stopped after step {outcome.steps}; the same command goes on from there", err=True)
        typer.echo(f"{outcome.model}")
        raise typer.Exit(130)
    if any(pair.split == "val" for pair in pairs.pairs):
        with stoppable(f"{outcome.model} is whole, but its card has no numbers"):
            _judge(outcome.model, pairs, device)
    typer.echo(f"{outcome.model}")


def _describe(settings: TrainConfig, pairs: PairList) -> None:
    """Print the resolved settings, and what a run of them would be."""
    import yaml

    from nirgen.models.checkpoint import build
    from nirgen.train.monitor import chosen_pairs

    chosen = pairs.split("train").pairs
    typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
    sequences = len({pair.sequence for pair in chosen})
    judged = len(chosen_pairs(pairs, settings.save).pairs)
    parameters = sum(parameter.numel() for parameter in build(settings.generator).parameters())
    typer.echo(f"# {len(chosen)} pairs of {sequences} sequences to train on, {judged} to judge by", err=True)
    budget = f", in {settings.max_minutes:g} minutes at most" if settings.max_minutes else ""
    typer.echo(f"# {parameters:,} parameters, {settings.total_steps(len(chosen)):,} steps{budget}", err=True)


def _judge(model: Path, pairs: PairList, device: str | None) -> None:
    """Print the model's numbers on the split `val`, and write them into its header and card."""
    from nirgen.cli.evaluate import print_scores
    from nirgen.errors import NirgenError
    from nirgen.evaluate import as_metrics, evaluate
    from nirgen.model import load_model
    from nirgen.models.checkpoint import record_metrics
    from nirgen.train.export import write_card

    typer.echo("judging the model on the split 'val'", err=True)
    try:
        scores = evaluate(load_model(model, device=device), pairs)
    except NirgenError as error:  # the model is there, whatever can't be said of it
        typer.echo(f"warning: the model's header has no numbers: {error}", err=True)
        return
    record_metrics(model, as_metrics(scores, "val"))
    write_card(model, model.parent / "card.md")
    print_scores(scores)
