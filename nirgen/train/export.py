"""What a run ships: a model file of the averaged weights, and its card."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nirgen.files import output_file
from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import save

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.models.config import GeneratorConfig
    from nirgen.pairs import PairList
    from nirgen.train.state import State


def export_model(path: Path, state: State, pairs: PairList) -> None:
    """Write the averaged weights so far, in half precision, with all that made them, and their card beside them.

    Args:
        path: The file, ending in `.safetensors`; the card is `card.md` in its folder for `model.safetensors`, else
            `NAME.md`.
        state: The run.
        pairs: Those trained on.

    Raises:
        OutputError: A file can't be written.
    """
    config, start = state.config, state.start_header
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in state.average.module.state_dict().items()
    }
    seen_now = [
        {"name": p.name, "rgb_sha256": p.rgb_sha256, "nir_sha256": p.nir_sha256, "sequence": p.sequence}
        for p in pairs.pairs
    ]
    before = start.get("training", {})
    earlier = [{name: value for name, value in before.items() if name not in {"pairs", "before"}}] if before else []
    earlier += before.get("before", [])
    seen = {(pair.get("name"), pair["nir_sha256"]): pair for pair in [*before.get("pairs", []), *seen_now]}
    training: dict[str, Any] = {
        "config": _without_paths(config.model_dump(mode="json", exclude={"generator", "start_from"})),
        "pairs": list(seen.values()),
        "start_model_id": start.get("model_id"),
        "before": earlier,
        "steps": state.step,
        "minutes": round(state.minutes, 1),
        "ema": config.optimizer.ema_decay > 0,
    }
    save(path, tensors, _architecture(config.generator), training=training, licence=config.licence)


def write_card(model: Path, card: Path) -> None:
    """Write the card of a model file: what it was trained on, how, how well it does, under which licence.

    Args:
        model: The file; all that the card says comes from its header.
        card: The file to write.

    Raises:
        ModelError: The model can't be read.
        OutputError: The card can't be written.
    """
    header = read_header(model)
    training, settings = header["training"], header["training"].get("config", {})
    architecture = header["architecture"]
    sequences = {pair.get("sequence") for pair in training.get("pairs", [])}
    lines = [
        f"# Model card: `{model.parent.resolve().name}`",
        "",
        "An RGB to near-infrared generator, Pix2Next (Jin et al., *Technologies* 13(4):154, 2025).",
        "",
        f"- model_id: `{header['model_id']}`, written by nirgen {header['nirgen']}",
        f"- licence of the weights: {header['licence']}",
        f"- extractor: {architecture['extractor']['kind']}; output channels: {architecture['output_channels']}",
        f"- trained on {len(training.get('pairs', []))} pairs of {len(sequences)} sequences, whose names and hashes",
        "  are in the file (`nirgen models info MODEL --json`)",
        f"- {training.get('steps')} steps in {training.get('minutes')} minutes",
    ]
    if training.get("ema"):
        lines.append("- the weights are a moving average")
    if training.get("start_model_id"):
        lines.append(f"- started from the model `{training['start_model_id']}`")
    if settings:
        lines += ["", "## Losses and optimizer", "", "| setting | value |", "| --- | --- |"]
        for group in ("losses", "optimizer", "crops"):
            lines += [f"| {group}.{name} | {value} |" for name, value in settings.get(group, {}).items()]
    lines += ["", "## Numbers", ""]
    if header["metrics"]:
        lines += ["| metric | value | on |", "| --- | --- | --- |"]
        lines += [f"| {m['name']} | {m['value']:g} | {m['on']} |" for m in header["metrics"]]
    else:
        lines.append("None: it has not been judged on a split `val`.")
    lines += [
        "",
        "A generated image is a guess of what a NIR camera would have seen, made from visible light alone.",
        "It is meant for training data and experiments, not for measuring anything.",
        "",
    ]
    with output_file(card) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the places where files lay."""
    data = {name: value for name, value in settings["data"].items() if name not in {"pairs", "root"}}
    perceptual = settings["losses"]["perceptual"]
    if perceptual["weights"] is not None:
        perceptual = perceptual | {"weights": os.path.basename(perceptual["weights"])}  # noqa: PTH119 - a name alone
    return settings | {"data": data, "losses": settings["losses"] | {"perceptual": perceptual}}


def _architecture(config: GeneratorConfig) -> GeneratorConfig:
    """The architecture as a model file states it: where the extractor's first weights lay is no part of it."""
    if getattr(config.extractor, "weights", None) is None:
        return config
    return config.model_copy(update={"extractor": config.extractor.model_copy(update={"weights": None})})
