"""`nirgen curation`: a curator's decisions out of FiftyOne and into it, compared, and looked at before a rebuild."""

from __future__ import annotations

import getpass
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nirgen.cli import options
from nirgen.cli.output import progress, show
from nirgen.cli.plans import counted, print_noted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nirgen.curation import Decision
    from nirgen.dataset.preview import Foreseen, Holds


app = options.Group(help="Curators' decisions: export, compare, foresee and import them.")

Dataset = Annotated[Path, typer.Argument(metavar="D", help="A dataset of 'nirgen build-dataset'.")]

_IN_PART = 3


@app.command("export")
def export_decisions(
    dataset: Dataset,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The file; what it holds stays unless contradicted.")
    ],
    name: options.DatasetName = None,
    database_uri: options.DatabaseUri = None,
    author: Annotated[
        str | None, typer.Option(help="Whose decisions those without an author are.  [default: your login name]")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Forget what FILE holds: keep what D was built with, and FiftyOne's.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the decisions that were made in FiftyOne, on top of those that D was built with.

    A FILE that is there is added to: its decisions stay, unless a newer one contradicts them, for others may have made
    them. --replace leaves out what was taken back in FiftyOne since. The file is written whole or not at all.
    """
    from nirgen.browse.decisions import export_decisions as export

    with progress(f"{out} was not written") as report:
        done = export(
            dataset,
            out,
            name=name,
            database=database_uri,
            author=_login_name() if author is None else author,
            replace=replace,
            report=report,
        )
    actions = _by_action(done.decisions)
    if as_json:
        values = {"file": str(out), "decisions": len(done.decisions), "new": done.new, "only_in_file": done.only_there}
        typer.echo(json.dumps({**values, "actions": actions}))
        return
    typer.echo(f"{out}: {len(done.decisions)} decisions ({counted(actions)}), {done.new} of them new")
    if done.only_there:
        typer.echo(
            f"{done.only_there} of them FiftyOne doesn't have: made elsewhere, or taken back; --replace leaves them out"
        )


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        return ""


@app.command("diff")
def diff_decisions(
    first: Annotated[Path, typer.Argument(metavar="A", help="A file of decisions.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    as_json: options.AsJson = False,
) -> None:
    """Tell what B decides otherwise than A: a line each, + added, - removed, ~ changed.

    Exit code 0, whether they differ or not.
    """
    from nirgen.curation import diff, read_decisions
    from nirgen.curation.file import plain

    found = diff(read_decisions(first).all, read_decisions(second).all)
    if as_json:
        values = {
            "added": [plain(each) for each in found.added],
            "removed": [plain(each) for each in found.removed],
            "changed": [{"before": plain(before), "after": plain(after)} for before, after in found.changed],
        }
        typer.echo(json.dumps(values, ensure_ascii=False))
        return
    lines = [(each.order, f"+ {_said(each)}") for each in found.added]
    lines += [(each.order, f"- {_said(each)}") for each in found.removed]
    lines += [(after.order, f"~ {_said_change(before, after)}") for before, after in found.changed]
    for _, line in sorted(lines):
        typer.echo(line)


@app.command("apply")
def foresee_decisions(
    dataset: Dataset,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Decisions.")],
    as_json: options.AsJson = False,
) -> None:
    """Tell what D would be if it were built again with the decisions of FILE; nothing is written.

    'nirgen build-dataset --curation FILE' with D's own inputs does it. Exit code 3: some decisions are about what isn't
    there.
    """
    from nirgen.curation import read_decisions
    from nirgen.curation.file import plain
    from nirgen.dataset.preview import foresee

    found = foresee(dataset, read_decisions(file))
    if as_json:
        values = asdict(found) | {"withdrawn": [plain(each) for each in found.withdrawn]}
        typer.echo(json.dumps(values, ensure_ascii=False))
    else:
        _print_foreseen(found)
    if found.gone:
        raise typer.Exit(_IN_PART)


@app.command("import")
def import_into_fiftyone(
    dataset: Dataset,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Decisions.")],
    name: options.DatasetName = None,
    database_uri: options.DatabaseUri = None,
    as_json: options.AsJson = False,
) -> None:
    """Put the decisions of FILE into FiftyOne, where 'nirgen browse' has loaded D.

    Exit code 3: some decisions are about what isn't there.
    """
    from nirgen.browse.decisions import import_decisions
    from nirgen.curation import read_decisions

    decisions = read_decisions(file)
    with progress("what was imported stays; run the same command again") as report:
        done = import_decisions(dataset, decisions.all, name=name, database=database_uri, report=report)
    if as_json:
        typer.echo(json.dumps({"applied": done.applied, "gone": list(done.gone)}, ensure_ascii=False))
    else:
        typer.echo(f"{file}: {done.applied} of {len(decisions.all)} decisions are in FiftyOne")
        for key in done.gone:
            typer.echo(f"gone: {key}")
    if done.gone:
        raise typer.Exit(_IN_PART)


def _by_action(decisions: Iterable[Decision]) -> dict[str, int]:
    return dict(sorted(Counter(each.action for each in decisions).items()))


def _said(decision: Decision) -> str:
    """A decision in words."""
    from nirgen.dataset.decisions import by, said

    what = [f" -> {decision.category}"] if decision.category else []
    if decision.bbox is not None:
        what.append(f" at {said(decision.bbox)} of {decision.width}x{decision.height}")
    return f"{decision.action} {decision.key}{''.join(what)}{by(decision)}"


def _said_change(before: Decision, after: Decision) -> str:
    """What differs between two decisions of one key and action."""
    from nirgen.curation.file import plain

    old, new = plain(before), plain(after)
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    changes = "; ".join(f"{name} {_shown(old.get(name))} -> {_shown(new.get(name))}" for name in names)
    return f"{after.action} {after.key}: {changes}"


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _print_foreseen(found: Foreseen) -> None:
    parts = [
        (found.already, "are in the dataset already"),
        (found.reworded, "differ in words only"),
        (sum(found.new.values()), f"are new ({counted(found.new)})"),
        (found.idle, "are about boxes of images that are rejected"),
        (found.unseen, "are about what comes back, and not looked at"),
    ]
    typer.echo(f"{found.decisions} decisions: " + (", ".join(f"{n} {text}" for n, text in parts if n) or "no effect"))
    columns = ["", *found.before]
    rows = [[title, *cells] for title, cells in _compared(found.before, found.after)]
    if rows:
        show(columns, rows, right=range(1, len(columns)), ruled=True)
        typer.echo()
    for decision in found.withdrawn:
        typer.echo(f"withdrawn: {_said(decision)}")
    if any(each.action == "reject" for each in found.withdrawn):
        typer.echo("note: images whose rejection is withdrawn come back; they are not in these counts")
    print_noted("gone", [asdict(each) for each in found.gone])
    print_noted("changed", [asdict(each) for each in found.changed])


def _compared(before: Mapping[str, Holds], after: Mapping[str, Holds]) -> Iterator[tuple[str, list[str]]]:
    """What splits hold before and after, a row each of images, classes and regions to ignore."""
    pairs = [(before[split], after[split]) for split in before]
    yield "images", [_change(one.images, other.images) for one, other in pairs]
    for name in pairs[0][0].boxes if pairs else ():
        yield f"boxes: {name}", [_change(one.boxes[name], other.boxes[name]) for one, other in pairs]
    yield "regions to ignore", [_change(one.ignored, other.ignored) for one, other in pairs]


def _change(before: int, after: int) -> str:
    return str(before) if before == after else f"{before} -> {after}"
