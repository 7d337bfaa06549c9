"""Fill the templates of a dataset's texts: its card, and settings for detectors."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2

if TYPE_CHECKING:
    from nirgen.dataset.plan import Plan


def render(template: str, plan: Plan, /, **values: Any) -> bytes:
    """Fill a template.

    Args:
        template: The name of its file in `templates/`.
        plan: What the dataset is made by; its `categories` and `config` are there as well.
        values: What else it needs.

    Returns:
        The text, in UTF-8; the same values give the same bytes.
    """
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - no HTML: settings and Markdown, whose names are quoted by the filters below
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = json.dumps  # valid in Python, JSON and YAML
    environment.filters["cell"] = cell
    source = resources.files("nirgen.dataset").joinpath("templates", template).read_text(encoding="utf-8")
    text = environment.from_string(source).render(plan=plan, categories=plan.categories, config=plan.config, **values)
    return text.encode()


def cell(value: object) -> str:
    """A value for a cell of a Markdown table: one line, whose signs mean nothing."""
    if isinstance(value, int):
        return f"{value:,}"
    text = " ".join(str(value).split())
    return "".join(f"\\{letter}" if letter in "|`*_<>[]\\" else letter for letter in text)
