"""What `nirgen explain` says, as Markdown for the App."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nirgen.explain.telling import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nirgen.explain import Explanation


def as_markdown(found: Explanation) -> str:
    """What is known of an image or a box: a paragraph for each name and what goes with it."""
    return "\n\n".join("\\\n".join(paragraph) for paragraph in _paragraphs(found))


def escaped(text: str) -> str:
    r"""Text in which Markdown finds nothing to set.

    Example:
        >>> print(escaped("a_b/*.png"))
        a\_b/\*.png
    """
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|~" else sign for sign in text)


def _paragraphs(found: Explanation) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for name, text in lines(found):
        if name and paragraph:
            yield paragraph
            paragraph = []
        paragraph.append(f"**{name}** {escaped(text)}" if name else escaped(text))
    yield paragraph
