"""Inputs of a dataset on the command line: each folder of images together with its labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nirgen.cli.options import parse_named

if TYPE_CHECKING:
    from collections.abc import Sequence


def read_positions(paths: Sequence[str], out: Path | None) -> tuple[list[dict[str, Any]], Path | None]:
    """Return the generated input and the output folder of `[NIR LABELS] [OUT]`; `out` is that of --out.

    Example:
        >>> inputs, out = read_positions(["bdd=nir", "labels.json", "dataset"], None)
        >>> inputs[0]["origin"], str(inputs[0]["labels"]), str(out)
        ('bdd', 'labels.json', 'dataset')
    """
    if len(paths) > 3:
        raise typer.BadParameter(f"there are {len(paths)} paths; give NIR LABELS OUT, and further inputs with --real")
    if len(paths) in {1, 3}:
        if out is not None:
            raise typer.BadParameter(f"two datasets to write: {paths[-1]} and --out {out}; leave one out")
        out = Path(paths[-1])
    return [_input(paths[0], Path(paths[1]))] if len(paths) > 1 else [], out


def _input(folder: str, labels: Path) -> dict[str, Any]:
    name, path = parse_named(folder)
    return {"origin": name or path.resolve().name, "folder": path, "labels": labels}


def parse_labelled(text: str, flag: str) -> tuple[str | None, Path, Path | None]:
    """Split `[NAME=]DIR:LABELS` into name, folder and labels; the labels are None if a text names a folder alone.

    The two parts meet at the colon for which both exist; if there is none, at the last colon. A text that is an
    existing folder is one, whatever colons it has.

    Raises:
        typer.BadParameter: A part is empty, or several colons divide it into an existing folder and existing labels.

    Example:
        >>> parse_labelled("bdd=nir:labels.json", "--generated")
        ('bdd', PosixPath('nir'), PosixPath('labels.json'))
        >>> parse_labelled("nir", "--generated")
        (None, PosixPath('nir'), None)
    """
    name, path = parse_named(text)
    rest = text if name is None else text[len(name) + 1 :]
    if ":" not in rest or path.is_dir():
        return name, path, None
    places = [place for place, letter in enumerate(rest) if letter == ":"]
    parts = [(rest[:place], rest[place + 1 :]) for place in places]
    there = [(folder, labels) for folder, labels in parts if folder and Path(folder).is_dir() and _exists(labels)]
    if len(there) > 1:
        raise typer.BadParameter(
            f"{flag} {text}: folder and labels may meet at several of its colons; rename one of them, or link to it"
        )
    folder, labels = (there or parts[-1:])[0]
    if not folder or not labels:
        raise typer.BadParameter(f"{flag} {text}: give NAME=DIR:LABELS, such as bdd=nir:labels.json")
    return name, Path(folder), Path(labels)


def _exists(path: str) -> bool:
    return bool(path) and Path(path).exists()


def read_inputs(kind: str, texts: Sequence[str], labels: Sequence[Path]) -> tuple[list[dict[str, Any]], str | None]:
    """Return the inputs of a kind, and the options that say the same if labels were given apart.

    Args:
        kind: `generated` or `real`.
        texts: Values of `--generated` or `--real`, by `parse_labelled`.
        labels: Labels given apart, by position, for the texts that have none.
    """
    parsed = [parse_labelled(text, f"--{kind}") for text in texts]
    lacking = [text for text, (_, _, own) in zip(texts, parsed, strict=True) if own is None]
    if len(lacking) != len(labels):
        apart = "--labels" if kind == "generated" else "--real-labels"
        counts = f"{len(lacking)} --{kind} without labels and {len(labels)} {apart} were given"
        raise typer.BadParameter(f"{counts}; give labels with their folder: --{kind} NAME=DIR:LABELS")
    left, newer = iter(labels), []
    inputs = []
    for text, (name, folder, own) in zip(texts, parsed, strict=True):
        file = next(left) if own is None else own
        inputs.append({"origin": name or folder.resolve().name, "folder": folder, "labels": file})
        newer.append(f"--{kind} {text.rstrip('/')}:{file}" if own is None else f"--{kind} {text}")
    return inputs, " ".join(newer) if lacking else None


def with_paths(inputs: list[dict[str, Any]], kind: str, key: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return inputs of a kind with a further path of some, `sources` or `pairs`.

    `texts` are `[NAME=]PATH`; one without a name belongs to the first input that has no such path yet.
    """
    for text in texts:
        name, path = parse_named(text)
        wanted = [each for each in inputs if key not in each and name in {None, each["origin"]}]
        if not wanted:
            raise typer.BadParameter(f"{text}: no --{kind} that it could belong to")
        wanted[0][key] = path
    return inputs
