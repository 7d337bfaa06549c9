"""FiftyOne's App: serve it, and install nirgen's plugin in it."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import socket
import sys
import time
import webbrowser
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nirgen.browse.fields import WORST_IMAGES
from nirgen.browse.guard import is_loopback
from nirgen.errors import NirgenError, OutputError

if TYPE_CHECKING:
    from collections.abc import Generator

_SECONDS_TO_START = 300  # for the App's server
_SECONDS_BETWEEN_CHECKS = 2


def check_port(address: str, port: int) -> None:
    """Raise a NirgenError if the App can't listen at an address and port."""
    problem = _problem(address, port)
    if problem is None:
        return
    if problem.errno == errno.EADDRINUSE:
        free = next((other for other in range(port + 1, port + 50) if _problem(address, other) is None), None)
        remedy = f"give another, --port {free} is free" if free else "give another with --port"
        raise NirgenError(f"{address}:{port}: another program listens there; {remedy}")
    if problem.errno == errno.EACCES:
        raise NirgenError(f"{address}:{port}: needs root; give a port from 1024 on with --port")
    reason = problem.strerror or problem
    raise NirgenError(f"{address}: not an address of this machine ({reason}); give one with --address")


def _problem(address: str, port: int) -> OSError | None:
    """Return the error that a server would meet at an address and port."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            # As servers do; otherwise the port of a server that has just ended counts as taken.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen()
    except OSError as error:
        return error
    return None


@contextmanager
def serving(name: str, *, address: str, port: int, remote: bool) -> Generator[str]:
    """Serve the App while the block runs, behind `nirgen.browse.guard`; FiftyOne is connected.

    Args:
        name: Name of the FiftyOne dataset to show first.
        address: Address to listen at.
        port: Port to listen at.
        remote: Open no browser on this machine.

    Yields:
        The App's URL, with a token if other machines can reach it.
    """
    import fiftyone

    config = fiftyone.config
    home = _page_of(fiftyone.load_dataset(name))
    values = {
        "FIFTYONE_DATABASE_URI": config.database_uri,
        "FIFTYONE_DATABASE_NAME": config.database_name,
        "FIFTYONE_PLUGINS_DIR": config.plugins_dir,
        "FIFTYONE_DO_NOT_TRACK": "true" if config.do_not_track else "false",
    }
    os.environ.update({key: str(value) for key, value in values.items() if value is not None})  # for the server
    token = None if is_loopback(address) else secrets.token_urlsafe(24)
    service = _launch(config, address, port, token, home)
    try:
        host = _local_address(address)
        host = f"[{host}]" if ":" in host else host
        url = f"http://{host}:{port}{home}"
        if token:
            url += ("&" if "?" in home else "?") + f"token={token}"
        if not remote:
            webbrowser.open(url)
        yield url
    finally:
        service.stop()


def _page_of(dataset: Any) -> str:
    """Return the path of a dataset's page, on the view of its worst images if any have an issue score."""
    from fiftyone.core.utils import to_slug

    place = f"/datasets/{quote(dataset.name, safe='')}"
    if dataset.has_saved_view(WORST_IMAGES) and len(dataset.exists("trouble")):
        place += f"?view={to_slug(WORST_IMAGES)}"
    return place


def _launch(config: Any, address: str, port: int, token: str | None, home: str) -> Any:
    """Start the App's server without a FiftyOne session, and with a guard before it.

    A session replaces the App's state whenever it connects again, which happens on a return to the first slice: the
    App would close the opened image.
    """
    from fiftyone.core.service import ServerService, Service, ServiceException
    from psutil import Error as ProcessError

    from nirgen.browse.server import SETTINGS

    root = str(Path(__file__).parents[2])  # nirgen may have been found beside the working directory
    code = f"import sys; sys.path.append({root!r}); from nirgen.browse.server import main; main()"

    class Guarded(ServerService):  # type: ignore[misc]
        working_dir = "/"
        command = [sys.executable, "-c", code]  # noqa: RUF012
        env = {  # noqa: RUF012
            "FIFTYONE_DO_NOT_TRACK": "1" if config.do_not_track else "0",
            "FIFTYONE_PLUGINS_CACHE_ENABLED": "1",  # else every decision imports all plugins anew
            SETTINGS: json.dumps({"address": address, "port": port, "token": token, "home": home}),
        }

        def start(self) -> None:
            Service.start(self)
            # FiftyOne gives the server a minute, too short to import FiftyOne on a slow or busy machine
            self._wait_for_child_port(port=port, timeout=_SECONDS_TO_START)

    logger = logging.getLogger("fiftyone")
    level = logger.level
    logger.setLevel(logging.WARNING)  # its instructions differ from ours
    try:
        return Guarded(port, address=address, do_not_track=config.do_not_track)
    except (ServiceException, ProcessError, OSError) as error:
        raise NirgenError(f"FiftyOne's App doesn't start at {address}:{port} ({error}); try another --port") from error
    finally:
        logger.setLevel(level)


def wait(address: str, port: int) -> None:
    """Wait until the App no longer answers, and raise a NirgenError then."""
    missed = 0
    while missed < 3:
        time.sleep(_SECONDS_BETWEEN_CHECKS)
        try:
            with socket.create_connection((_local_address(address), port), timeout=_SECONDS_BETWEEN_CHECKS):
                missed = 0
        except OSError:
            missed += 1
    raise NirgenError(f"FiftyOne's App at {address}:{port} has ended by itself; run 'nirgen browse' again")


def _local_address(address: str) -> str:
    """Return the address at which this machine reaches a server that listens at `address`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104


PLUGIN = Path(__file__).parent / "plugin"  # fiftyone.yml and the code that FiftyOne runs


def install() -> None:
    """Link the plugin into FiftyOne's plugin folder, replacing a link to another installation of nirgen."""
    import fiftyone as fo

    link = Path(fo.config.plugins_dir) / "nirgen-curation"
    try:
        if link.is_symlink() and link.readlink().parts[-3:] == PLUGIN.parts[-3:]:
            if link.resolve() == PLUGIN.resolve():
                return
        elif link.is_symlink() or link.exists():
            raise OutputError(f"{link}: not nirgen's; move it away, or the App lacks the buttons to decide with")
        link.parent.mkdir(parents=True, exist_ok=True)
        made = link.with_name(f".{link.name}.{os.getpid()}")
        made.unlink(missing_ok=True)
        made.symlink_to(PLUGIN, target_is_directory=True)
        made.replace(link)
    except OSError as error:
        raise OutputError(f"{link}: the plugin can't be linked there: {error.strerror or error}") from error
