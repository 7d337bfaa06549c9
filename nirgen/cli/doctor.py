"""`nirgen doctor`: what is there, what is missing, and the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nirgen.cli import options
from nirgen.cli.output import show

if TYPE_CHECKING:
    from nirgen.doctor import Check


_STYLES = {"ok": "green", "warn": "yellow", "missing": "yellow", "broken": "red"}


def doctor(
    as_json: options.AsJson = False,
    database_uri: Annotated[
        str | None,
        typer.Option(envvar="FIFTYONE_DATABASE_URI", show_default=False, help="Where FiftyOne's database is."),
    ] = None,
) -> None:
    """Check this machine: what is there, what is missing, and the remedy.

    Exits 1 if something is missing or broken that nirgen can't work without.
    """
    from nirgen.doctor import examine

    checks = examine(Path(), database_uri)
    if as_json:
        typer.echo(json.dumps([_row(check) for check in checks], indent=2))
    else:
        _print_table(checks)
    if any(check.stops for check in checks):
        raise typer.Exit(1)


def _row(check: Check) -> dict[str, str | bool]:
    return {
        "check": check.name,
        "state": check.state,
        "detail": check.detail,
        "remedy": check.remedy,
        "required": check.required,
    }


def _print_table(checks: list[Check]) -> None:
    from rich.text import Text

    rows = [
        (check.name, Text(check.state, "bold red" if check.stops else _STYLES[check.state]), check.detail, check.remedy)
        for check in checks
    ]
    show(("check", "state", "detail", "remedy"), rows)
