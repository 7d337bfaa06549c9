"""The command line: it parses, calls and prints, and nothing else.

Each command is a light module of its own, whose body imports what is heavy, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nirgen import __version__
from nirgen.cli import (
    browse,
    build_dataset,
    curation,
    detect,
    doctor,
    evaluate,
    explain,
    export,
    labels,
    manifest,
    models,
    pairs,
    report,
    run,
    sample_data,
    train,
    translate,
    validate,
)
from nirgen.cli.urls import without_urls
from nirgen.errors import NirgenError

app = typer.Typer(
    name="nirgen",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: importing rich would take longer than everything else that `--help` does.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("translate")(translate.translate)
app.add_typer(manifest.app, name="manifest")
app.add_typer(models.app, name="models")
app.add_typer(pairs.app, name="pairs")
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("labels")(labels.labels)
app.command("build-dataset")(build_dataset.build_dataset)
app.command("validate")(validate.validate)
app.command("explain")(explain.explain)
app.command("browse")(browse.browse)
app.command("report")(report.report)
app.add_typer(curation.app, name="curation")
app.add_typer(detect.app, name="detect")
app.command("run")(run.run)
app.command("sample-data")(sample_data.sample_data)
app.command("export")(export.export)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nirgen {__version__}")
        raise typer.Exit


@app.callback()
def _nirgen(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Near-infrared training images from RGB images and their labels.

    Exit codes: 0 all done; 1 a mistake that one line explains; 2 wrong usage; 3 done in part; 130 interrupted.
    """


def main() -> None:
    """Run the command line; a user's mistake becomes one line and an exit code."""
    try:
        without_urls(typer.main.get_command(app))()
    except NirgenError as error:
        line = str(error).replace("\n", "\\n")  # a file's name may hold one
        typer.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)
