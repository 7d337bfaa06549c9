"""Command line: parse, call, print. Heavy libraries are imported inside the commands, so that `--help` is fast."""

from __future__ import annotations

import atexit
import errno
import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nirgen._version import __version__
from nirgen.cli import (
    adapt,
    adopt,
    browse,
    build_dataset,
    curation,
    detect,
    doctor,
    evaluate,
    explain,
    labels,
    make,
    models,
    options,
    pairs,
    rebuild,
    report,
    run,
    streams,
    train,
    translate,
    validate,
)
from nirgen.cli.output import echo
from nirgen.errors import NirgenError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


app = options.Group(name="nirgen", cls=options.ByTask, pretty_exceptions_enable=False)

_PATH = "From photos to a dataset"
app.command("make", rich_help_panel=_PATH)(make.make)
app.command("translate", rich_help_panel=_PATH)(translate.translate)
app.command("adopt", rich_help_panel=_PATH)(adopt.adopt)
app.command("labels", rich_help_panel=_PATH)(labels.labels)
app.command("build-dataset", rich_help_panel=_PATH)(build_dataset.build_dataset)
app.command("validate", rich_help_panel=_PATH)(validate.validate)
app.add_typer(translate.manifest_app, name="manifest", rich_help_panel=_PATH)

_CURATION = "Look at it and curate it"
app.command("browse", rich_help_panel=_CURATION)(browse.browse)
app.command("report", rich_help_panel=_CURATION)(report.report)
app.command("rebuild", rich_help_panel=_CURATION)(rebuild.rebuild)
app.command("explain", rich_help_panel=_CURATION)(explain.explain)
app.add_typer(curation.app, name="curation", rich_help_panel=_CURATION)

_TRAINING = "Train and judge generators and detectors"
app.add_typer(pairs.app, name="pairs", rich_help_panel=_TRAINING)
app.command("train", rich_help_panel=_TRAINING)(train.train)
app.command("adapt", rich_help_panel=_TRAINING)(adapt.adapt)
app.command("evaluate", rich_help_panel=_TRAINING)(evaluate.evaluate)
app.add_typer(models.app, name="models", rich_help_panel=_TRAINING)
app.command("export", rich_help_panel=_TRAINING)(models.export)
app.add_typer(detect.app, name="detect", rich_help_panel=_TRAINING)

_REST = "Run experiments, check the machine"
app.command("run", rich_help_panel=_REST)(run.run)
app.command("sample-data", rich_help_panel=_REST)(run.sample_data)
app.command("doctor", rich_help_panel=_REST)(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"nirgen {__version__}")
        raise typer.Exit


@app.callback()
def _nirgen(
    _version: bool = options.flag("Print the version and exit.", "--version", callback=_print_version, is_eager=True),
) -> None:
    """Generate near-infrared (NIR) training images from RGB images and their labels.

    \b
    Examples:
      nirgen make photos labels.json out --yes
      nirgen browse out/dataset

    \b
    Exit codes:
      0    success
      1    error, explained in one line; validate: the dataset has errors
      2    wrong usage
      3    part of the work failed; manifest or report lists which
      130  interrupted; the same command resumes
    """


def main() -> None:
    """Run the command line as a process of its own.

    The process exits without tearing down its modules, which takes a second after torch was used.
    """
    streams.prepare()
    try:
        execute()
    except SystemExit as end:
        others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
        if isinstance(end.code, int | None) and all(thread.daemon for thread in others):
            _exit_at_once(end.code or 0)
        raise


def _exit_at_once(code: int) -> None:
    """Run exit handlers, flush, exit; return if an output can't be flushed, so that the interpreter reports it."""
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except NirgenError as error:  # what was printed is lost
        echo(f"error: {error}", err=True)
        code = code or error.exit_code
    except (OSError, ValueError):
        return
    os._exit(code)


_LONGEST = 4000  # characters of an error; names from data may be of any length


def execute() -> None:
    """Run the command line and raise SystemExit; a user's mistake becomes one line and an exit code."""
    try:
        without_urls(typer.main.get_command(app))()
    except NirgenError as error:
        echo(f"error: {str(error)[:_LONGEST]}", err=True)
        sys.exit(error.exit_code)
    except (MemoryError, OSError, ImportError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            echo(f"error: {str(error.filename)[:80]}...: {error.strerror}; give another path", err=True)
            sys.exit(1)
        if not streams.is_short_of_memory(error):
            raise
        echo(
            f"error: not enough memory ({one_line(error, 120)}); raise the limit ('ulimit -v'), or give the work more "
            "of the machine",
            err=True,
        )
        sys.exit(1)


TAKES_URLS = frozenset({("translate", "paths")})
"""Command and parameter that accept URLs."""
_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss")
_OTHERS = ("http", "https", "ftp", "sftp", "file", "hdfs")
# In a text, also after a name or a folder (`bdd=s3://bucket/bdd`, `nir:s3://bucket/labels.json`). Web addresses are
# allowed there, such as a licence's.
_IN_TEXT = re.compile(rf"(?:\S*[=:])?((?:{'|'.join(_STORES)})://.*)", re.DOTALL)
# pathlib merges the two slashes.
_AS_PATH = re.compile(rf"({'|'.join((*_STORES, *_OTHERS))}):/+(.*)", re.DOTALL)


def without_urls(command: Any) -> Any:
    """Make every parameter but those in `TAKES_URLS` refuse URLs, which pathlib would take for a folder `s3:`.

    Args:
        command: Command line of `typer.main.get_command`; it is changed and returned.
    """
    for name, parameter in parameters(command):
        if (name, parameter.name) not in TAKES_URLS:
            parameter.callback = _refusing(name, parameter.callback)
    return command


def parameters(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the arguments and options of all commands, each with its command's name."""
    for name, child in getattr(command, "commands", {}).items():
        yield from parameters(child, (*words, name))
    if not hasattr(command, "commands"):
        yield from ((" ".join(words), parameter) for parameter in command.params)


def _refusing(command: str, callback: Callable[..., Any] | None) -> Callable[..., Any]:
    def check(context: Any, parameter: Any, value: Any) -> Any:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            url = _url(each)
            if url is not None:
                shown = next((flag for flag in parameter.opts if flag.startswith("--")), parameter.metavar)
                raise NirgenError(
                    f"{shown or parameter.name.upper()} {url!r} is a URL, and 'nirgen {command}' works on local files "
                    "there; copy it to a folder first (only SRC and OUT of 'nirgen translate' may be URLs)"
                )
        return value if callback is None else callback(context, parameter, value)

    return check


def _url(value: Any) -> str | None:
    if isinstance(value, Path):
        match = _AS_PATH.fullmatch(str(value))
        return f"{match[1]}://{match[2]}" if match else None
    match = _IN_TEXT.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None
