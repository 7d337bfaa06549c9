"""A plan as a file, to be read by people now and carried out later, exactly or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen import __version__
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.planning import make_plan
from nirgen.dataset.summary import summarise
from nirgen.errors import NirgenError
from nirgen.files import output_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.dataset.plan import Plan, Report

SCHEMA = 1


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan, with paths relative to the file's folder.

    Raises:
        OutputError: The file can't be written.
    """
    folder = path.absolute().parent
    values = {
        "schema": SCHEMA,
        "nirgen": __version__,
        "digest": plan.digest,
        "config": plan.config.moved(lambda place: Path(os.path.relpath(place, folder))).model_dump(mode="json"),
        "inputs": dict(plan.inputs),
        "summary": summarise(plan),
    }
    with output_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def apply_plan(path: Path, report: Report | None = None) -> Plan:
    """Make the plan of a file anew, and see that it is the same.

    Args:
        path: What `write_plan` wrote.
        report: Told how far the reading of files is.

    Returns:
        The plan.

    Raises:
        NirgenError: The file is no plan, or its inputs have changed since; the message names them.
    """
    recorded = _read(path)
    folder = path.absolute().parent
    config = DatasetConfig.read(recorded["config"], where=str(path))
    plan = make_plan(config.moved(lambda place: Path(os.path.normpath(folder / place))), report)
    if plan.digest != recorded["digest"]:
        changes = ", ".join(_changes(recorded, plan)) or f"nirgen (planned with {recorded.get('nirgen')})"
        raise NirgenError(f"{path}: not what it was any more: {changes}; plan again with --plan, and look at it")
    return plan


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise NirgenError(f"{path}: can't be read ({error.strerror}); '--plan FILE' writes a plan") from None
    except ValueError:
        values = None
    if not isinstance(values, dict) or not {"schema", "digest", "config", "inputs", "summary"} <= values.keys():
        raise NirgenError(f"{path}: no plan of nirgen's; '--plan FILE' writes one")
    if values["schema"] != SCHEMA:
        raise NirgenError(f"{path}: has schema {values['schema']}, and this nirgen reads {SCHEMA}; plan again")
    return values


def _changes(recorded: Mapping[str, Any], plan: Plan) -> list[str]:
    """What is another than it was, by name: inputs, else what stays out of them, else what is noted."""
    names = sorted(recorded["inputs"].keys() | plan.inputs.keys())
    changed = [name for name in names if recorded["inputs"].get(name) != plan.inputs.get(name)]
    if changed:
        return changed
    before, now = recorded["summary"], summarise(plan)
    differing = [
        each
        for each in (*before["left_out"], *now["left_out"])
        if each not in before["left_out"] or each not in now["left_out"]
    ]
    if differing:
        return sorted({f"{each['origin']}: what stays out" for each in differing})
    return [note for note in now["notes"] if note not in before["notes"]]
