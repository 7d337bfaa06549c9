"""Ids, references, names and classes of annotation files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nirgen.validate.coco import NOWHERE
from nirgen.validate.entries import NO_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from nirgen.labels.file import Category
    from nirgen.validate.coco import CocoFile
    from nirgen.validate.findings import Findings

_INT32 = 2**31 - 1
_WIDE = 1000


def check_structure(files: Sequence[CocoFile], findings: Findings) -> None:
    """Check each file, and that their categories are the same.

    What is wrong with single entries was found when the files were read.
    """
    for file in files:
        _check_ids(file, findings)
        _check_references(file, findings)
        _check_images(file, findings)
        _check_category_names(file, findings)
    _check_categories_agree(files, findings)
    _check_every_category_has_boxes(files, findings)


def check_category_ids(files: Sequence[CocoFile], findings: Findings) -> None:
    """Look for gaps in the category ids."""
    gapped = [file for file in files if file.categories.ids.tolist() != list(range(1, len(file.categories) + 1))]
    findings.add_all("category-gaps", gapped, lambda file: f"{file.path.name}: {_classes(file)}")


def check_classes(
    files: Sequence[CocoFile], recorded: Sequence[Category], policy: Sequence[str] | None, findings: Findings
) -> None:
    """Compare the categories of a nirgen dataset's files with what the dataset says of itself.

    Args:
        files: Its annotation files.
        recorded: The classes of `dataset.json` in order.
        policy: The classes of the policy that it was made with, in order; None if that isn't one of nirgen's own.
        findings: Takes what is wrong.
    """
    wanted = [f"{category.id} {category.name}" for category in recorded]
    for file in files:
        if list(_numbered(file)) != wanted:
            findings.add("category-order", f"{file.path.name}: {_classes(file)}; dataset.json has {', '.join(wanted)}")
        if policy is not None and list(file.categories.names) != list(policy):
            findings.add("policy-classes", f"{file.path.name}: {_classes(file)}; the policy has {', '.join(policy)}")


def _check_ids(file: CocoFile, findings: Findings) -> None:
    lists: tuple[tuple[str, NDArray[np.int64], Callable[[int], str]], ...] = (
        ("annotations", file.annotations.ids, file.annotation),
        ("images", file.images.ids, file.image),
        ("categories", file.categories.ids, lambda position: _category(file, position)),
    )
    for what, ids, describe in lists:
        zeros = np.flatnonzero(ids == 0)
        findings.add_all("zero-id" if what == "annotations" else "zero-entry-id", zeros, describe)
        findings.add_all("duplicate-id", _repeated(ids), describe)
        used = ids[ids != NO_ID]
        largest = int(used.max(initial=0))
        if largest > _INT32 or largest > _WIDE * max(len(used), _WIDE):
            findings.add("wide-ids", f"{file.path.name}: {what} up to {largest}, {len(used)} of them")


def _check_references(file: CocoFile, findings: Findings) -> None:
    table = file.annotations
    findings.add_all(
        "no-image",
        np.flatnonzero(table.images == NOWHERE),
        lambda position: f"{file.annotation(position)}: image_id {_number(table.image_ids[position])}",
    )
    findings.add_all("no-category", np.flatnonzero(table.categories == NOWHERE), file.annotation)


def _check_images(file: CocoFile, findings: Findings) -> None:
    names = np.array(file.images.names, object)
    named = np.flatnonzero(names.astype(bool))
    _, numbers = np.unique(names[named].astype(str), return_inverse=True)
    findings.add_all("duplicate-file", named[_repeated(numbers.astype(np.int64))], file.image)
    boxes = np.bincount(file.annotations.images[file.annotations.images != NOWHERE], minlength=len(names))
    findings.add_all("empty-images", np.flatnonzero(boxes == 0), file.image)


def _check_category_names(file: CocoFile, findings: Findings) -> None:
    names = file.categories.names
    bad = [position for position, name in enumerate(names) if not name or name in names[:position]]
    findings.add_all("bad-category", bad, lambda position: _category(file, position))
    used = set(file.annotations.categories.tolist())
    for position, name in enumerate(names):
        others = file.categories.supercategories[:position] + file.categories.supercategories[position + 1 :]
        if position not in used and name and name in others:
            findings.add("shadowed-category", _category(file, position))


def _check_categories_agree(files: Sequence[CocoFile], findings: Findings) -> None:
    if not files:
        return
    first = files[0]
    for file in files[1:]:
        if _classes(file) != _classes(first):
            findings.add(
                "categories-differ", f"{file.path.name}: {_classes(file)}; {first.path.name}: {_classes(first)}"
            )


def _check_every_category_has_boxes(files: Sequence[CocoFile], findings: Findings) -> None:
    named: dict[str, bool] = {}
    for file in files:
        used = set(file.annotations.categories.tolist())
        for position, name in enumerate(file.categories.names):
            named[name] = named.get(name, False) or position in used
    findings.add_all("empty-category", [name for name, has_boxes in named.items() if not has_boxes], repr)


def _repeated(ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """The positions of ids that an earlier position has already."""
    positions = np.flatnonzero(ids != NO_ID)
    order = positions[np.argsort(ids[positions], kind="stable")]
    return np.sort(order[1:][ids[order[1:]] == ids[order[:-1]]])


def _classes(file: CocoFile) -> str:
    """The categories in words, a long list cut."""
    shown = list(_numbered(file))
    return ", ".join(shown if len(shown) <= 5 else [*shown[:3], "…", shown[-1]])


def _numbered(file: CocoFile) -> Iterator[str]:
    for number, name in zip(file.categories.ids, file.categories.names, strict=True):
        yield f"{_number(number)} {name}"


def _category(file: CocoFile, position: int) -> str:
    number, name = file.categories.ids[position], file.categories.names[position]
    return f"{file.path.name}: category {_number(number)} {name!r}"


def _number(number: Any) -> str:
    return "?" if number == NO_ID else str(number)
