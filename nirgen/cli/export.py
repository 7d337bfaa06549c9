"""`nirgen export`: export a model as ONNX."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Literal

import typer

from nirgen.cli.options import argument, option
from nirgen.cli.output import announce


def export(
    model: str = argument("MODEL", "Embedded model, model file or run folder."),
    output: Path = option("File to write.", "--output -o FILE.onnx", default=...),
    export_format: Literal["onnx"] = option("Export format.", "--format", default="onnx"),
) -> None:
    """Export a model to ONNX.

    Input: rgb, (N, 3, H, W) float32 in [0, 1], H and W multiples of the stride in the file's metadata. Output: nir,
    (N, C, H, W) float32 in [0, 1]. The file is kept only if ONNX Runtime reproduces torch's output.
    """
    announce(f"loading the model {model}")
    from nirgen.errors import ConfigError
    from nirgen.model import load_model
    from nirgen.models.onnx import check_packages, export_onnx

    if output.suffix.lower() != f".{export_format}":
        raise ConfigError(f"{output}: the file's name must end in .{export_format}")
    check_packages()
    loaded = load_model(model, device="cpu", precision="fp32")
    difference = export_onnx(loaded.generator, loaded.header, loaded.stride, output)
    typer.echo(f"{output}: model {loaded.id[:12]}, {output.stat().st_size / 1e6:.1f} MB")
    typer.echo(f"sides are multiples of {loaded.stride}; the largest difference from torch is {difference:.1e}")
