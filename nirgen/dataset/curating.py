"""A curator's decisions put into a plan: what they take out, what they change, which of them find nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nirgen.dataset.judging import Target, TargetBox, check_categories, judge
from nirgen.dataset.plan import REASONS, Curated
from nirgen.dataset.scaling import Scaling
from nirgen.errors import NirgenError
from nirgen.labels.file import annotation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nirgen.curation import Decision, Decisions
    from nirgen.dataset.plan import PlannedImage
    from nirgen.dataset.tally import Tally
    from nirgen.labels.file import Category


@dataclass(frozen=True)
class Chosen:
    """The images of a dataset.

    Attributes:
        images: Those that it holds, with the decisions about them, sorted by key.
        rejected: Those that a curator took out, sorted by key.
        curation: What the decisions came to; None without any.
    """

    images: tuple[PlannedImage, ...]
    rejected: tuple[PlannedImage, ...] = ()
    curation: Curated | None = None


def curate(
    images: Sequence[PlannedImage], decisions: Decisions | None, categories: Sequence[Category], tally: Tally
) -> Chosen:
    """Carry decisions out on the images that were divided and sampled.

    Args:
        images: Sorted by key.
        decisions: A curator's; None without any.
        categories: The classes of the dataset.
        tally: Knows why other images stay out; rejected ones are counted there.

    Raises:
        NirgenError: A decision names a class that there isn't, or no image is left.
    """
    if decisions is None:
        return Chosen(tuple(images))
    check_categories(decisions.all, [category.name for category in categories], decisions.path)
    names = {category.id: category.name for category in categories}
    by_key = {image.key: image for image in images}
    reasons = tally.reasons()

    def why(key: str) -> str | None:
        reason = reasons.get(key)
        return reason and f"its image is among what stays out: {REASONS[reason]}"

    judged = judge(decisions.all, by_key, lambda key: _target(by_key[key], names), why)
    decided = [_decided(image, judged.applied.get(image.key, ())) for image in images]
    rejected = tuple(image for image in decided if _is_rejected(image))
    for image in rejected:
        tally.add(image.origin, "rejected", [image.key.removeprefix(f"{image.origin}/")])
    kept = tuple(image for image in decided if not _is_rejected(image))
    if not kept:
        raise NirgenError(f"{decisions.path}: rejects every image of the dataset; keep some")
    curation = Curated(
        sha256=decisions.sha256,
        decisions=decisions.all,
        applied=dict(sorted(judged.counts.items())),
        idle=judged.idle,
        gone=tuple(judged.gone),
        changed=tuple(judged.changed),
    )
    return Chosen(kept, rejected, curation)


def _decided(image: PlannedImage, decisions: Sequence[Decision]) -> PlannedImage:
    """An image with the decisions about it."""
    return replace(image, decisions=tuple(sorted(decisions, key=lambda each: each.order))) if decisions else image


def _is_rejected(image: PlannedImage) -> bool:
    return any(each.action == "reject" and each.key == image.key for each in image.decisions)


def _target(image: PlannedImage, names: Mapping[int, str]) -> Target:
    """An image as decisions are about it."""
    scaling, boxes, dropped = Scaling.of(image), dict[str, TargetBox](), set[str]()
    for raw in image.labels.annotations if image.labels else ():
        values = annotation(raw)
        scaled = values if scaling.identity else scaling.annotation(values)
        if scaled is None:
            dropped.add(values["source_key"])
        else:
            x, y, width, height = scaled["bbox"]
            boxes[values["source_key"]] = TargetBox(names[values["category_id"]], (x, y, width, height))
    return Target(image.sha256, (image.width, image.height), boxes, frozenset(dropped))
