"""`nirgen adapt`: fine-tune a model on a handful of pairs of a camera."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Literal

from nirgen.cli import options
from nirgen.cli.options import argument, option, refuse
from nirgen.cli.output import announce, conclude, echo, echo_text, progress, show

if TYPE_CHECKING:
    from nirgen.adapt.config import AdaptConfig
    from nirgen.adapt.verdict import ToneVerdict, Verdict
    from nirgen.pairs import PairList
    from nirgen.progress import Progress

_CONFIG = "adapt.config:AdaptConfig"


def adapt(
    model: str = argument("MODEL", "Embedded model, model file or run folder to start from."),
    pairs: Path = argument("PAIRS", "Pair list of 'nirgen pairs', or a folder; with --photos, a folder of NIR images."),
    out: Path = argument("OUT", "Folder to write or resume."),
    root: Path | None = options.ROOT,
    photos: Path | None = option("Photos to translate; PAIRS then holds NIR images without partners.", "DIR"),
    masks: list[Path] | None = option(
        "Class masks for --photos: those of the photos, then those of the NIR images.", "--masks DIR"
    ),
    what: Literal["auto", "all", "last", "low-rank"] | None = option(
        "Weights that change: all, those of the last layers, or a low-rank addition to each layer; auto chooses by "
        "cross-validation.",
        of=_CONFIG,
    ),
    steps: int | None = option("Most optimizer steps of a fit.  [default: from the number of pairs]", min=1),
    folds: int | None = option("Folds of the cross-validation.", min=2, of=_CONFIG),
    seed: int | None = option("Random seed for crops and their order.", min=0, of=_CONFIG),
    changes: list[str] | None = options.CHANGES,
    device: str | None = options.DEVICE,
    as_json: bool = options.AS_JSON,
) -> None:
    """Adapt a model to a camera by 3 to 200 of its RGB-NIR pairs.

    Cross-validates over sequences, prints a learning curve beside a linear map and boosted trees fitted to the same
    pairs, and says which to take. OUT holds the adapted model, or the old one if held-out pairs gain nothing. The same
    command resumes a stopped run. With --photos, matches the tones of NIR images that have no RGB partners.

    \b
    Examples:
      nirgen adapt compact pairs.csv my-camera
      nirgen adapt compact nir-images my-camera --photos photos
      nirgen translate photos nir --model my-camera
    """
    refuse(masks and (photos is None or len(masks) != 2), "--masks goes with --photos, and is given twice")
    announce("loading torch", quiet=as_json)
    options.check_models([model])
    from nirgen.adapt.config import AdaptConfig

    given = options.given(what=what, steps=steps, folds=folds, seed=seed)
    config = AdaptConfig.overlay({}, changes or [], given, where="adapt")
    verdict: Verdict | ToneVerdict
    with progress(f"what is finished is in {out}; the same command goes on from there") as report:
        if photos is not None:
            from nirgen.adapt.unpaired import adapt_tones

            both = (masks[0], masks[1]) if masks else None
            verdict = adapt_tones(model, pairs, photos, out, config, masks=both, device=device, progress=report)
        else:
            verdict = _adapt_to_pairs(model, _read_pairs(pairs, root), out, config, device, report)
    if as_json:
        echo_text(json.dumps(verdict.plain()))
        return
    _print(verdict)
    then = ["translate", photos or "PHOTOS", "nir", "--model", out]
    conclude("", wrote=[out / "model.safetensors"], then=then)


def _read_pairs(path: Path, root: Path | None) -> PairList:
    from nirgen.errors import NirgenError
    from nirgen.pairs import PairList, find_pairs

    if not path.is_dir():
        return PairList.read(path, root)
    try:
        return find_pairs(path)
    except NirgenError as error:
        remedy = "for NIR images without partners, give --photos DIR too"
        raise NirgenError(f"{error}; {remedy}") from error


def _adapt_to_pairs(
    model: str, pairs: PairList, out: Path, config: AdaptConfig, device: str | None, report: Progress
) -> Verdict:
    from nirgen.adapt.run import adapt as run
    from nirgen.adapt.run import usable

    chosen, left_out = usable(pairs, report)
    for line in left_out:
        echo(f"warning: {line}", err=True)
    return run(model, chosen, out, config, device=device, left_out=left_out, progress=report)


def _print(verdict: Verdict | ToneVerdict) -> None:
    columns = ("pairs", "method", "PSNR affine", "SSIM affine", "PSNR", "SSIM")
    rows = [
        (
            str(point.pairs),
            point.method,
            f"{point.scores.psnr_affine:.2f}",
            f"{point.scores.ssim_affine:.3f}",
            f"{point.scores.psnr:.2f}",
            f"{point.scores.ssim:.3f}",
        )
        for point in getattr(verdict, "curve", ())
    ]
    if rows:
        show(columns, rows, right={0, 2, 3, 4, 5})
    for line in verdict.lines():
        echo(line)
