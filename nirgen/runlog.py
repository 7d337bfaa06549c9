"""`run.json`: what differs between two runs of one command (clock, host, versions), kept out of other outputs.

Only an evaluation's files hold a clock's readings too: the seconds of an image.
"""

from __future__ import annotations

import json
import platform
import socket
import sys
from typing import TYPE_CHECKING, Any

from nirgen._version import __version__
from nirgen.files import read_json, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME = "run.json"


def environment(**versions: str) -> dict[str, str | int]:
    """Return the host, the platform, the versions of Python, other packages and nirgen, and torch's threads if it runs.

    The number of threads may change the last bit of a network's output.
    """
    torch = sys.modules.get("torch")
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **versions,
        "nirgen": __version__,
        **({} if torch is None else {"threads": torch.get_num_threads()}),
    }


def write_run(folder: Path, values: Mapping[str, Any]) -> None:
    """Write `run.json` of a folder, whole or not at all.

    Args:
        folder: An existing folder.
        values: Plain values, `schema` among them.

    Raises:
        OSError: The file can't be written.
    """
    write_whole(folder / NAME, json.dumps(values, indent=2).encode() + b"\n")


def read_run(folder: Path) -> dict[str, Any]:
    """Return the values of a folder's `run.json`; empty if it is missing or damaged, since nothing relies on it."""
    path = folder / NAME
    try:
        values: Any = read_json(path) if path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
