"""`nirgen manifest`: what can be done with translation folders as a whole."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import progress

app = options.Group(help="Join translation folders.")


@app.callback()
def _manifest() -> None:
    """Join translation folders."""


@app.command("merge")
def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="OUT...", help="The folders of all shards.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write; new.")],
    source: Annotated[
        Path | None, typer.Option(metavar="SRC", help="The folder of the sources, to name those that are missing.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Join the folders of 'nirgen translate --shard' into one, as if one run had written it.

    Nothing is written unless the shards are of one model, one set of options and one listing, and cover it once. Images
    are hard links where that is possible, else copies. Exit code 3: some sources failed, and the manifest says why.
    """
    from nirgen.translate.merge import merge_shards

    with progress("the same command goes on") as report:
        merged = merge_shards(parts, out, source=source, progress=lambda done: report("merge", done, None))
    if as_json:
        typer.echo(json.dumps({**asdict(merged), "exit_code": merged.exit_code}))
    else:
        failed = f", {merged.failed} of them failed" if merged.failed else ""
        typer.echo(f"{merged.shards} shards cover {merged.sources} sources once{failed}; images and manifest: {out}")
    raise typer.Exit(merged.exit_code)
