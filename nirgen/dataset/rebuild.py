"""Plan a dataset anew from its own record: the inputs and options that it was built with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nirgen import runlog
from nirgen.dataset.config import DatasetConfig
from nirgen.dataset.folder import DATASET_JSON
from nirgen.dataset.planner import make_plan
from nirgen.dataset.read import recorded_inputs
from nirgen.errors import NirgenError
from nirgen.escapes import printable
from nirgen.labels.policy import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nirgen.curation import Decisions
    from nirgen.dataset.folder import DatasetInfo
    from nirgen.dataset.plan import Plan
    from nirgen.progress import Progress


def plan_again(
    info: DatasetInfo,
    decisions: Decisions | None,
    report: Progress | None = None,
    *,
    moved: Mapping[Path, Path] | None = None,
) -> Plan:
    """Plan a dataset again from the inputs and options that it records, which may have changed since.

    Args:
        info: The dataset.
        decisions: Decisions to carry out, instead of those that it was built with; None for none.
        report: Progress callback.
        moved: New paths of inputs, or of folders that hold them, by the old ones.

    Raises:
        NirgenError: An input is missing, and all that are missing are named; or as `make_plan`.
    """
    recorded = recorded_inputs(info.folder)
    if not recorded:
        raise NirgenError(
            f"{info.folder / runlog.NAME}: lacks the paths of the dataset's inputs; name them: nirgen build-dataset "
            f"NIR LABELS {info.folder} --replace"
        )
    generated = {each["origin"] for each in info.values["generators"]}
    inputs: dict[str, list[dict[str, Any]]] = {"generated": [], "real": []}
    missing = []
    for origin, given in recorded.items():
        places = {name: _moved(place, moved or {}) for name, place in given.items()}
        if places.get("sources") and not _is_there(places["sources"]):
            places["sources"] = None  # only near duplicates need them
        missing += [f"{place} ({name} of '{origin}')" for name, place in places.items() if not _is_there(place)]
        inputs["generated" if origin in generated else "real"].append({"origin": origin, **places})
    policy = _policy(info, moved or {})
    if policy not in BUILT_IN and not _is_there(policy):
        missing.append(f"{policy} (class policy)")
    if missing:
        raise NirgenError(
            f"{info.folder}: {printable(', '.join(missing))} can't be found; restore what is missing, or say where it "
            "is now: --moved OLD=NEW, which holds for all paths below OLD"
        )
    kept = {name: "keep" for name in ("codec", "channels") if not info.values["config"].get(name)}  # before the choice
    settings = info.values["config"] | kept | inputs | {"policy": policy, "curation": decisions and decisions.path}
    config = DatasetConfig.read(settings, where=str(info.folder / DATASET_JSON))
    return make_plan(config, report, decisions=decisions)


def _policy(info: DatasetInfo, moved: Mapping[Path, Path]) -> str:
    """Return the class policy, a name or a file."""
    recorded = runlog.read_run(info.folder).get("policy")
    if isinstance(recorded, str) and recorded not in BUILT_IN:
        return str(_moved(recorded, moved))
    names = (each["policy"] for each in info.values["labels"])
    return recorded or next((name for name in names if name in BUILT_IN), "default")


def _moved(place: str | None, moved: Mapping[Path, Path]) -> str | None:
    if place is None:
        return None
    for old, new in moved.items():
        if Path(place).is_relative_to(old):
            return str(new / Path(place).relative_to(old))
    return place


def _is_there(place: str | None) -> bool:
    try:
        return place is None or Path(place).exists()
    except (OSError, ValueError):  # a name that no path can have
        return False
