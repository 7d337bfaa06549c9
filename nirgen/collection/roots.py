"""Where the RGB images of a dataset lie now, as far as it can be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen.dataset.folder import RUN_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSLATION_RUN_JSON = "run.json"


def recorded_inputs(folder: Path) -> Mapping[str, Mapping[str, str | None]]:
    """Where the inputs of a dataset lay when it was built.

    Args:
        folder: The dataset.

    Returns:
        By origin, the paths of the input by what they are: `folder`, `labels`, `sources`, `pairs`; nothing where
        `run.json` is gone or damaged.
    """
    try:
        inputs: Mapping[str, Mapping[str, str | None]] = json.loads((folder / RUN_JSON).read_bytes())["inputs"]
        return {origin: dict(given) for origin, given in inputs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def rgb_roots(given: Mapping[str, str | None]) -> tuple[Path, ...]:
    """The folders that the names of an input's RGB images may be relative to.

    Args:
        given: What `recorded_inputs` says of the input.

    Returns:
        Of a translation the folder of its sources: the one that was named, or the one that its `run.json` names. Of
        real images with a list of pairs those that the list may be relative to. Nothing if it can't be told.
    """
    if given.get("sources"):
        return (Path(str(given["sources"])),)
    if given.get("pairs"):
        return (Path(str(given["pairs"])).parent, *([Path(str(given["folder"]))] if given.get("folder") else []))
    root = translated_from(Path(str(given["folder"]))) if given.get("folder") else None
    return () if root is None else (root,)


def translated_from(folder: Path) -> Path | None:
    """The folder of the sources that a translation folder names; None if it doesn't say."""
    try:
        run: Any = json.loads((folder / TRANSLATION_RUN_JSON).read_bytes())
    except (OSError, ValueError):
        return None
    source = run.get("source") if isinstance(run, dict) else None
    return Path(source) if isinstance(source, str) else None


def find_rgb(roots: tuple[Path, ...], name: str | None) -> Path | None:
    """The file of an RGB image, if it is there.

    Args:
        roots: The folders it may be in.
        name: Its path in one of them.
    """
    if name is None:
        return None
    return next((path for path in (root / name for root in roots) if path.is_file()), None)
