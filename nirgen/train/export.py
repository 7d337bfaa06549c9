"""Results of a run: a model file of the averaged weights, and its card."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from nirgen.files import output_file
from nirgen.models.catalog import architecture_of, read_header
from nirgen.models.checkpoint import save
from nirgen.models.config import NetworkConfig
from nirgen.templates import render

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig
    from nirgen.train.state import State


def export_model(path: Path, state: State, pairs: PairList) -> None:
    """Write the averaged weights in half precision, with the settings and the training set in the header."""
    config, start = state.config, state.start_header
    weights = state.average.module.state_dict()
    tensors = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    before = start.get("training", {})
    earlier = [{name: value for name, value in before.items() if name not in {"pairs", "before"}}] if before else []
    earlier += before.get("before", [])
    seen = {(pair.get("name"), pair["nir_sha256"]): pair for pair in [*before.get("pairs", []), *entries_of(pairs)]}
    training: dict[str, Any] = {
        "config": _without_paths(config.model_dump(mode="json", exclude={"generator", "start_from"})),
        "pairs": list(seen.values()),
        "start_model_id": start.get("model_id"),
        "extractor_weights": _initial_weights(config),
        "before": earlier,
        "steps": state.step,
        "minutes": round(state.minutes, 1),
        "ema": config.optimizer.ema_decay > 0,
    }
    architecture = config.generator.without_initial_weights()
    save(path, tensors, architecture, training=training, licence=config.licence)


def entries_of(pairs: PairList) -> list[dict[str, str]]:
    """Return the entries of training pairs in a model's header."""
    return [{k: getattr(p, k) for k in ("name", "rgb_sha256", "nir_sha256", "sequence")} for p in pairs.pairs]


def write_card(model: Path, card: Path) -> None:
    """Write the card of a model file: training set, settings, scores and licence, all from the file's header."""
    header = read_header(model)
    absent = dict.fromkeys(("steps", "minutes", "ema", "start_model_id", "extractor_weights"))
    training = absent | {"config": {}} | header["training"]
    architecture = architecture_of(header, model)
    pairs = training.get("pairs", [])
    sequences = {pair.get("sequence") for pair in pairs}
    values = header | {"training": training, "pairs": len(pairs), "sequences": len(sequences)}
    values |= {"about": architecture.about, "baseline": not isinstance(architecture, NetworkConfig)}
    with output_file(card) as temporary:
        text = render("nirgen.train", "card.md.j2", name=model.parent.resolve().name, **values)
        temporary.write_text(text, encoding="utf-8")


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without the folders of this machine."""
    data = {name: value for name, value in settings["data"].items() if name not in {"pairs", "root", "rgb", "nir"}}
    perceptual = settings["losses"]["perceptual"]
    if perceptual["weights"] is not None:
        perceptual = perceptual | {"weights": PurePath(perceptual["weights"]).name}
    latent = settings["losses"]["latent"]
    if latent["weights"] is not None:
        latent = latent | {"weights": PurePath(latent["weights"]).name}
    return settings | {"data": data, "losses": settings["losses"] | {"perceptual": perceptual, "latent": latent}}


def _initial_weights(config: TrainConfig) -> str | None:
    """Return where the extractor's initial weights came from: a file's name, `timm`, or None."""
    if config.start_from is not None:
        return None
    extractor = getattr(config.generator, "extractor", None)
    file = getattr(extractor, "weights", None)
    if file is not None:
        return PurePath(file).name
    return "timm" if getattr(extractor, "pretrained", False) else None
