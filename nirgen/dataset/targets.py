"""Where images go in a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.translate.naming import name_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence


def name_targets(origin: str, names: Sequence[str], codec: str | None) -> list[str]:
    """Where the images of an input go.

    Args:
        origin: The input.
        names: Distinct POSIX paths in its folder.
        codec: What they will be encoded in anew, or None; the endings follow it, by the rule of translation folders.

    Returns:
        As many distinct POSIX paths in the dataset, in the same order.

    Example:
        >>> name_targets("ranus", ["01/a.tif", "01/b.png", "01/b.tif"], "png")
        ['images/ranus/01/a.png', 'images/ranus/01/b.png.png', 'images/ranus/01/b.tif.png']
    """
    named = names if codec is None else name_outputs(names, f".{codec}")
    return [f"images/{origin}/{name}" for name in named]
