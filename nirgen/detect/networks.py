"""Detection networks of transformers: loaded by name, from a folder or fresh, with heads for given categories."""

from __future__ import annotations

import copy
import importlib.util
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn

from nirgen.errors import ConfigError, ModelError, OutputError, first_line

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from torch import Tensor


FRESH = ("fresh", "fresh-tiny")
KINDS = ("rt_detr_v2", "d_fine", "rt_detr")  # detectors with a sigmoid per label, and boxes as shares of a square
_SIZE = 640
_WEIGHTS = "model.safetensors"
_HEADS = re.compile(r"\b(class_embed\.\d+|enc_score_head|denoising_class_embed)$")


@dataclass(frozen=True)
class Network:
    """A network of transformers, and its preprocessing."""

    model: nn.Module  # on the CPU
    labels: tuple[str, ...]  # its own, in their order
    size: int = _SIZE  # side of the square training images, in pixels
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # subtracted from each channel in [0, 1]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)  # divides the result

    def normalise(self, pixels: Tensor) -> Tensor:
        """Convert images to the model's input: (N, S, S, 3) uint8 -> (N, 3, S, S) float32, on the same device."""
        shares = pixels.permute(0, 3, 1, 2).float().div(255)
        mean, std = (shares.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (shares - mean) / std


def read_network(name: str, *, categories: Sequence[str], seed: int = 0) -> Network:
    """Load a network from a folder, the hub's cache or the hub, in this order; or make a fresh one.

    Categories and seed are those of a fresh network, whose `name` is one of `FRESH`; any other keeps its labels.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError("detection needs transformers, which isn't installed; pip install 'nirgen[detect]'")
    if name in FRESH:
        return _fresh(tiny=name == "fresh-tiny", categories=categories, seed=seed)
    is_folder = Path(name).is_dir()
    if is_folder and not (Path(name) / "config.json").is_file():
        raise ModelError(f"{name}: no model (no config.json); name a run folder, or one that transformers wrote")
    try:
        with quiet():
            try:
                return _read(name, here=True)
            except OSError:
                if is_folder:
                    raise
                return _read(name, here=False)
    except ModelError:
        raise
    except Exception as error:  # the hub's, the file's or transformers' own, which aren't documented
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:160].rstrip(". ")
        if is_folder:
            raise ModelError(f"{name}: can't be read ({reason}); get its config.json and {_WEIGHTS} again") from error
        raise ModelError(
            f"{name}: no folder here, and not to be had from the hub ({reason}); copy its config.json, "
            f"preprocessor_config.json and {_WEIGHTS} into a folder, and give that; 'fresh-tiny' needs no hub, to try "
            "it"
        ) from error


@contextmanager
def quiet() -> Generator[None]:
    """Silence progress bars and warnings of transformers and of the hub's client."""
    import huggingface_hub.utils
    import transformers.utils

    logging: Any = transformers.utils.logging
    hub: Any = huggingface_hub.utils.logging
    verbosity, of_hub, bars = logging.get_verbosity(), hub.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.set_verbosity(of_hub)
        if bars:
            logging.enable_progress_bar()


@torch.no_grad()
def give_heads(network: Network, categories: Sequence[str], sources: Sequence[Sequence[int]]) -> Network:
    """Return a copy of a network whose labels are the given categories; `sources` are those of `find_sources`.

    A category takes the rows of its first label in every head: of the encoder's scores, of each decoder layer's, and of
    the embedding that denoising starts from. A category without a label starts from the mean of all labels' rows.
    """
    model: Any = copy.deepcopy(network.model)
    count = len(network.labels)
    replaced: dict[int, nn.Linear | nn.Embedding] = {}  # by the weight: a head may stand in several places

    def rows(old: Tensor) -> Tensor:
        mean = old[:count].mean(0)
        return torch.stack([old[which[0]] if which else mean for which in sources])

    for path, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            if not _HEADS.search(f"{path}.{name}"):
                continue
            weight, smaller = child.weight, replaced.get(id(child.weight))
            if smaller is None and isinstance(child, nn.Linear) and child.out_features == count:
                smaller = nn.Linear(child.in_features, len(sources), device=weight.device, dtype=weight.dtype)
                smaller.weight.copy_(rows(weight))
                smaller.bias.copy_(rows(child.bias))
            elif smaller is None and isinstance(child, nn.Embedding) and child.num_embeddings == count + 1:
                size = len(sources)
                smaller = nn.Embedding(size + 1, child.embedding_dim, padding_idx=size, device=weight.device)
                smaller.weight.copy_(torch.cat([rows(weight), weight[count:]]))  # the last row stands for no object
            if smaller is not None:
                replaced[id(weight)] = smaller
                setattr(parent, name, smaller)
    model.config.id2label = dict(enumerate(categories))
    model.config.label2id = {name: position for position, name in enumerate(categories)}
    return replace(network, model=model, labels=tuple(categories))


def write_network(folder: Path, model: nn.Module, network: Network, size: int) -> None:
    """Write a model of the network's kind and labels, trained on squares of `size` pixels, as transformers reads it.

    Raises:
        OutputError: The weights can't be written.
    """
    from transformers import RTDetrImageProcessor

    written: Any = model
    with quiet():
        try:
            written.save_pretrained(folder)
        except SafetensorError as error:  # no OSError, whatever the disk says
            raise OutputError(f"{folder / _WEIGHTS}: {first_line(error)}") from error
        RTDetrImageProcessor(
            size={"height": size, "width": size},
            do_normalize=network.mean != (0.0, 0.0, 0.0) or network.std != (1.0, 1.0, 1.0),
            image_mean=list(network.mean),
            image_std=list(network.std),
        ).save_pretrained(folder)
    permissions = (folder / "config.json").stat().st_mode
    (folder / _WEIGHTS).chmod(stat.S_IMODE(permissions))  # transformers lets its owner alone read it


def _read(name: str, *, here: bool) -> Network:
    """Load a model; `here` asks no hub, and raises an OSError for a missing file."""
    from transformers import AutoConfig, AutoModelForObjectDetection

    safe = {"local_files_only": here, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(name, **safe)
    if config.model_type not in KINDS:
        raise ModelError(f"{name}: a model of the kind '{config.model_type}'; nirgen takes {', '.join(KINDS)}")
    config.anchor_image_size = None  # it would fix the input size
    config.eval_size = None
    model, found = AutoModelForObjectDetection.from_pretrained(
        name, config=config, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **safe
    )
    missing = sorted(key for key in found["missing_keys"] if not key.endswith("num_batches_tracked"))
    if missing:
        raise ModelError(f"{name}: lacks {len(missing)} tensors, such as '{missing[0]}'; get its {_WEIGHTS} again")
    labels = tuple(config.id2label[position] for position in range(config.num_labels))
    return Network(model, labels, *_preprocessing(name, here=here))


def _preprocessing(name: str, *, here: bool) -> tuple[int, tuple[float, float, float], tuple[float, float, float]]:
    """Return size, mean and std of preprocessor_config.json; the defaults if there is none."""
    from transformers import RTDetrImageProcessor

    try:
        values, _ = RTDetrImageProcessor.get_image_processor_dict(name, local_files_only=here)
    except OSError:
        if here and not Path(name).is_dir():  # the hub may have it
            raise
        values = {}
    size = (values.get("size") or {}).get("height", _SIZE)
    if not values.get("do_normalize", False):
        return size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = (tuple(float(value) for value in values[key]) for key in ("image_mean", "image_std"))
    return size, mean, std  # type: ignore[return-value]


def _fresh(*, tiny: bool, categories: Sequence[str], seed: int) -> Network:
    """Build an RT-DETRv2 with random weights: with a ResNet-18, or a tiny one of 150,000 weights."""
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    widths = [8, 16, 24, 32] if tiny else [64, 128, 256, 512]
    of_backbone: dict[str, Any] = {"embedding_size": widths[0], "hidden_sizes": widths, "out_indices": [2, 3, 4]}
    alike: dict[str, Any] = {"dtype": "float32"}  # as in a loaded model
    backbone = RTDetrResNetConfig(depths=[1] * 4 if tiny else [2] * 4, layer_type="basic", **of_backbone, **alike)
    sizes: dict[str, Any] = {"hidden_expansion": 0.5, "decoder_layers": 2 if tiny else 3}
    if tiny:
        sizes |= {"d_model": 32, "num_queries": 30, "num_denoising": 10, "decoder_in_channels": [32, 32, 32]}
        sizes |= {"encoder_hidden_dim": 32, "encoder_ffn_dim": 64, "encoder_attention_heads": 4}
        sizes |= {"decoder_ffn_dim": 64, "decoder_attention_heads": 4}
    config = RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=widths[1:],
        freeze_backbone_batch_norms=False,  # their statistics are random
        id2label=dict(enumerate(categories)),
        label2id={name: position for position, name in enumerate(categories)},
        **sizes,
        **alike,
    )
    with torch.random.fork_rng([]):  # weights are drawn on the CPU
        torch.default_generator.manual_seed(seed)
        model = RTDetrV2ForObjectDetection(config)
    return Network(model, tuple(categories))
