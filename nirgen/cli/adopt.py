"""`nirgen adopt`: make a translation folder of images that another program generated."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Literal

import typer

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option
from nirgen.cli.output import announce, bars, conclude, echo, echo_text, stoppable
from nirgen.errors import counted

_PIXELS = "translate.options:TranslateOptions"
_SHOWN = 3


def adopt(
    source: Path = argument("SRC", "Folder of RGB images."),
    generated: Path = argument("GENERATED", "Folder of the NIR images that another program generated from them."),
    out: Path = argument("OUT", "Translation folder to write."),
    name: str = option("Name of what generated the images, for provenance.", default=...),
    licence: str = option("Licence of the generated images.", default="unknown"),
    ending: list[str] | None = option(
        "Text that GENERATED adds to the names of SRC, such as _nir; repeatable. That of pix2pix, CycleGAN, pix2pixHD "
        "and BBDM is known.",
        "TEXT",
    ),
    resize: bool = flag("Resize generated images to the size of their source.", "--resize"),
    image_format: Literal["png", "jpg", "tif"] | None = option(
        "Image format of OUT.", "--format", of=f"{_PIXELS}.format"
    ),
    channels: Literal["1", "3"] | None = option("Channels of OUT's images; 3 are equal copies.", of=_PIXELS),
    damaged: Literal["fail", "keep"] | None = options.DAMAGED,
    redo: bool = flag("Take images again that are in OUT already.", "--redo"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Adopt NIR images that another program generated.

    Writes OUT as 'nirgen translate' would, with the images of GENERATED and a manifest, so that labels, datasets,
    browsing and curation work on them. Images are matched by their relative paths; an image of another size than its
    source fails.

    \b
    Examples:
      nirgen adopt photos results/test_latest/images nir --name "pix2pix of May"
      nirgen adopt photos diffused nir --name "SDXL img2img" --licence CC-BY-4.0 --ending _nir --resize
    """
    announce("reading file names", quiet=as_json)
    from nirgen.translate.adopt import adopt as adopt_images
    from nirgen.translate.options import RunOptions, TranslateOptions

    pixels = options.given(format=image_format, channels=channels and int(channels))
    with (
        stoppable("what is done stays; run the same command again to go on", second="exit", quiet=as_json) as stopped,
        bars(final="translate", hidden=as_json) as report,
    ):
        done = adopt_images(
            source,
            generated,
            out,
            name=name,
            licence=licence,
            endings=ending or (),
            resize=resize,
            options=TranslateOptions.read(pixels, where="the command line"),
            run=RunOptions.read({**options.given(damaged=damaged), "redo": redo}, where="the command line"),
            progress=report,
            stopped=stopped,
        )
    summary = done.summary
    if as_json:
        values = {**asdict(summary), "without": done.without, "unused": done.unused, "exit_code": summary.exit_code}
        echo_text(json.dumps(values))
        raise typer.Exit(summary.exit_code)
    for names, what in ((done.without, "of SRC have no generated image"), (done.unused, "of GENERATED have no source")):
        if names:
            more = ", ..." if len(names) > _SHOWN else ""
            echo(f"note: {len(names)} {what}: {', '.join(names[:_SHOWN])}{more}")
    for note, count in summary.notes:
        echo(f"note: {counted(count, 'image')}: {note}")
    for _, error in summary.failures:
        echo(f"failed: {error}", err=True)
    failed = f", {summary.failed} failed" if summary.failed else ""
    conclude(
        f"{out}: {summary.translated} adopted, {summary.unchanged} done already{failed}; {summary.seconds:.1f} s",
        then=("build-dataset", out, "LABELS", "DATASET"),
    )
    raise typer.Exit(summary.exit_code)
