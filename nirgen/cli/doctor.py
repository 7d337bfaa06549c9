"""`nirgen doctor`: check the machine and the installation."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import announce, show

_STYLES = {"ok": "green", "warn": "yellow", "missing": "yellow", "broken": "red"}


def doctor(
    as_json: options.AsJson = False,
    database_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", envvar="FIFTYONE_DATABASE_URI", show_default=False, help="Address of FiftyOne's MongoDB."
        ),
    ] = None,
) -> None:
    """Check this installation.

    Prints Python, packages, devices, models and optional parts, each with its state and the remedy.
    """
    from rich.text import Text

    announce("checking packages and devices", quiet=as_json)
    from nirgen.doctor import examine

    checks = list(examine(database_uri))
    if as_json:
        rows = [asdict(check) for check in checks]
        typer.echo(json.dumps([{"check": row.pop("name"), **row} for row in rows], indent=2))
    else:
        states = (Text(check.state, "bold red" if check.stops else _STYLES[check.state]) for check in checks)
        cells = [(check.name, next(states), check.detail, check.remedy) for check in checks]
        show(("check", "state", "detail", "remedy"), cells)
    if any(check.stops for check in checks):
        raise typer.Exit(1)
