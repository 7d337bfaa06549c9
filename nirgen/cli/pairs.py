"""`nirgen pairs`: lists of aligned RGB-NIR pairs, for training and judging, and a check of what they hold."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer.core import TyperGroup

from nirgen.cli import options
from nirgen.cli.output import progress
from nirgen.errors import OutputError

if TYPE_CHECKING:
    from nirgen.pairs import PairList
    from nirgen.pairs.report import Row


_SHOWN = 10


class _ListByDefault(TyperGroup):
    """`nirgen pairs ROOT` is `nirgen pairs list ROOT`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = options.Group(
    cls=_ListByDefault,
    help="List RGB-NIR pairs ('nirgen pairs ROOT' is 'nirgen pairs list ROOT'), and check them.",
)


@app.command("list")
def list_pairs(
    out: Annotated[Path, typer.Option("--out", "-o", help="The CSV file to write.")],
    root: Annotated[
        Path | None, typer.Argument(help="The folder of the pairs, or a CSV with the columns rgb and nir.")
    ] = None,
    layout: Annotated[
        str, typer.Option(help="auto, splits, folders, pix2pix, side-by-side, ranus, idd-aw, flir or csv.")
    ] = "auto",
    rgb: Annotated[
        Path | None, typer.Option(help="With --nir, in place of a layout: the folder of RGB images.")
    ] = None,
    nir: Annotated[Path | None, typer.Option(help="With --rgb: the folder of NIR images.")] = None,
    rgb_suffix: Annotated[
        str | None, typer.Option(help="What the stems of RGB images end in.  [default: _rgb, -rgb, _vis...]")
    ] = None,
    nir_suffix: Annotated[
        str | None, typer.Option(help="What the stems of NIR images end in.  [default: _nir, -nir, _ir...]")
    ] = None,
    direction: Annotated[
        Literal["AtoB", "BtoA"], typer.Option(help="Of pix2pix: AtoB if A, or the left half, is RGB.")
    ] = "AtoB",
    index: Annotated[
        Path | None,
        typer.Option(help="A CSV with the columns name, scene_group (or sequence) and, if known, category."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES", help="Divide the pairs anew, such as train=0.8,val=0.1,test=0.1; sequences stay whole."
        ),
    ] = None,
    split_by: Annotated[
        Literal["sequence", "frame"] | None,
        typer.Option(help="Unit that --split keeps whole; frame cuts sequences.  [default: {pairs.find:Division.by}]"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed of --split.  [default: {pairs.find:Division.seed}]")
    ] = None,
) -> None:
    """List RGB-NIR pairs, matched by stem, with their sequences, splits and hashes."""
    from nirgen.pairs.find import Division, find_pairs, parse_shares
    from nirgen.pairs.layouts import LAYOUTS, recognise
    from nirgen.pairs.matching import Rules

    if (rgb is None) != (nir is None):
        raise typer.BadParameter("--rgb and --nir go together")
    if rgb is None and root is None:
        raise typer.BadParameter("name ROOT, or two folders with --rgb and --nir")
    folders = (rgb, nir) if rgb is not None and nir is not None else None
    if folders is None and root is not None and layout == "auto" and root.exists():
        layout = recognise(root)
    with progress("nothing was written") as report:
        found = find_pairs(
            root,
            index,
            layout=layout,
            folders=folders,
            rules=Rules(rgb_suffix, nir_suffix, rgb_first=direction == "AtoB"),
            division=Division(parse_shares(split) if split else {}, **options.given(by=split_by, seed=seed)),
            progress=partial(report, "hash"),
        )
    found.write(out)
    typer.echo(f"{out}: {_counts(found)}; {'two folders' if folders else f'layout {layout}'}")
    if folders is None and LAYOUTS[layout].note:
        typer.echo(f"note: {LAYOUTS[layout].note}", err=True)
    if folders is not None and root is None:
        typer.echo(f"note: its paths are relative to {found.root}; name it with --root", err=True)


@app.command("check")
def check(
    listing: Annotated[Path, typer.Argument(metavar="LIST", help="The list that 'nirgen pairs' wrote.")],
    root: options.Root = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The Parquet file to write.  [default: LIST.check.parquet]")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Write a picture of the worst pairs.")] = None,
    drop_worse_than: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="PIXELS",
            help="Write a list without pairs that lie farther apart, and without unrelated and damaged ones.",
        ),
    ] = None,
    clean_list: Annotated[
        Path | None, typer.Option(help="Where --drop-worse-than writes it.  [default: LIST.clean.csv]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.  [default: up to 4]")] = None,
) -> None:
    """Measure each pair: misalignment, swapped partners, mutual information, clipping, copies across splits.

    Exit code 3: some images could not be read; the report says why. Suspect pairs alone leave it 0.
    """
    from nirgen.pairs import PairList
    from nirgen.pairs.check import TOLERANCE, check_pairs, clean_pairs
    from nirgen.pairs.report import write_report, write_sheet

    if clean_list is not None and drop_worse_than is None:
        raise typer.BadParameter("--clean-list goes with --drop-worse-than")
    out = out or listing.with_suffix(".check.parquet")
    clean_list = clean_list or listing.with_suffix(".clean.csv")
    for target in (out, clean_list, sheet):
        if target is not None and target.resolve() == listing.resolve():
            raise OutputError(f"{target}: is the list itself; name another file")
    pairs = PairList.read(listing, root, missing_ok=True)
    tolerance = TOLERANCE if drop_worse_than is None else drop_worse_than
    with progress("nothing was written") as report:
        rows = check_pairs(pairs, tolerance=tolerance, workers=workers, progress=partial(report, "check"))
    write_report(out, rows)
    _print_suspects(rows)
    typer.echo(f"report: {out}")
    if sheet is not None:
        shown = write_sheet(sheet, pairs, rows)
        typer.echo(f"the {shown} worst: {sheet}" if shown else f"no pair can be shown; {sheet} was not written")
    if drop_worse_than is not None:
        _write_clean(clean_pairs(pairs, rows, drop_worse_than), clean_list, len(rows))
    raise typer.Exit(3 if any(row.error for row in rows) else 0)


def _print_suspects(rows: list[Row]) -> None:
    from nirgen.pairs.report import worst_first

    reasons = Counter(reason for row in rows for reason in row.suspect)
    typer.echo(f"{len(rows)} pairs, {sum(not row.suspect for row in rows)} not suspect")
    for reason, number in reasons.most_common():
        typer.echo(f"{number:7} {reason}")
    suspects = worst_first(row for row in rows if row.suspect)
    for row in suspects[:_SHOWN]:
        shift = "" if row.shift is None or "unrelated" in row.suspect else f", {row.shift:.1f} px"
        others = {"fits the NIR of": row.fits_nir_of, "copy of": row.leak_of or row.duplicate_of}
        more = "".join(f", {what} {name}" for what, name in others.items() if name)
        typer.echo(f"{row.split}/{row.name}: {', '.join(row.suspect)}{shift}{more}")
        if row.error:
            typer.echo(f"  {row.error}", err=True)
    if len(suspects) > _SHOWN:
        typer.echo(f"... and {len(suspects) - _SHOWN} more, which are in the report")


def _write_clean(clean: PairList, path: Path, count: int) -> None:
    if not clean.pairs:
        raise OutputError(f"{path}: no pair would be left of {count}; raise --drop-worse-than")
    clean.write(path)
    typer.echo(f"{path}: {_counts(clean)}; {count - len(clean.pairs)} left out")


def _counts(pairs: PairList) -> str:
    counts = Counter(pair.split for pair in pairs.pairs)
    return ", ".join(f"{count} {split}" for split, count in sorted(counts.items()))
