"""What a curator took out of a dataset, which its provenance knows nothing of any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.curation import read_decisions
from nirgen.dataset.editing import by
from nirgen.dataset.folder import CURATION
from nirgen.dataset.judging import image_keys

if TYPE_CHECKING:
    from nirgen.dataset.folder import DatasetInfo


def taken_out(info: DatasetInfo, wanted: str) -> str | None:
    """Which decision took something out of a dataset.

    Args:
        info: What the dataset says of itself.
        wanted: The key of an image or an annotation that isn't there.

    Returns:
        What was decided, by whom and why, in words; None if no decision is about it.

    Raises:
        NirgenError: The dataset was built with decisions, and they can't be read.
    """
    if info.curation is None:
        return None
    gone = {(each["key"], each["action"]) for each in info.curation["gone"]}
    decisions = {
        each.key: each
        for each in read_decisions(info.folder / CURATION).all
        if each.action in {"delete", "reject"} and each.order not in gone
    }
    if wanted in decisions:
        decision = decisions[wanted]
        return f"{wanted!r} is not in the dataset: decision: {decision.action}{by(decision)}"
    for image in image_keys(wanted):
        if image in decisions and decisions[image].action == "reject":
            return f"{wanted!r} is not in the dataset, for its image isn't: decision: reject{by(decisions[image])}"
    return None
