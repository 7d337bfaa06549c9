"""`nirgen explain`: where a box or an image of a dataset comes from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - Typer reads the annotations

from nirgen.cli import options
from nirgen.cli.options import argument, flag, option
from nirgen.cli.output import announce, conclude, echo, echo_text, show


def explain(
    dataset: Path = argument("D", "Dataset of 'nirgen build-dataset'."),
    wanted: str = argument("ID", "Id or key of an annotation or image, or an image file."),
    image: bool = flag("Read a number as an image id, not an annotation id.", "--image"),
    picture: Path | None = option("Picture to write: the surroundings of the box in RGB and NIR.", "FILE.png"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Show the provenance of a box or an image.

    Prints source label, source image, model, and every step between. Of what a curator removed, or the build left out,
    it says who did and why.

    \b
    Examples:
      nirgen explain dataset 17
      nirgen explain dataset bdd/0001.jpg --picture box.png
    """
    announce("reading the dataset", quiet=as_json)
    from nirgen.explain import AbsentError, lines, write_picture
    from nirgen.explain import explain as find

    try:
        found = find(dataset, wanted, image=image)
    except AbsentError as absent:
        echo_text(json.dumps({"kind": "absent", "why": str(absent)}, ensure_ascii=False) if as_json else str(absent))
        return
    if picture is not None:
        write_picture(found, picture)
    if as_json:
        echo_text(json.dumps(asdict(found), indent=2, ensure_ascii=False))
        return
    show(("", ""), [([(name, "bold")], text) for name, text in lines(found)])
    if found.note:
        echo(f"note: {found.note}", err=True)
    conclude("", wrote=[] if picture is None else [picture], then=["browse", dataset])
