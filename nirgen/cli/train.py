"""`nirgen train`: train a generator on RGB-NIR pairs."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option
from nirgen.cli.output import announce, bars, conclude, echo, echo_text, note_unchecked, progress, step_text, stoppable
from nirgen.errors import counted

if TYPE_CHECKING:
    from nirgen.pairs import PairList
    from nirgen.train.baseline import LinearFitConfig, TreesFitConfig
    from nirgen.train.config import TrainConfig


_CONFIG = (
    "YAML file, or a preset: paper, released, compact; of another system: irformer, pix2pix, pix2pixhd, "
    "pix2pixhd-internimage, bci, bbdm; of one that learns without pairs: cyclegan, uvcgan, unit, munit; or a baseline: "
    "linear, trees."
)


def train(
    config: str = argument("CONFIG", _CONFIG),
    out: Path = argument("OUT", "Run folder to write or resume."),
    pairs: Path | None = option("Pair list of 'nirgen pairs'.  [default: data.pairs of CONFIG]", "FILE"),
    root: Path | None = options.ROOT,
    rgb: Path | None = option("Photos without partners, for methods without pairs; with --nir.", "FOLDER"),
    nir: Path | None = option("NIR images without partners; with --rgb.", "FOLDER"),
    damaged: Literal["fail", "keep"] | None = options.DAMAGED,
    alpha: Literal["blend", "ignore"] | None = options.ALPHA,
    white_level: str | None = options.WHITE_LEVELS,
    changes: list[str] | None = options.CHANGES,
    max_minutes: float | None = option("Time budget for the training schedule, in minutes.", min=0.05),
    device: str | None = options.DEVICE,
    licence: str | None = option("Licence of the weights, stored in the model file."),
    seed: int | None = option("Random seed for weights, data order and crops.  [default: CONFIG's]", min=0),
    allow_changes: bool = flag("Resume although settings or pairs have changed.", "--allow-changes"),
    dry_run: bool = options.DRY_RUN,
) -> None:
    """Train a generator on RGB-NIR pairs.

    Reads a pair list and writes a run folder: checkpoints, logs, samples, and a model that other commands take by the
    folder's name. The finished model is evaluated on the split 'val'. The same command resumes a stopped run. Ctrl-C
    finishes the step and saves; a second Ctrl-C stops at once.

    The other systems are those that the paper compares Pix2Next with, as far as they are here, each with its own
    published settings; --set changes them like any other.

    Those without pairs (cyclegan, uvcgan, unit, munit) draw photos and NIR images independently: of --pairs, or of two
    folders, --rgb and --nir, that need not show the same places. Beside folders, --pairs only judges.

    The baselines are fitted in one go, on the CPU: linear is the best linear map of R, G and B; trees are
    gradient-boosted trees of a pixel, the mean around it, and its row. Their model files translate like any other.

    \b
    Examples:
      nirgen train compact runs/a --pairs pairs.csv
      nirgen train paper runs/b --pairs pairs.csv --set losses.ssim=5
      nirgen train pix2pix runs/p --pairs pairs.csv --set epochs=50
      nirgen train cyclegan runs/c --rgb photos --nir nir
      nirgen train trees runs/t --pairs pairs.csv
      torchrun --nproc-per-node=4 -m nirgen train paper runs/c --pairs pairs.csv
    """
    announce("reading pairs", quiet=os.environ.get("RANK", "0") != "0")
    from nirgen.train.baseline import load_settings
    from nirgen.train.config import TrainConfig

    given = options.given(max_minutes=max_minutes, licence=licence, seed=seed)
    given |= {
        f"data.{name}": str(path) for name, path in options.given(pairs=pairs, root=root, rgb=rgb, nir=nir).items()
    }
    given |= {f"data.{name}": value for name, value in options.given(damaged=damaged, alpha=alpha).items()}
    for name, level in zip(("rgb", "nir"), options.parse_white_levels(white_level), strict=True):
        given |= {f"data.white_level_{name}": level} if level is not None else {}
    settings = load_settings(config, changes or [], given)
    listed = _listed(settings)
    if dry_run:
        _describe(settings, listed)
        _note(listed, settings)
    elif isinstance(settings, TrainConfig):
        _train(settings, listed, out, device, allow_changes=allow_changes)
    else:
        _fit(settings, listed, out, device, allow_changes=allow_changes)


def _note(pairs: PairList, settings: TrainConfig | LinearFitConfig | TreesFitConfig) -> None:
    """Print what is to be noted on a list of pairs, and on what was read of it."""
    for line in pairs.remarks.lines():
        echo(f"note: {line}", err=True)
    if os.environ.get("RANK", "0") == "0" and settings.data.pairs is not None:
        note_unchecked(Path(settings.data.pairs))


def _listed(settings: TrainConfig | LinearFitConfig | TreesFitConfig) -> PairList:
    """Read the pairs of a run, or list its images without partners."""
    from nirgen.errors import ConfigError
    from nirgen.pairs import PairList
    from nirgen.train.config import DataConfig

    data, listed = settings.data, None
    if data.pairs is not None:
        listed = PairList.read(Path(data.pairs), Path(data.root) if data.root else None)
        listed = replace(listed, readings=data.readings)
    if isinstance(data, DataConfig) and data.rgb is not None and data.nir is not None:
        from nirgen.pairs.unpaired import list_unpaired

        return list_unpaired(Path(data.rgb), Path(data.nir), listed, data.readings)
    if listed is None:
        raise ConfigError("no pairs are named; give --pairs LIST, as 'nirgen pairs' writes it, or set data.pairs")
    return listed


def _train(settings: TrainConfig, pairs: PairList, out: Path, device: str | None, *, allow_changes: bool) -> None:
    """Train, then evaluate the model; exit with code 130 if the run was stopped."""
    follows = os.environ.get("RANK", "0") != "0"  # one of several processes; the first of them prints
    announce("loading torch", quiet=follows)
    from nirgen.train import train as run

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.data.rgb is not None and not any(pair.split == "val" for pair in pairs.pairs) and not follows:
        echo("note: no pairs of the split 'val' judge the run; --pairs may name some", err=True)
    kept = f"the same command goes on from the last checkpoint in {out}"
    with stoppable(kept, second="raise", quiet=follows) as stop, bars(final="train") as bar:
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
            say=lambda line: echo(f"warning: {line}", err=True),
        )
    if outcome.model is None:
        return
    if not outcome.finished:
        echo(f"stopped after step {outcome.steps}; the same command goes on from there", err=True)
        echo(f"{outcome.model}")
        raise typer.Exit(130)
    _end(outcome.model, pairs, settings, device)


def _fit(
    settings: LinearFitConfig | TreesFitConfig, pairs: PairList, out: Path, device: str | None, *, allow_changes: bool
) -> None:
    """Fit a baseline, then evaluate it."""
    from nirgen.errors import ConfigError

    if device not in {None, "cpu"}:
        raise ConfigError(f"--device {device}: baselines are fitted on the CPU; omit it")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"the baseline '{settings.preset}' is fitted by one process; start it without torchrun")
    announce("loading torch")
    from nirgen.train.baseline import fit

    with progress("nothing was written; the same command starts anew") as report:
        path = fit(pairs, settings, out, allow_changes=allow_changes, report=partial(report, "pairs"))
    _end(path, pairs, settings, "cpu")


def _end(
    model: Path, pairs: PairList, settings: TrainConfig | LinearFitConfig | TreesFitConfig, device: str | None
) -> None:
    """Evaluate a finished model, if there are pairs for it, and print its path."""
    verdict = "trained; no pairs of the split 'val' judge it"
    if any(pair.split == "val" for pair in pairs.pairs):
        with stoppable(f"{model} is complete, but its card has no scores"):
            verdict = _judge(model, pairs, device)
    _note(pairs, settings)
    conclude(verdict, wrote=[model], then=["translate", "PHOTOS", "nir", "--model", model.parent])


def _describe(settings: TrainConfig | LinearFitConfig | TreesFitConfig, pairs: PairList) -> None:
    """Print the resolved settings and the size of the run."""
    import yaml

    from nirgen.pairs.duplicates import refuse_copies
    from nirgen.train import describe
    from nirgen.train.config import TrainConfig

    if not isinstance(settings, TrainConfig):
        refuse_copies(pairs.pairs)
        chosen = pairs.split("train").pairs
        echo_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
        sequences = counted(len({pair.sequence for pair in chosen}), "sequence")
        echo(f"# {counted(len(chosen), 'training pair')} of {sequences}", err=True)
        return
    about = describe(pairs, settings)
    echo_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False).rstrip())
    sequences = f"{counted(about.pairs, 'training pair')} of {counted(about.sequences, 'sequence')}"
    if settings.unpaired:
        sequences = "{} photos and {} NIR images to train on, drawn independently".format(*about.images)
    echo(f"# {sequences}, {counted(about.validated, 'pair')} for validation", err=True)
    budget = f", in {settings.max_minutes:g} minutes at most" if settings.max_minutes else ""
    echo(f"# {about.parameters:,} parameters, {about.steps:,} steps{budget}", err=True)


def _judge(model: Path, pairs: PairList, device: str | None) -> str:
    """Print the scores of a model, and return the verdict on it."""
    from nirgen.errors import NirgenError, OutputError
    from nirgen.train import judge

    echo("evaluating the model on the split 'val'", err=True)
    try:
        scores = judge(model, pairs, device=device)
    except NirgenError as error:  # the model itself is complete
        if not model.exists():
            raise OutputError(f"{model}: went away meanwhile; run the same command again") from error
        echo(f"warning: the model's header has no scores: {error}", err=True)
        return "trained, and not evaluated"
    from nirgen.evaluate import table
    from nirgen.evaluate.verdicts import sentences

    whole, *parts = scores
    verdict, *others = sentences(whole)
    for line in (*others, *table.brief_table(whole)):
        echo(line)
    for part in parts if len(parts) > 1 else ():
        echo(f"{part.name}, {counted(part.images, 'image')}:")
        for line in table.brief_table(part)[:-1]:
            echo(line)
    return verdict
