"""`nirgen rebuild`: build a dataset anew from its own record, with a curator's decisions."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option
from nirgen.cli.output import announce, conclude, echo, echo_text, progress, show
from nirgen.cli.plans import check_asking, print_curation, print_leaks
from nirgen.errors import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nirgen.cli.output import Report
    from nirgen.curation import Decisions
    from nirgen.dataset.folder import DatasetInfo
    from nirgen.dataset.losses import Losses
    from nirgen.dataset.plan import Plan


_IN_PART = 3


def rebuild(
    dataset: Path = argument("D", "Dataset of 'nirgen build-dataset'."),
    curation: Path | None = option(
        "Decisions to build with.  [default: those in FiftyOne's database, else those that D was built with]", "FILE"
    ),
    app: bool = flag("Look for decisions in FiftyOne's database.", default=True),
    moved: list[str] | None = option(
        "New path of an input that has moved, or of a folder that holds inputs; repeatable.", "OLD=NEW"
    ),
    name: str | None = options.DATASET_NAME,
    database_uri: str | None = options.DATABASE_URI,
    allow_loss: bool = flag("Build although D loses something, without asking.", "--allow-loss"),
    dry_run: bool = options.DRY_RUN,
    yes: bool = flag("Build without asking, unless D would lose something.", "--yes -y"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Build a dataset anew, with the decisions made about it.

    Takes inputs and options from D's own record, and the inputs as they are now. Prints images and boxes per split,
    before and after, and what D would lose; asks before it writes. D stays as it was until its replacement is
    complete. The decisions are in D/curation.jsonl afterwards.

    \b
    Examples:
      nirgen rebuild dataset
      nirgen rebuild dataset --curation curation.jsonl --dry-run
      nirgen rebuild dataset --moved /data/old=/mnt/new --yes
    """
    yes = yes or allow_loss
    asks = not (dry_run or yes)
    check_asking(asks=asks, as_json=as_json)
    announce("reading the record", quiet=as_json)
    from nirgen._version import __version__
    from nirgen.dataset.build import build, check_plan, refuse_losses
    from nirgen.dataset.folder import read_dataset
    from nirgen.dataset.losses import find_losses

    info = read_dataset(dataset)
    with progress(f"{dataset} is as it was") as report:
        decisions, of_app = _decisions(info, curation, app=app, name=name, database=database_uri, report=report)
        plan = _plan(info, decisions, report, moved or [])
    losses = find_losses(info, plan)
    if of_app:  # those that are gone were taken back there
        losses = replace(losses, decisions=0)
    compared = _print_compared(info, plan, losses, as_json=as_json and dry_run)
    check_plan(plan)
    if dry_run:
        _exit_for(plan)
        return
    if asks and (info.digest, info.nirgen_version) != (plan.digest, __version__):
        loss = f", which loses {losses}" if losses else ""
        typer.confirm(f"build {dataset} anew{loss}?", abort=True)
    elif not allow_loss:
        refuse_losses(dataset, losses)
    with progress(f"{dataset} is as it was; run the same command again") as report:
        built = build(plan, dataset, replace=True, allow_loss=True, progress=report)
    if as_json:
        echo_text(json.dumps({**compared, "built": {**asdict(built), "out": str(built.out)}}, ensure_ascii=False))
    elif built.already:
        verdict = f"{dataset}: is as its inputs and decisions want it; nothing was written"
        conclude(verdict, then=["validate", dataset])
    else:
        verdict = (
            f"{dataset}: rebuilt with {counted(built.images, 'image')} and {counted(built.annotations, 'annotation')}"
        )
        conclude(f"{verdict}; {built.seconds:.1f} s", then=["validate", dataset])
    _exit_for(plan)


def preview(dataset: Path, file: Path, *, as_json: bool) -> None:
    """Print what a rebuild with a file of decisions would change; exit with 3 if one has no target."""
    from nirgen.curation import read_decisions
    from nirgen.dataset.folder import read_dataset
    from nirgen.dataset.losses import find_losses

    info = read_dataset(dataset)
    with progress("nothing was written") as report:
        plan = _plan(info, read_decisions(file), report, [])
    _print_compared(info, plan, find_losses(info, plan), as_json=as_json)
    _exit_for(plan)


def _plan(info: DatasetInfo, decisions: Decisions | None, report: Report, moved: Sequence[str]) -> Plan:
    from nirgen.dataset.rebuild import plan_again

    places: dict[Path, Path] = {}
    for text in moved:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise typer.BadParameter(f"--moved {text}: give OLD=NEW, such as /data/old=/mnt/new")
        places[Path(old).absolute()] = Path(new).absolute()
    return plan_again(info, decisions, report, moved=places)


def _decisions(
    info: DatasetInfo, file: Path | None, *, app: bool, name: str | None, database: str | None, report: Report
) -> tuple[Decisions | None, bool]:
    """Return the decisions to build with, and True if they are those of FiftyOne; say which they are."""
    from importlib.util import find_spec

    from nirgen.curation import read_decisions
    from nirgen.dataset.folder import CURATION

    if file is not None:
        return read_decisions(file), False
    why = "--no-app"
    if app:
        why = "FiftyOne isn't installed"
        if find_spec("fiftyone") is not None:
            from nirgen.browse.decisions import current_decisions
            from nirgen.browse.selection import default_author

            why = f"FiftyOne has no dataset of {info.folder}"
            found = current_decisions(info.folder, name=name, database=database, author=default_author(), report=report)
            if found is not None:
                echo(f"decisions: {len(found.all)}, of FiftyOne and of {info.folder / CURATION}", err=True)
                return (found if found.all else None), True
    own = read_decisions(info.folder / CURATION) if info.curation is not None else None
    held = "none, as it was built" if own is None else f"the {len(own.all)} that it was built with"
    echo(f"decisions: {held} ({why})", err=True)
    return own, False


def _print_compared(info: DatasetInfo, plan: Plan, losses: Losses, *, as_json: bool) -> dict[str, Any]:
    """Print the dataset before and after, the effect of decisions, leaks and losses; return them as plain values."""
    from nirgen.dataset.contents import Contents, summarise

    curation = plan.curation.described() if plan.curation else {}
    after = Contents.of(plan).described(plan)["splits"]
    values = {**curation, "before": info.splits, "after": after, "losses": losses.described()}
    if as_json:
        echo_text(json.dumps(values, ensure_ascii=False))
        return values
    columns = ["", *_splits(info.splits, after)]
    show(columns, list(_compared(info.splits, after)), right=range(1, len(columns)), ruled=True)
    if curation:
        print_curation(curation)
    if plan.leaks:
        print_leaks(summarise(plan))
    if losses:
        echo(f"{info.folder} would lose {losses}")
    return values


def _splits(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [*before, *(split for split in after if split not in before)]


def _compared(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield a row each of images, classes and regions to ignore, by split."""
    pairs = [(before.get(split, {}), after.get(split, {})) for split in _splits(before, after)]
    classes = dict.fromkeys(name for pair in pairs for one in pair for name in one.get("boxes", {}))
    yield ["images", *(_change(one.get("images", 0), other.get("images", 0)) for one, other in pairs)]
    for name in classes:
        cells = ((each.get("boxes", {}).get(name, 0) for each in pair) for pair in pairs)
        yield [f"boxes: {name}", *(_change(*cell) for cell in cells)]
    yield ["regions to ignore", *(_change(one.get("ignored", 0), other.get("ignored", 0)) for one, other in pairs)]


def _change(before: int, after: int) -> str:
    return str(before) if before == after else f"{before} -> {after}"


def _exit_for(plan: Plan) -> None:
    if plan.curation and plan.curation.gone:
        raise typer.Exit(_IN_PART)
