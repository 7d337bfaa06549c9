"""`nirgen make`: from photos and labels to a validated dataset, by the commands that one could run by hand."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option, refuse
from nirgen.cli.output import announce, chained, command_line, conclude, echo, echo_text, stoppable
from nirgen.cli.plans import check_asking
from nirgen.errors import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nirgen.recipe.make import ShortPath

_IN_PART = 3  # exit code


def make(
    ctx: typer.Context,
    paths: list[str] = argument(
        "PHOTOS [LABELS] OUT",
        "Folder of RGB images, their labels in any format that 'nirgen labels' reads, and the folder to write. Without "
        "LABELS, the images are translated and previewed.",
    ),
    real: tuple[Path, Path] | None = option(
        "Folder of real NIR images and their labels; without them, nothing can judge a detector.", "IMAGES LABELS"
    ),
    model: str | None = option("Embedded model, model file or run folder.  [default: compact]", "MODEL"),
    policy: str | None = option("Class policy of the labels.  [default: default]", "NAME|FILE"),
    split: str | None = option(
        "Split shares of real images whose labels state no split.", "SHARES", of="recipe.make:SHARES"
    ),
    device: str | None = options.DEVICE,
    allow_loss: bool = flag("Replace the dataset although it loses images, splits or decisions.", "--allow-loss"),
    dry_run: bool = options.DRY_RUN,
    yes: bool = flag("Build without asking.", "--yes -y"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Make a dataset of photos and labels in one command.

    Converts the labels, translates the labelled photos, plans, builds and validates a dataset, and writes a preview
    and a report. Prints the command of each step. The same command again does what has changed, or resumes. OUT holds
    labels.json, nir/, preview.png, dataset/ and report.html.

    Real images are split by recordings, which are sequences of their labels or folders; frame by frame if these are
    unknown or fewer than three.

    \b
    Examples:
      nirgen make photos out
      nirgen make photos labels.json out --yes
      nirgen make photos labels.json out --real nir nir.json --yes
    """
    photos, labels, out = _parse(paths)
    asks = labels is not None and not (yes or dry_run)
    refuse(labels is None and real is not None, "--real goes with LABELS: without them, no dataset is built")
    check_asking(asks=asks, as_json=as_json)
    announce("looking at the inputs", quiet=as_json)
    from nirgen.files import locked, make_folder
    from nirgen.recipe.make import ShortPath

    given = options.given(shares=split)
    job = ShortPath(photos, labels, out, real, model=model, policy=policy, device=device, **given)
    job.check()
    options.check_models([model] if model else [])
    if dry_run:
        _print_plan(job, as_json=as_json)
        return
    make_folder(job.records)
    busy = f"{out}: another 'nirgen make' is at work there; wait for it"
    with (
        stoppable("what is done stays; the same command goes on from there"),
        locked(job.records / "lock", busy=busy),
        chained(),
    ):
        loss = ["--allow-loss"] if allow_loss and job.dataset.exists() else []
        answers = [*(["--yes"] if yes else []), *loss]
        ran, codes, results = _run(ctx.find_root().command, job, answers, as_json=as_json)
    code = codes.get("validate") or max(codes.values(), default=0)
    if as_json:
        echo_text(json.dumps({"ran": ran, "results": results, "exit_code": code}, ensure_ascii=False))
    else:
        _conclude(job, ran, valid=not codes.get("validate"))
    raise typer.Exit(code)


def _parse(paths: Sequence[str]) -> tuple[Path, Path | None, Path]:
    refuse(len(paths) not in {2, 3}, "give PHOTOS LABELS OUT, or PHOTOS OUT to translate only")
    photos, *labels, out = map(Path, paths)
    return photos, labels[0] if labels else None, out


def _run(
    tree: Any, job: ShortPath, answers: Sequence[str], *, as_json: bool
) -> tuple[dict[str, str], dict[str, int], dict[str, Any]]:
    """Run the steps that are not up to date, the build with `answers`; return commands, exit codes and JSON results.

    Faults of single photos and errors that validation finds don't stop it.
    """
    from nirgen.recipe.make import NEW, carry_out

    ran: dict[str, str] = {}
    codes: dict[str, int] = {}
    results: dict[str, Any] = {}
    for step in job.steps():
        why = step.why(job.records)
        if not why:
            continue
        words = [*step.words, *step.answers, *(answers if step.name == "dataset" else [])]
        ran[step.name] = command_line(words)
        if not as_json:
            echo()
            if why != NEW:
                echo(f"# {why}")
            echo(f"$ {ran[step.name]}")
        printed = io.StringIO()
        with redirect_stdout(printed if as_json else sys.stdout):
            call = partial(_call, tree, [*words, *(["--json"] if as_json else [])])
            codes[step.name] = code = carry_out(step, job.records, call)
        if as_json and printed.getvalue():
            results[step.name] = json.loads(printed.getvalue())
        if code not in {0, _IN_PART} and not (step.name == "validate" and code == 1):
            raise typer.Exit(code)
    return ran, codes, results


def _call(tree: Any, words: list[str]) -> int:
    """Run a command in this process and return its exit code."""
    return int(tree.main(args=words, prog_name="nirgen", standalone_mode=False) or 0)


def _print_plan(job: ShortPath, *, as_json: bool) -> None:
    """Print each step's command and the reason to run it; nothing is written."""
    labelled = job.labelled()
    rows: list[dict[str, str]] = []
    for step in job.steps():
        why = step.why(job.records) or ("follows another" if any(row["why"] for row in rows) else "")
        rows.append({"step": step.name, "command": command_line([*step.words, *step.answers]), "why": why})
    if as_json:
        echo_text(json.dumps({"photos": labelled, "steps": rows}, ensure_ascii=False))
        return
    for row in rows:
        echo(f"{'run ' if row['why'] else 'skip'} {row['command']}")
        echo(f"     {row['why'] or 'up to date'}")
    echo(
        f"{labelled[0]} of {labelled[1]} photos {'have labels' if job.labels else 'to translate'}; nothing was written"
    )


def _conclude(job: ShortPath, ran: dict[str, str], *, valid: bool) -> None:
    same = "" if ran else "nothing has changed: "
    echo()
    if job.labels is None:
        wrote = [job.out / "nir", job.out / "preview.png"]
        conclude(f"{same}the photos are translated", wrote=wrote, then=["make", job.photos, "LABELS", job.out])
        return
    from nirgen.dataset.folder import read_dataset

    splits = {name: split["images"] for name, split in read_dataset(job.dataset).splits.items()}
    counts = ", ".join(f"{counted(count, 'image')} in {name}" for name, count in splits.items())
    wrote = [job.dataset, job.report, job.out / "preview.png"]
    state = "valid" if valid else "with errors, which are above and must be mended"
    conclude(f"{same}{counts}; {state}", wrote=wrote, then=["browse", job.dataset])
