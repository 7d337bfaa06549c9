"""`nirgen curation`: export a curator's decisions from FiftyOne, import them, and preview a rebuild."""

from __future__ import annotations

import getpass
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nirgen.cli.output import print_table, stages
from nirgen.cli.plans import counted, print_curation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nirgen.curation import Decision


app = typer.Typer(no_args_is_help=True, help="Curators' decisions: export, import and preview them.")

Dataset = Annotated[Path, typer.Argument(metavar="D", help="A dataset of 'nirgen build-dataset'.")]
Name = Annotated[str | None, typer.Option(help="Of the dataset in FiftyOne.  [default: as 'nirgen browse' names it]")]
DatabaseUri = Annotated[str | None, typer.Option(metavar="URI", help="Of FiftyOne's MongoDB.  [default: FiftyOne's]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

_IN_PART = 3


@app.command("export")
def export_decisions(
    dataset: Dataset,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The file; what it holds stays unless contradicted.")
    ],
    name: Name = None,
    database_uri: DatabaseUri = None,
    author: Annotated[
        str | None, typer.Option(help="Whose decisions those without an author are.  [default: your login name]")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Forget what FILE holds: keep what D was built with, and FiftyOne's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the decisions that were made in FiftyOne, on top of those that D was built with.

    A FILE that is there is added to: its decisions stay, unless a newer one contradicts them, for others may have made
    them. --replace leaves out what was taken back in FiftyOne since. The file is written whole or not at all.
    """
    from nirgen.browse.decisions import export_decisions as export

    with stages(lambda: f"{out} was not written") as report:
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


@app.command("apply")
def apply_decisions(
    dataset: Dataset,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Decisions.")],
    as_json: AsJson = False,
) -> None:
    """Preview D rebuilt with the decisions of FILE, from its own inputs; nothing is written.

    'nirgen build-dataset --curation FILE' with these inputs rebuilds it. Exit code 3: some decisions have no target.
    """
    from nirgen.dataset.contents import Contents
    from nirgen.dataset.folder import read_dataset
    from nirgen.dataset.planner import plan_again

    info = read_dataset(dataset)
    with stages(lambda: "nothing was written") as report:
        plan = plan_again(info, file, report)
    assert plan.curation is not None
    curation, after = plan.curation.described(), Contents.of(plan).described(plan)["splits"]
    if as_json:
        typer.echo(json.dumps({**curation, "before": info.splits, "after": after}, ensure_ascii=False))
    else:
        columns = ["", *info.splits]
        print_table(columns, list(_compared(info.splits, after)), right=range(1, len(columns)))
        print_curation(curation)
    if curation["gone"]:
        raise typer.Exit(_IN_PART)


@app.command("import")
def import_into_fiftyone(
    dataset: Dataset,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Decisions.")],
    name: Name = None,
    database_uri: DatabaseUri = None,
    as_json: AsJson = False,
) -> None:
    """Put the decisions of FILE into FiftyOne, where 'nirgen browse' has loaded D.

    Exit code 3: some decisions are about what isn't there.
    """
    from nirgen.browse.decisions import import_decisions
    from nirgen.curation import read_decisions

    decisions = read_decisions(file)
    with stages(lambda: "what was imported stays; run the same command again") as report:
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


def _compared(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield a row each of images, classes and regions to ignore, by split before and after."""
    pairs = [(held, after.get(split, {})) for split, held in before.items()]
    yield ["images", *(_change(one["images"], other.get("images", 0)) for one, other in pairs)]
    for name in pairs[0][0]["boxes"] if pairs else ():
        cells = (_change(one["boxes"][name], other.get("boxes", {}).get(name, 0)) for one, other in pairs)
        yield [f"boxes: {name}", *cells]
    yield ["regions to ignore", *(_change(one["ignored"], other.get("ignored", 0)) for one, other in pairs)]


def _change(before: int, after: int) -> str:
    return str(before) if before == after else f"{before} -> {after}"
