"""What a run came to, as one HTML page: it asks nothing of other hosts, and links to what lies in the run folder."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote

import jinja2

from nirgen import images
from nirgen.errors import ImageError
from nirgen.recipe.run import command_line, comparisons, log_file

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.recipe.recipe import Recipe
    from nirgen.recipe.run import Outcome, Progress


_PICTURES, _SIDE = 3, 960
"""Pictures of one output that are shown, and the longer side in pixels that they are reduced to."""


@dataclass(frozen=True, slots=True)
class Link:
    """Something in the run folder.

    Attributes:
        text: Its path relative to the folder.
        address: The same as an address.
    """

    text: str
    address: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A stage on the page.

    Attributes:
        name: Of the stage.
        phase: Its state.
        seconds: How long it took.
        share: The same in hundredths of the longest stage.
        why: Why it ran, or not.
        command: Its command line.
        links: What it wrote, pages first, and its log.
        pictures: What it drew, each with its address and as a data URI.
    """

    name: str
    phase: str
    seconds: float
    share: float
    why: str
    command: str
    links: tuple[Link, ...]
    pictures: tuple[tuple[Link, str], ...]


def render(recipe: Recipe, outcome: Outcome, out: Path) -> str:
    """The page's HTML.

    Args:
        recipe: What was run.
        outcome: How it ended.
        out: The run folder, where the page is to lie.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("nirgen.recipe").joinpath("page.html.j2").read_text(encoding="utf-8")
    longest = max((one.seconds for one in outcome.progress), default=0.0)
    return environment.from_string(source).render(
        recipe=recipe,
        problem=outcome.problem,
        seconds=sum(one.seconds for one in outcome.progress if one.phase != "skipped"),
        stages=[_show(one, longest, out) for one in outcome.progress],
        comparisons=comparisons(recipe, outcome),
    )


def _show(progress: Progress, longest: float, out: Path) -> Shown:
    stage = progress.step.stage
    log = log_file(out, stage.name)
    there = [path for path in stage.outputs.values() if path.exists()]
    pages = [page for path in there for page in _lying_in(path, ".html")]
    links = [*pages, *(path for path in there if path not in pages), *([log] if log.exists() else [])]
    pictures = [path for output in there for path in _lying_in(output, ".png", ".jpg")[:_PICTURES]]
    drawn = ((_link(path, out), _reduced(path)) for path in pictures)
    return Shown(
        name=stage.name,
        phase=progress.phase,
        seconds=progress.seconds,
        share=100 * progress.seconds / longest if longest else 0.0,
        why=progress.step.why,
        command=command_line(progress.step),
        links=tuple(_link(path, out) for path in links),
        pictures=tuple((link, data) for link, data in drawn if data is not None),
    )


def _lying_in(output: Path, *suffixes: str) -> list[Path]:
    """An output that has one of some endings, or those that lie in it, sorted; not those in folders below."""
    if output.is_dir():
        return sorted(path for path in output.iterdir() if path.suffix in suffixes and path.is_file())
    return [output] if output.suffix in suffixes else []


def _link(path: Path, out: Path) -> Link:
    text = os.path.relpath(path, out)
    return Link(text, quote(text))


def _reduced(path: Path) -> str | None:
    """A picture as a data URI, reduced; None if it is none that can be read."""
    try:
        rgb = images.decode_small(path.read_bytes(), path.name, _SIDE)
    except (OSError, ImageError):
        return None
    height, width = rgb.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    if scale < 1:
        rgb = images.resize(rgb, (max(1, round(height * scale)), max(1, round(width * scale))))
    return "data:image/jpeg;base64," + base64.b64encode(images.encode(rgb, "jpg")).decode()
