"""FiftyOne's App: serve it, and install nirgen's plugin in it."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
import webbrowser
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nirgen.errors import NirgenError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


SECONDS_TO_START = 300
"""How long the App's server may take; one that has ended isn't waited for."""

_PORTS_TRIED = 50
_SECONDS_BETWEEN_LOOKS = 2
_LOOKS_MISSED = 3


def check_port(address: str, port: int) -> None:
    """See that the App can listen there.

    Args:
        address: One of this machine's.
        port: At that address.

    Raises:
        NirgenError: Something else does already, it is no address of this machine, or only root may.
    """
    problem = _problem(address, port)
    if problem is None:
        return
    if problem.errno == errno.EADDRINUSE:
        free = next((other for other in range(port + 1, port + _PORTS_TRIED) if _problem(address, other) is None), None)
        remedy = f"give another, --port {free} is free" if free else "give another with --port"
        raise NirgenError(f"{address}:{port}: another program listens there; {remedy}")
    if problem.errno == errno.EACCES:
        raise NirgenError(f"{address}:{port}: needs root; give a port from 1024 on with --port")
    reason = problem.strerror or str(problem)
    raise NirgenError(
        f"{address}: can't be listened at ({reason}); --address is one of this machine's, such as 127.0.0.1"
    )


def _problem(address: str, port: int) -> OSError | None:
    """Why a server can't listen at an address."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as servers do, or else one just ended counts
            listener.bind(place)
            listener.listen()
    except OSError as error:
        return error
    return None


@contextmanager
def serving(fiftyone: Any, name: str, *, address: str, port: int, remote: bool) -> Generator[str]:
    """Serve the App while the block runs.

    Args:
        fiftyone: The module, connected.
        name: Of the FiftyOne dataset that it shows first.
        address: Where it listens.
        port: The same.
        remote: Whether no browser is to be opened on this machine.

    Yields:
        The App's URL.

    Raises:
        NirgenError: It doesn't start.
    """
    _pass_on(fiftyone.config)
    fiftyone.load_dataset(name)
    service = _launch(fiftyone, address, port)
    try:
        url = f"http://{_reached_at(address)}:{port}/datasets/{quote(name, safe='')}"
        if not remote:
            webbrowser.open(url)
        yield url
    finally:
        service.stop()


def _launch(fiftyone: Any, address: str, port: int) -> Any:
    """Start the App's server, and no session of FiftyOne's beside it.

    A session puts its own state in place of the App's when it connects, and again when it has lost the connection, as
    it does whenever somebody returns to the first slice: the App then closes the opened image.
    """
    from fiftyone.core.service import ServerService, Service, ServiceException
    from psutil import Error as ProcessError

    logger = logging.getLogger("fiftyone")
    level, waiting = logger.level, Service._wait_for_child_port
    # FiftyOne gives the server a minute to import FiftyOne, which on a slow or busy machine is too short.
    Service._wait_for_child_port = partialmethod(waiting, timeout=SECONDS_TO_START)
    logger.setLevel(logging.WARNING)  # its own instructions say other things than ours
    try:
        return ServerService(port, address=address, do_not_track=fiftyone.config.do_not_track)
    except (ServiceException, ProcessError, OSError) as error:
        raise NirgenError(f"FiftyOne's App doesn't start at {address}:{port} ({error}); try another --port") from error
    finally:
        logger.setLevel(level)
        Service._wait_for_child_port = waiting


def wait(address: str, port: int, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until the App ends by itself, which it never should.

    Raises:
        NirgenError: It doesn't answer any more.
    """
    missed = 0
    while missed < _LOOKS_MISSED:
        sleep(_SECONDS_BETWEEN_LOOKS)
        try:
            with socket.create_connection((_reached_at(address), port), timeout=_SECONDS_BETWEEN_LOOKS):
                missed = 0
        except OSError:
            missed += 1
    raise NirgenError(f"FiftyOne's App at {address}:{port} has ended by itself; run 'nirgen browse' again")


def _reached_at(address: str) -> str:
    """The address at which this machine reaches what listens at an address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104


def _pass_on(config: Any) -> None:
    """Let the App's server, a process of its own, have the settings of this one."""
    values = {
        "FIFTYONE_DATABASE_URI": config.database_uri,
        "FIFTYONE_DATABASE_NAME": config.database_name,
        "FIFTYONE_PLUGINS_DIR": config.plugins_dir,
        "FIFTYONE_DO_NOT_TRACK": "true" if config.do_not_track else "false",
    }
    os.environ.update({name: str(value) for name, value in values.items() if value is not None})


PLUGIN = Path(__file__).parent / "plugin"
"""The plugin: `fiftyone.yml` and the Python that FiftyOne runs."""

_LINK = "nirgen-curation"
_OURS = PLUGIN.parts[-3:]  # nirgen/browse/plugin, of this installation or another


def install() -> None:
    """Make FiftyOne find the plugin: a link to it in FiftyOne's folder of plugins.

    A link to the plugin of another installation of nirgen, there or gone, is made to point to this one. Nothing else
    is touched.

    Raises:
        OutputError: Something else has the link's name, or the link can't be made.
    """
    import fiftyone as fo

    link = Path(fo.config.plugins_dir) / _LINK
    try:
        if link.is_symlink() and link.readlink().parts[-3:] == _OURS:
            if link.resolve() == PLUGIN.resolve():
                return
        elif link.is_symlink() or link.exists():
            raise OutputError(f"{link} isn't nirgen's; move it away, or the App has no buttons to reject or keep with")
        link.parent.mkdir(parents=True, exist_ok=True)
        made = link.with_name(f".{link.name}.{os.getpid()}")
        made.unlink(missing_ok=True)
        made.symlink_to(PLUGIN, target_is_directory=True)
        made.replace(link)
    except OSError as error:
        raise OutputError(f"{link}: the plugin can't be linked there: {error.strerror or error}") from error
