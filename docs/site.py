"""Hooks of mkdocs: add pages outside of `docs/`, and rewrite links to files of the repository.

Pages link to paths in the repository. A link to a file with a page on the site becomes a link to that page; other
links are replaced by their text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
ROOT = DOCS.parent
OUTSIDE = {
    "project/recipes.md": "nirgen/recipe/recipes/README.md",
    "project/benchmarks.md": "benchmarks/README.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
    "project/compact.md": "nirgen/models/embedded/compact.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of `docs/`."""
    for page, path in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs names it
    """Turn links to the repository's files into links to the site's pages."""
    here = page.file.src_uri
    folder = (ROOT / OUTSIDE[here] if here in OUTSIDE else DOCS / here).parent

    def turned(link: re.Match[str]) -> str:
        image, text, target, anchor = link.groups()
        path = Path(os.path.normpath(folder / target))
        if not path.exists():
            return link[0]  # mkdocs warns of it
        uri = _uri(path)
        if files.get_file_from_path(uri) is None:
            return text
        relative = os.path.relpath(uri, Path(here).parent)
        return f"{image}[{text}]({relative}{anchor or ''})"

    return _LINK.sub(turned, markdown)


def _uri(path: Path) -> str:
    inside = path.relative_to(ROOT).as_posix()
    named = {outside: page for page, outside in OUTSIDE.items()}
    return named.get(inside, inside.removeprefix("docs/"))
