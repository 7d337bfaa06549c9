"""Write `docs/architecture.svg` from the imports of the code; a test checks that it is current."""

from __future__ import annotations

import textwrap
import tomllib
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"

_LINE, _PAD, _GAP, _ROW_GAP, _WIDTH, _CHARACTER = 17, 10, 18, 34, 1180, 7.3


def layers() -> list[list[str]]:
    """Return the packages of each layer of import-linter's contract, the highest layer first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip(" ()") for name in row.split("|")] for row in rows]


def modules(graph: grimp.ImportGraph, package: str) -> list[str]:
    """Return the names of a package's modules, as the picture shows them."""
    return sorted(child.removeprefix(f"{package}.") for child in graph.find_children(package))


def arrows(graph: grimp.ImportGraph, packages: list[str]) -> list[tuple[str, str]]:
    """Return the imports between packages, without those that a chain of others implies."""
    inside = {package: {package, *graph.find_descendants(package)} for package in packages}
    imported = {
        one: {
            other
            for other in packages
            if other != one and any(graph.find_modules_directly_imported_by(m) & inside[other] for m in inside[one])
        }
        for one in packages
    }
    below: dict[str, set[str]] = {}
    for one in reversed(packages):  # from the lowest layer up
        below[one] = set().union(imported[one], *(below[other] for other in imported[one] if other in below))
    return [
        (one, other)
        for one in packages
        for other in sorted(imported[one])
        if not any(other in below[between] for between in imported[one] - {other})
    ]


def draw() -> str:
    """Return the picture as SVG: a box for each package with its modules, a row for each layer."""
    graph = grimp.build_graph("nirgen", exclude_type_checking_imports=False, cache_dir=None)
    rows = layers()
    boxes: dict[str, tuple[float, float, float, float]] = {}
    parts: list[str] = []
    top = float(_PAD)
    for row in rows:
        width = (_WIDTH - 2 * _PAD - _GAP * (len(row) - 1)) / len(row)
        width = min(width, 760.0)
        texts = {
            package: textwrap.wrap(", ".join(modules(graph, package)), int((width - 2 * _PAD) / _CHARACTER))
            for package in row
        }
        height = 2 * _PAD + _LINE * (1 + max(len(lines) for lines in texts.values()))
        left = (_WIDTH - width * len(row) - _GAP * (len(row) - 1)) / 2
        for package in row:
            boxes[package] = (left, top, width, height)
            parts.append(
                f'<rect class="box" x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{height:.0f}" rx="5"/>'
                f'<text class="name" x="{left + _PAD:.0f}" y="{top + _PAD + 11:.0f}">'
                f"{escape(package.removeprefix('nirgen.'))}</text>"
            )
            parts += [
                f'<text x="{left + _PAD:.0f}" y="{top + _PAD + 11 + _LINE * (1 + number):.0f}">{escape(line)}</text>'
                for number, line in enumerate(texts[package])
            ]
            left += width + _GAP
        top += height + _ROW_GAP
    drawn = [package for row in rows[:-3] for package in row]
    lines = []
    for one, other in arrows(graph, drawn):
        (x, y, width, height), (x2, y2, width2, _) = boxes[one], boxes[other]
        middle, middle2 = x + width / 2, x2 + width2 / 2
        start = min(max(middle2, x + 8), x + width - 8)
        end = min(max(middle, x2 + 8), x2 + width2 - 8)
        lines.append(f'<path class="arrow" d="M{start:.0f} {y + height:.0f} L{end:.0f} {y2:.0f}"/>')
    head = f"""<svg xmlns="http://www.w3.org/2000/svg"
 viewBox="0 0 {_WIDTH} {top:.0f}" width="{_WIDTH}" height="{top:.0f}"
 font-family="Menlo, Consolas, monospace" font-size="12" fill="#1b1f24" role="img" aria-labelledby="t">
<title id="t">The packages of nirgen with their modules; arrows are imports and point downwards</title>
<style>.box{{fill:#f6f8fa;stroke:#8c959f}}.name{{font-weight:bold;font-size:14px}}
.arrow{{stroke:#0969da;stroke-width:1.2;fill:none;marker-end:url(#a)}}</style>
<defs><marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L10 5 L0 10 z" fill="#0969da"/></marker></defs>
<rect width="100%" height="100%" fill="#ffffff"/>"""
    return "\n".join([head, *lines, *parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"wrote {PICTURE}")
