"""Jinja templates of the package, and the Markdown and HTML made without one."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2

from nirgen import escapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


def render(
    package: str, name: str, /, *, filters: Mapping[str, Callable[..., object]] | None = None, **values: Any
) -> str:
    """Render a template; the same values give the same text.

    Values are escaped in templates of HTML (`*.html.j2`). Other templates write what comes from data with the filters
    `quoted` (a literal of Python and YAML), `yaml_key`, `cell` and `code` (Markdown); see `cell` and `nirgen.escapes`.

    Args:
        package: The package that holds the template, as in `nirgen.report`.
        name: Path of the template in the package.
        filters: Further filters.
        values: Values of the template; an unknown name in the template is an error.
    """
    html = name.endswith(".html.j2")
    environment = jinja2.Environment(
        autoescape=html,  # noqa: S701 - HTML is escaped; in other texts the filters quote
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not html,
        finalize=_visible if html else None,
    )
    own = {"quoted": escapes.quoted, "yaml_key": escapes.yaml_key, "cell": cell, "code": escapes.code}
    environment.filters |= own | dict(filters or {})
    return environment.from_string(read_text(package, name)).render(**values)


def _visible(value: object) -> object:
    return escapes.printable_lines(value) if type(value) is str else value  # not Markup, which is ours


@cache
def read_text(package: str, name: str) -> str:
    """Return a text file of a package."""
    return resources.files(package).joinpath(*name.split("/")).read_text(encoding="utf-8")


def cell(value: object) -> str:
    r"""Return a value as the cell of a Markdown table: one line, without markup.

    Example:
        >>> cell("a|b"), cell(12345)
        ('a\\|b', '12,345')
    """
    return f"{value:,}" if isinstance(value, int) else escapes.markdown(str(value))


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table.

    Args:
        headings: Headings of the columns.
        rows: Cells as Markdown; escape what comes from data with `cell`.

    Example:
        >>> markdown_table(["class", "boxes"], [["car", "3"]])
        ['| class | boxes |', '| --- | --- |', '| car | 3 |']
    """
    return [f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)]
