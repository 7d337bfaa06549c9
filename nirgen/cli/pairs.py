"""`nirgen pairs`: lists of aligned RGB-NIR pairs, for training and judging, and a check of what they hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Literal

import typer
from typer.core import TyperGroup

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, conclude, echo, progress
from nirgen.errors import OutputError, counted

if TYPE_CHECKING:
    from nirgen.files import WrittenFile
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
    help="List and check RGB-NIR pairs.\n\n'nirgen pairs ROOT' is short for 'nirgen pairs list ROOT'.",
)


@app.command("list")
def list_pairs(
    out: Path = option("CSV file to write.", "--out -o FILE", default=...),
    root: Path | None = argument("[ROOT]", "Folder of the pairs, or a CSV with columns rgb and nir.", default=None),
    layout: str = option(
        "Folder layout: auto, splits, folders, pix2pix, side-by-side, ranus, idd-aw, flir or csv.",
        "NAME",
        default="auto",
    ),
    rgb: Path | None = option("Folder of RGB images, in place of ROOT.", "DIR"),
    nir: Path | None = option("Folder of NIR images, with --rgb.", "DIR"),
    rgb_suffix: str | None = option("Ending of RGB file stems.  [default: _rgb, -rgb, _vis...]"),
    nir_suffix: str | None = option("Ending of NIR file stems.  [default: _nir, -nir, _ir...]"),
    direction: Literal["AtoB", "BtoA"] = option(
        "Direction of pix2pix layouts; AtoB: A, or the left half, is RGB.", default="AtoB"
    ),
    index: Path | None = option("CSV with columns name, scene_group or sequence, and optionally category.", "FILE"),
    split: str | None = option("Split shares to divide the pairs by: train=0.8,val=0.1,test=0.1.", "SHARES"),
    split_by: Literal["sequence", "frame"] | None = option(
        "Unit that --split keeps whole.", of="pairs.find:Division.by"
    ),
    seed: int | None = option("Random seed of --split.", min=0, of="pairs.find:Division"),
    skip_bad: bool = flag("Leave out pairs that can't be used, instead of ending with their list.", "--skip-bad"),
) -> None:
    """List RGB-NIR pairs with splits, sequences and hashes.

    Matches RGB and NIR images by file stem and writes a CSV for 'nirgen train' and 'nirgen evaluate'.

    \b
    Examples:
      nirgen pairs ranus -o pairs.csv
      nirgen pairs --rgb photos --nir nir --split train=0.9,val=0.1 -o pairs.csv
    """
    from nirgen.pairs.duplicates import copies_across_splits, describe_copies
    from nirgen.pairs.find import Division, find_pairs, parse_shares
    from nirgen.pairs.layouts import LAYOUTS, recognise
    from nirgen.pairs.matching import Rules

    refuse((rgb is None) != (nir is None), "--rgb and --nir go together")
    refuse(rgb is None and root is None, "name ROOT, or two folders with --rgb and --nir")
    folders = (rgb, nir) if rgb is not None and nir is not None else None
    if folders is None and root is not None and layout == "auto" and root.exists():
        layout = recognise(root)
    announce("hashing images")
    faults: list[str] = []
    with progress("nothing was written") as report:
        found = find_pairs(
            root,
            index,
            layout=layout,
            folders=folders,
            rules=Rules(rgb_suffix, nir_suffix, rgb_first=direction == "AtoB"),
            division=Division(parse_shares(split) if split else {}, **options.given(by=split_by, seed=seed)),
            leave_out=faults.append if skip_bad else None,
            progress=report,
        )
    written = found.write(out)
    left_out = f"; {len(faults)} left out" if faults else ""
    echo(f"{out}: {_counts(found)}; {'two folders' if folders else f'layout {layout}'}{left_out}")
    for fault in faults:
        echo(f"left out: {fault}", err=True)
    copies = copies_across_splits(found.pairs)
    if copies:
        echo(f"warning: {describe_copies(copies)}; 'nirgen train' refuses such a list", err=True)
    if folders is None and LAYOUTS[layout].note:
        echo(f"note: {LAYOUTS[layout].note}", err=True)
    given_root = _root_option(found, out)
    if given_root:
        echo(f"note: paths are relative to {found.root}; give that folder with --root", err=True)
    written.check()
    conclude("", then=["pairs", "check", out, *given_root])


@app.command("check")
def check(
    listing: Path = argument("LIST", "Pair list of 'nirgen pairs'."),
    root: Path | None = options.ROOT,
    out: Path | None = option("Parquet file to write.  [default: LIST.check.parquet]", "--out -o FILE"),
    sheet: Path | None = option("Contact sheet of the worst pairs to write.", "FILE.png"),
    drop_worse_than: float | None = option(
        "Largest misalignment in pixels of the clean list.  [default: 3]", "PX", min=0
    ),
    clean_list: Path | None = option(
        "List to write of the pairs without damaged, unrelated, misaligned and copied ones.  [default: LIST.clean.csv]",
        "FILE",
    ),
    damaged: Literal["fail", "keep"] | None = options.DAMAGED,
    alpha: Literal["blend", "ignore"] | None = options.ALPHA,
    white_level: str | None = options.WHITE_LEVELS,
    workers: int | None = option("Processes.  [default: up to 4]", min=1),
) -> None:
    """Check RGB-NIR pairs for misalignment and other faults.

    Measures misalignment, swapped partners, mutual information, clipping and copies across splits; writes a row per
    pair, and the list without the unusable ones; prints the suspect ones.
    """
    announce("measuring pairs")
    from nirgen.files import check_written
    from nirgen.images import Readings
    from nirgen.pairs import PairList, check_pairs, clean_pairs
    from nirgen.pairs.check import TOLERANCE
    from nirgen.pairs.listing import check_report_of, clean_list_of
    from nirgen.pairs.report import write_report, write_sheet

    out = out or check_report_of(listing)
    asked = clean_list is not None or drop_worse_than is not None
    clean_list = clean_list or clean_list_of(listing)
    for target in (out, clean_list, sheet):
        if target is not None and target.resolve() == listing.resolve():
            raise OutputError(f"{target}: is the list itself; name another file")
    given = options.given(damaged=damaged, alpha=alpha)
    readings = Readings.of(**given, white_levels=options.parse_white_levels(white_level))
    pairs = replace(PairList.read(listing, root, missing_ok=True), readings=readings)
    tolerance = TOLERANCE if drop_worse_than is None else drop_worse_than
    with progress("nothing was written") as report:
        rows = check_pairs(pairs, tolerance=tolerance, workers=workers, progress=report)
    written = [write_report(out, rows)]
    _print_suspects(rows)
    _print_notes(rows)
    echo(f"report: {out}")
    if sheet is not None:
        shown, file = write_sheet(sheet, pairs, rows)
        written += [] if file is None else [file]
        echo(f"the {shown} worst: {sheet}" if shown else f"no pair can be shown; {sheet} was not written")
    clean = clean_pairs(pairs, rows, tolerance)
    if clean.pairs or asked:
        written.append(_write_clean(clean, clean_list, len(rows)))
        check_written(written)
        conclude("", then=["train", "compact", "RUN", "--pairs", clean_list, *_root_option(clean, clean_list)])
    else:
        echo(f"{clean_list} was not written: no pair would be left of {len(rows)}", err=True)
        check_written(written)
    raise typer.Exit(3 if any(row.error for row in rows) else 0)


def _root_option(pairs: PairList, listing: Path) -> list[str | Path]:
    """Return the option that names the folder of the images, unless it is the list's own."""
    return [] if pairs.root.resolve() == listing.parent.resolve() else ["--root", pairs.root]


def _print_suspects(rows: list[Row]) -> None:
    from nirgen.pairs.report import worst_first

    reasons = Counter(reason for row in rows for reason in row.suspect)
    echo(f"{counted(len(rows), 'pair')}, {sum(not row.suspect for row in rows)} not suspect")
    for reason, number in reasons.most_common():
        echo(f"{number:7} {reason}")
    suspects = worst_first(row for row in rows if row.suspect)
    for row in suspects[:_SHOWN]:
        shift = "" if row.shift is None or "unrelated" in row.suspect else f", {row.shift:.1f} px"
        shift += f" (median of {row.parts} of 16 parts, which shift differently)" if shift and row.parts else ""
        others = {"fits the NIR of": row.fits_nir_of, "copy of": row.leak_of or row.duplicate_of}
        more = "".join(f", {what} {name}" for what, name in others.items() if name)
        echo(f"{row.split}/{row.name}: {', '.join(row.suspect)}{shift}{more}")
        if row.error:
            echo(f"  {row.error}", err=True)
    if len(suspects) > _SHOWN:
        echo(f"... and {len(suspects) - _SHOWN} more, which are in the report")


def _print_notes(rows: list[Row]) -> None:
    """Print the notes on the pairs; that on dark samples only if it is one of all."""
    from nirgen.images import DARK_NOTE

    notes = Counter(note for row in rows if row.note for note in row.note.split("; "))
    readable = sum(row.error is None for row in rows)
    for note, count in notes.most_common():
        if note != DARK_NOTE or count == readable:
            echo(f"note: {counted(count, 'pair')}: {note}", err=True)


def _write_clean(clean: PairList, path: Path, count: int) -> WrittenFile:
    if not clean.pairs:
        raise OutputError(f"{path}: no pair would be left of {count}; raise --drop-worse-than")
    written = clean.write(path)
    echo(f"{path}: {_counts(clean)}; {count - len(clean.pairs)} left out")
    return written


def _counts(pairs: PairList) -> str:
    counts = Counter(pair.split for pair in pairs.pairs)
    return ", ".join(f"{count} {split}" for split, count in sorted(counts.items()))
