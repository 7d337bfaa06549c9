"""`nirgen models`: list, describe, import and export models, and `nirgen export`: export one to ONNX."""

from __future__ import annotations

import json
import math
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Literal

from nirgen.cli import options
from nirgen.cli.options import argument, option
from nirgen.cli.output import announce, conclude, echo, echo_text
from nirgen.errors import counted

if TYPE_CHECKING:
    from nirgen.models.baselines import LinearConfig, TreesConfig
    from nirgen.models.config import AnyGeneratorConfig

app = options.Group(help="List, inspect, import and export models.")


@app.command("list")
def list_models(as_json: bool = options.AS_JSON) -> None:
    """List the embedded models."""
    from nirgen.models.catalog import embedded_models, read_header

    headers = {name: read_header(path) for name, path in embedded_models().items()}
    if as_json:
        echo_text(json.dumps({name: header["model_id"] for name, header in headers.items()}))
        return
    for name, header in headers.items():
        echo(f"{name}  {header['model_id'][:12]}  {header['licence']}")
    about = "The path of a .safetensors file that nirgen wrote, or of a run folder, names a model too."
    conclude(about, then=["models", "info", *list(headers)[:1]])


@app.command("info")
def info(
    model: str = argument("MODEL", "Embedded model, model file or run folder.", default="compact"),
    as_json: bool = options.AS_JSON,
) -> None:
    """Print a model's header and verify its hash.

    The header has architecture, size, training, metrics, licence and provenance.
    """
    from nirgen.models.catalog import architecture_of, find_model, read_extractor_config, verify

    path = find_model(model)
    file = f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
    extractor = read_extractor_config(path)
    if extractor is not None:
        if as_json:
            echo_text(extractor.model_dump_json(indent=2))
            return
        holds = "initial weights of an extractor (extractor.weights of a training); no complete model"
        _print_rows(
            {"file": file, "holds": holds, **{name: str(value) for name, value in extractor.model_dump().items()}}
        )
        return
    header, values = verify(path)
    if as_json:
        echo_text(json.dumps(header, indent=2, sort_keys=True))
        return
    training = header["training"]
    steps = f", {counted(training['steps'], 'step')}" if "steps" in training else ""
    rows = {
        "file": file,
        "model id": f"{header['model_id']} (verified)",
        "values": f"{values:,}",
        **_architecture_rows(architecture_of(header, path)),
        "trained on": f"{counted(len(training['pairs']), 'pair')}{steps}" if "pairs" in training else "not recorded",
        "licence": header["licence"],
        "provenance": header["provenance"] or "trained by nirgen",
        "written by": f"nirgen {header['nirgen']}",
    }
    rows |= {f"{metric['name']} ({metric['on']})": f"{metric['value']:g}" for metric in header["metrics"]}
    _print_rows(rows)
    conclude("", then=["translate", "PHOTOS", "nir", "--model", model])


def _architecture_rows(architecture: AnyGeneratorConfig | LinearConfig | TreesConfig) -> dict[str, str]:
    from nirgen.models.config import GeneratorConfig, NetworkConfig

    if not isinstance(architecture, NetworkConfig):
        return {"baseline": architecture.about}
    if not isinstance(architecture, GeneratorConfig):
        stride = math.lcm(architecture.stride, 32)  # as `nirgen.model.GeneratorModel`
        sides = f"padded to multiples of {stride}"
        sides += f", at least {architecture.least_side}" if architecture.least_side > stride else ""
        return {
            "generator": architecture.about,
            "output": f"{architecture.output_channels} channel(s)",
            "sides of images": f"{sides} pixels",
        }
    extractor = architecture.extractor
    return {
        "extractor": getattr(extractor, "name", extractor.kind),
        "attention": architecture.attention,
        "output": f"{architecture.output_channels} channel(s)",
    }


def _print_rows(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        echo(f"{name:<{width}}  {value}")


@app.command("import")
def import_model(
    source: Path = argument("SOURCE", "A .pt, .pth or .safetensors file to read."),
    target: Path = argument("TARGET", "The .safetensors file to write."),
    layout: Literal["auto", "released", "internimage", "pix2pix", "resnet", "irformer", "uvcgan", "bbdm"] = option(
        "Layout: a Pix2Next generator of its authors, an official InternImage classifier, or a generator of another "
        "system; resnet is CycleGAN's, pix2pixHD's and BCI's; auto goes by the tensors' names.",
        "--as",
        default="auto",
    ),
    licence: str | None = option(
        "Licence of the weights, as their owner states it.", of="models.importing:import_weights"
    ),
) -> None:
    """Import weights of another project.

    Reads tensors only; code in the file is never run. Without --as, generators are known by their tensors' names. An
    InternImage classifier becomes a file to initialize the
    extractor from (setting extractor.weights).
    """
    announce(f"reading {source}")
    from nirgen.models.importing import import_weights

    header = import_weights(source, target, layout, **options.given(licence=licence))
    what = (
        f"model {header['model_id'][:12]}" if "model_id" in header else f"an extractor of {header['tensors']} tensors"
    )
    conclude(f"{target}: {what}", then=["models", "info", target])


@app.command("export")
def export_model(
    model: str = argument("MODEL", "A model of the released architecture."),
    target: Path = argument("TARGET", "The .pt file to write."),
) -> None:
    """Export weights to the layout of the Pix2Next authors."""
    announce(f"reading {model}")
    from nirgen.models.catalog import find_model
    from nirgen.models.importing import export_weights

    conclude(f"{target}: {export_weights(find_model(model), target):,} values")


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
    from nirgen.models.catalog import find_model

    if output.suffix.lower() != f".{export_format}":
        raise ConfigError(f"{output}: the file's name must end in .{export_format}")
    path = find_model(model)
    import torch

    from nirgen.model import GeneratorModel
    from nirgen.models.checkpoint import load
    from nirgen.models.onnx import check_packages, export_onnx

    check_packages()
    loaded = GeneratorModel(*load(path), torch.device("cpu"))
    stride, difference = export_onnx(loaded.generator, loaded.header, loaded.stride, output)
    echo(f"sides are multiples of {stride}; the largest difference from torch is {difference:.1e}")
    verdict = f"{output}: model {loaded.id[:12]}, {output.stat().st_size / 1e6:.1f} MB"
    conclude(verdict, then=["translate", "PHOTOS", "nir", "--model", output])
