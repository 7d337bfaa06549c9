"""`nirgen doctor`: check the machine and the installation."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from nirgen.cli import options
from nirgen.cli.options import flag, option
from nirgen.cli.output import announce, conclude, echo, echo_text, show

_FIRST = ("make", "PHOTOS", "LABELS", "OUT")
_STYLES = {"ok": "green", "warn": "yellow", "missing": "yellow", "broken": "red"}


def doctor(
    as_json: bool = options.AS_JSON,
    database_uri: str | None = option("Address of FiftyOne's MongoDB.", "URI", envvar="FIFTYONE_DATABASE_URI"),
    fix: bool = flag("Download the libraries that FiftyOne's mongod lacks, then check.", "--fix"),
) -> None:
    """Check this installation.

    Prints Python, packages, devices, models and optional parts, each with its state and the remedy.
    """
    announce("checking packages and devices", quiet=as_json)
    from nirgen.doctor import examine, fix_database

    done = fix_database() if fix else None
    if done is not None:
        echo(done, err=as_json)
    checks = list(examine(database_uri))
    if as_json:
        rows = [asdict(check) for check in checks]
        echo_text(json.dumps([{"check": row.pop("name"), **row} for row in rows], indent=2))
    else:
        states = ([(check.state, "bold red" if check.stops else _STYLES[check.state])] for check in checks)
        cells = [(check.name, next(states), check.detail, check.remedy) for check in checks]
        show(("check", "state", "detail", "remedy"), cells)
        missing = ", ".join(check.name for check in checks if check.stops)
        ready = "nirgen works here; parts that are missing or warn have a remedy beside them"
        conclude(f"required, and not usable: {missing}" if missing else ready, then=[] if missing else _FIRST)
    if any(check.stops for check in checks):
        raise typer.Exit(1)
