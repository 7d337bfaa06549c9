"""`nirgen manifest`: merging of translation folders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, option
from nirgen.cli.output import announce, progress

app = options.Group(help="Merge translation folders.")


@app.callback()
def _manifest() -> None:
    """Merge translation folders."""


@app.command("merge")
def merge(
    parts: list[Path] = argument("OUT...", "Output folders of all shards."),
    out: Path = option("Folder to write; new.", "-o --out DIR", default=...),
    source: Path | None = option("Input folder of the shards, to name missing images.", "SRC"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Merge the shards of a translation.

    Reads the output folders of 'nirgen translate --shard' and writes one folder, as a single run would have written
    it. All shards must share model, options and input list, and cover it exactly once. Images are hard links where
    possible, else copies.
    """
    announce("reading manifests", quiet=as_json)
    from nirgen.translate.merge import merge_shards

    with progress("the same command goes on") as report:
        merged = merge_shards(parts, out, source=source, progress=lambda done: report("merge", done, None))
    if as_json:
        typer.echo(json.dumps({**asdict(merged), "exit_code": merged.exit_code}))
    else:
        failed = f", {merged.failed} of them failed" if merged.failed else ""
        typer.echo(f"{merged.shards} shards cover {merged.sources} sources once{failed}; images and manifest: {out}")
    raise typer.Exit(merged.exit_code)
