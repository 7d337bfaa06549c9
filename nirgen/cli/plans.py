"""The plan of a dataset on the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nirgen.cli.options import refuse
from nirgen.cli.output import echo, show
from nirgen.errors import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_LEAKS, _NAMES, _NOTED = 20, 12, 20  # leaks, names of a label file, and decisions that are listed one by one


def check_asking(*, asks: bool, as_json: bool) -> None:
    """Refuse a command that would ask before it writes where nobody can answer."""
    refuse(asks and as_json, "--json asks nothing: say --yes to build, --dry-run to see the plan")
    refuse(asks and not sys.stdin.isatty(), "there is no terminal to ask on: say --yes to build, --dry-run to see it")


def print_plan(summary: Mapping[str, Any], *, how: str) -> None:
    """Show a plan as `nirgen.dataset.contents.summarise` gives it; `how` says how images are placed."""
    _print_splits(summary["splits"])
    sizes = [split["bytes"] for split in summary["splits"].values()]
    echo(f"images: {how}; their files have {_size(sum(sizes))}")
    for labels in summary["classes"]:
        _print_classes(labels)
    hows = {
        "exact": "path",
        "trailing": "the end of the path",
        "name": "name alone",
        "stem": "name without ending",
        "spelling": "another spelling or ending",
    }
    for matched in summary["matched"]:
        found = ", ".join(f"{matched[how]} by {words}" for how, words in hows.items() if matched[how]) or "none"
        echo(
            f"{matched['origin']}: {counted(matched['images'], 'image')}, labels of {matched['entries']}; "
            f"matched: {found}"
        )
    for line in _remarks(summary):
        echo(line)
    if summary["curation"] is not None:
        print_curation(summary["curation"])
    print_leaks(summary)


def print_curation(curation: Mapping[str, Any]) -> None:
    """Show the effect of decisions, as `Curated.described` gives it."""
    echo(f"decisions: {tallied(curation['applied'])} of {curation['decisions']} carried out")
    if curation["idle"]:
        echo(f"{counted(curation['idle'], 'decision')} about boxes without effect, as their images are rejected")
    _print_noted("gone", curation["gone"])
    _print_noted("changed", curation["changed"])


def tallied(counts: Mapping[str, int]) -> str:
    """Return counts as text.

    Example:
        >>> tallied({"reject": 2, "relabel": 1}), tallied({})
        ('2 reject, 1 relabel', 'none')
    """
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _print_noted(what: str, decisions: Sequence[Mapping[str, Any]]) -> None:
    for each in decisions[:_NOTED]:
        echo(f"{what}: {each['action']} {each['key']}: {each['why']}")
    if len(decisions) > _NOTED:
        echo(f"... and {len(decisions) - _NOTED} more {what}, which --json has")


def _print_splits(splits: Mapping[str, Mapping[str, Any]]) -> None:
    first = next(iter(splits.values()))
    titles = {
        "generated": "generated images",
        "real": "real images",
        "empty": "  of them empty",
        "unlabelled": "  without a label entry",
        "recordings": "known recordings",
        "ignored": "regions to ignore",
    }
    always = {"generated", "real"}
    shown = [name for name in titles if name in always or any(split[name] for split in splits.values())]
    rows = [[titles[name], *(str(split[name]) for split in splits.values())] for name in shown]
    rows += [[f"boxes: {name}", *(str(split["boxes"][name]) for split in splits.values())] for name in first["boxes"]]
    rows.append(["size", *(_size(split["bytes"]) for split in splits.values())])
    show(["", *splits], rows, right=range(1, 1 + len(splits)), ruled=True)
    echo()


def _print_classes(labels: Mapping[str, Any]) -> None:
    names: Sequence[Mapping[str, Any]] = labels["names"]
    kept = [each for each in names if each["written"]]
    dropped = [each for each in names if not each["written"]]
    for what, group in (("", kept), ("dropped ", dropped)):
        listed = [f"{each['name']} {each['labels']}{_renamed(each)}" for each in group[:_NAMES]]
        more = f" and {len(group) - _NAMES} more" if len(group) > _NAMES else ""
        if group or not what:
            echo(f"{what}labels of {labels['origin']}: {', '.join(listed) or 'none'}{more}")
    for reason, count in labels["lost"].items():
        echo(f"{counted(count, 'label')} without a box: {reason}")
    if labels["duplicates"]:
        echo(f"boxes of one class that lie on each other: {counted(labels['duplicates'], 'pair')}")


def _renamed(name: Mapping[str, Any]) -> str:
    return f" (as {name['became']})" if name["written"] and name["became"] != name["name"] else ""


def _remarks(summary: Mapping[str, Any]) -> Iterator[str]:
    from nirgen.dataset.plan import REASONS

    for each in summary["left_out"]:
        yield f"{each['origin']}: {each['count']} left out, {REASONS[each['what']]}, such as {each['examples'][0]}"
    if (coloured := summary["coloured"])["count"]:
        shown = f"{coloured['count']} of {coloured['real']} real images are in colour"
        yield f"{shown}, which NIR isn't, such as {coloured['examples'][0]}"
    if summary["scaled"]:
        yield f"boxes on {counted(summary['scaled'], 'image')} are scaled, of another size than their labels say"
    collisions = summary["collisions"]
    if collisions["count"]:
        example = collisions["examples"][0]
        yield f"{collisions['count']} paths are in several inputs, such as {example}; each input has its own folder"
    for note in summary["notes"]:
        yield f"note: {note}"
    for caution in summary["cautions"]:
        yield f"caution: {caution}"


def print_leaks(summary: Mapping[str, Any]) -> None:
    """Show the leaks of a plan as `nirgen.dataset.contents.summarise` gives it."""
    leaks: Sequence[Mapping[str, Any]] = summary["leaks"]
    if not leaks and set(summary["splits"]) - {"train"}:
        echo("no leaks: nothing in val or test is known to be in training")
    for leak in leaks[:_LEAKS]:
        echo(f"leak ({leak['kind']}): {leak['split']} image '{leak['key']}' and {leak['other']}")
    if len(leaks) > _LEAKS:
        echo(f"... and {len(leaks) - _LEAKS} more leaks, which --json has")


def _size(count: int) -> str:
    """Return bytes in a fitting unit.

    Example:
        >>> _size(999), _size(1_500_000)
        ('999 B', '1.5 MB')
    """
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
