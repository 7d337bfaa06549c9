"""`nirgen browse`: a dataset in FiftyOne's App."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option
from nirgen.cli.output import announce, conclude, echo, note_outdated_scores, progress
from nirgen.errors import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.browse.embeddings import Findings
    from nirgen.browse.load import Loaded


def browse(
    dataset: Path = argument("D", "Folder of 'nirgen build-dataset' or 'nirgen translate'."),
    name: str | None = options.DATASET_NAME,
    sources: list[str] | None = options.SOURCES,
    scores: bool = flag("Compute missing image and box scores.", default=True),
    embeddings: bool = flag(
        "Find near-duplicates and outliers, and fill the panels Embeddings and Similarity.", "--embeddings"
    ),
    launch: bool = flag("Open the App, or only load the dataset.", default=True),
    remote: bool = flag("Serve the App without opening a browser.", "--remote"),
    port: int = option("Port of the App.", min=1, max=65535, default=5151),
    address: str = option("Address to listen on; 0.0.0.0 for all.", "IP", default="127.0.0.1"),
    database_uri: str | None = options.DATABASE_URI,
) -> None:
    """Open a dataset in the FiftyOne App.

    Loads images, boxes, RGB partners and scores into FiftyOne and serves the App until Ctrl-C. Running the command
    again updates what has changed and keeps tags, decisions and edits; 'nirgen curation export' writes them to a file.
    docs/browse.md is the guide.
    """
    announce("opening FiftyOne")
    folder = dataset.resolve()
    from nirgen.browse.app import check_port
    from nirgen.browse.load import load_folder

    if launch:
        check_port(address, port)
    moved = _sources(sources or [], folder)
    note_outdated_scores(folder, quiet=not scores)
    with progress("what is done stays; run the same command again to go on") as report:
        loaded = load_folder(
            folder,
            name=name,
            sources=moved,
            scores=scores,
            embeddings=embeddings,
            database=database_uri,
            track=_tracking_is_wanted(),
            report=report,
            say=lambda line: echo(line, err=True),
        )
    _print(loaded)
    if launch:
        _show(loaded.name, address=address, port=port, remote=remote)
    else:
        conclude("", then=["browse", dataset])


def _sources(values: Sequence[str], folder: Path) -> dict[str, Path]:
    from nirgen.collection import open_collection

    named: dict[str, Path] = {}
    for value in values:
        origin, path = options.parse_named(value)
        if origin is None:
            origins = open_collection(folder).origins
            if len(origins) != 1:
                raise typer.BadParameter(
                    f"--sources needs the name of an origin here, NAME={path}: {', '.join(origins)}"
                )
            (origin,) = origins
        if origin in named:
            raise typer.BadParameter(f"--sources names {origin!r} twice")
        named[origin] = path.resolve()
    return named


def _tracking_is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if the user has turned FiftyOne's usage statistics on; FiftyOne's own default is on."""
    given = environment.get("FIFTYONE_DO_NOT_TRACK")
    if given is not None:
        return given.strip().lower() in {"0", "false", "no", "off"}
    from nirgen.files import read_json

    path = Path(environment.get("FIFTYONE_CONFIG_PATH") or Path.home() / ".fiftyone" / "config.json")
    try:
        config = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("do_not_track") is False


def _print(loaded: Loaded) -> None:
    if loaded.moved_from is not None:
        echo(f"the folder has moved from {loaded.moved_from}: its paths were updated")
    changed = ", ".join(f"{count} {what}" for what, count in sorted(loaded.changed.items()) if count)
    echo(
        f"{loaded.name}: {counted(loaded.images, 'image')}, {counted(loaded.samples, 'sample')} with RGB; "
        f"{changed or 'nothing has changed'}"
    )
    if loaded.edits.kept:
        echo(f"{loaded.edits.kept} edits of boxes that the dataset lacks were kept")
    if loaded.edits.lost:
        echo(
            f"warning: {len(loaded.edits.lost)} edits of boxes were discarded, as the dataset has changed the same "
            f"boxes: {', '.join(loaded.edits.lost[:5])}",
            err=True,
        )
    if loaded.decided:
        echo(f"{loaded.decided} of the removed images had decisions")
    if loaded.misnamed:
        echo(f"warning: {counted(loaded.misnamed, 'image')} left out, whose names can't be used", err=True)
    if loaded.not_shown:
        echo(f"warning: {counted(loaded.not_shown, 'image')} in TIFF, which browsers don't show", err=True)
    if loaded.outdated:
        echo("its embeddings are of an earlier state; --embeddings updates them")
    if loaded.findings is not None:
        _print_findings(loaded.findings)
    if loaded.own:
        echo(f"{loaded.own} of the dataset's own decisions (keep, flag) are shown")


def _print_findings(found: Findings) -> None:
    if found.unread:
        echo(f"warning: {counted(len(found.unread), 'image')} can't be read, such as {found.unread[0]}", err=True)
    parts = [f"near-duplicates: {found.duplicates}", f"outliers: {found.outliers}"]
    if found.real:
        parts.append(f"real images like generated ones: {found.covered} of {found.real}")
    echo(f"{'; '.join(parts)} (saved views, and the App's panel Embeddings)")


def _show(name: str, *, address: str, port: int, remote: bool) -> None:
    """Serve the App until Ctrl-C or SIGTERM, with exit code 0."""
    from nirgen.browse.app import install, serving, wait
    from nirgen.browse.guard import is_loopback

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        install()
        with serving(name, address=address, port=port, remote=remote) as url:
            echo(f"FiftyOne's App: {url}")
            if remote:
                local = f"http://127.0.0.1:{port}/{url.split('/', 3)[3]}"
                echo(f"from another machine: ssh -N -L {port}:127.0.0.1:{port} HOST, then {local}")
            if not is_loopback(address):
                echo(
                    f"warning: other machines reach {address}:{port}; whoever has the URL with its token can view "
                    "images and make decisions, and it crosses the network unencrypted",
                    err=True,
                )
            echo("Ctrl-C ends it")
            wait(address, port)
    except KeyboardInterrupt:
        echo("the App was ended; decisions stay in FiftyOne, and 'nirgen curation export' writes them down")
    finally:
        signal.signal(signal.SIGTERM, before)
