"""`nirgen curation`: export a curator's decisions from FiftyOne, import them, and preview a rebuild."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option
from nirgen.cli.output import announce, conclude, echo, echo_text, progress
from nirgen.cli.plans import tallied
from nirgen.errors import counted

app = options.Group(help="Export, preview and import curation decisions.")

_DATASET = argument("D", "Dataset of 'nirgen build-dataset'.")
_FILE = argument("FILE", "Decision file.")

_IN_PART = 3


@app.command("export")
def export_decisions(
    dataset: Path = _DATASET,
    out: Path = option("Decision file to write or add to.", "--out -o FILE", default=...),
    name: str | None = options.DATASET_NAME,
    database_uri: str | None = options.DATABASE_URI,
    author: str | None = option("Author of decisions without one.  [default: git's user name, else your login name]"),
    replace: bool = flag("Drop decisions in FILE that neither D nor FiftyOne has.", "--replace"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Export decisions from FiftyOne to a file.

    Writes the decisions made in FiftyOne on top of those that D was built with. Decisions already in FILE stay unless
    a newer one contradicts them.
    """
    announce("opening FiftyOne", quiet=as_json)
    from nirgen.browse.decisions import export_decisions as export
    from nirgen.browse.selection import default_author

    with progress(f"{out} was not written") as report:
        done = export(
            dataset,
            out,
            name=name,
            database=database_uri,
            author=default_author() if author is None else author,
            replace=replace,
            report=report,
        )
    actions = dict(sorted(Counter[str](each.action for each in done.decisions).items()))
    if as_json:
        values = {"file": str(out), "decisions": len(done.decisions), "new": done.new, "only_in_file": done.only_there}
        echo_text(json.dumps({**values, "actions": actions}))
        return
    if done.only_there:
        echo(f"{done.only_there} of them FiftyOne doesn't have: made elsewhere, or withdrawn; --replace drops them")
    verdict = f"{out}: {counted(len(done.decisions), 'decision')} ({tallied(actions)}), {done.new} of them new"
    conclude(verdict, then=["rebuild", dataset, "--curation", out])


@app.command("apply")
def apply_decisions(dataset: Path = _DATASET, file: Path = _FILE, as_json: bool = options.AS_JSON) -> None:
    """Preview a rebuild of D with decisions.

    The same as 'nirgen rebuild D --curation FILE --dry-run'.
    """
    from nirgen.cli.rebuild import preview

    preview(dataset, file, as_json=as_json)


@app.command("import")
def import_into_fiftyone(
    dataset: Path = _DATASET,
    file: Path = _FILE,
    name: str | None = options.DATASET_NAME,
    database_uri: str | None = options.DATABASE_URI,
    as_json: bool = options.AS_JSON,
) -> None:
    """Import decisions from a file into FiftyOne.

    D must have been loaded by 'nirgen browse'.
    """
    announce("opening FiftyOne", quiet=as_json)
    from nirgen.browse.decisions import import_decisions
    from nirgen.curation import read_decisions

    decisions = read_decisions(file)
    with progress("imported decisions are kept; run the same command again") as report:
        done = import_decisions(dataset, decisions.all, name=name, database=database_uri, report=report)
    if as_json:
        echo_text(json.dumps({"applied": done.applied, "gone": list(done.gone)}, ensure_ascii=False))
    else:
        for key in done.gone:
            echo(f"gone: {key}")
        conclude(f"{file}: {done.applied} of {len(decisions.all)} decisions are in FiftyOne", then=["browse", dataset])
    if done.gone:
        raise typer.Exit(_IN_PART)
