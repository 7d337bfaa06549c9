from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import record_metrics
from nirgen.train.config import LossConfig
from nirgen.train.export import export_model, write_card
from nirgen.train.networks import build_networks
from nirgen.train.state import State

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig


def exported(config: TrainConfig, pairs: PairList, path: Path) -> Path:
    export_model(path, State(config, build_networks(config), torch.device("cpu")), pairs)
    return path


def test_a_card_says_what_the_header_says(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    named = config.model_copy(update={"licence": "CC BY 4.0"})
    model = exported(named, pairs.split("train"), tmp_path / "run/model.safetensors")
    record_metrics(model, [{"name": "PSNR dB", "value": 21.5, "on": "val, all: 2 images at 256x256"}])
    write_card(model, tmp_path / "run/card.md")
    card = (tmp_path / "run/card.md").read_text()
    assert card.startswith("# Model card: `run`\n")
    for line in (
        f"- model_id: `{read_header(model)['model_id']}`",
        "- licence of the weights: CC BY 4.0",
        "- trained on 4 pairs of 4 sequences",
        "| losses.ssim | 10.0 |",
        "| PSNR dB | 21.5 | val, all: 2 images at 256x256 |",
    ):
        assert line in card


def test_a_model_that_was_not_judged_says_so(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    write_card(exported(config, pairs, tmp_path / "model.safetensors"), tmp_path / "card.md")
    assert "None: it has not been judged on a split `val`." in (tmp_path / "card.md").read_text()


def test_pairs_that_share_an_image_are_all_listed(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    twice = type(pairs)(
        pairs.root,
        tuple(pair.__class__(**{**vars(pair), "nir_sha256": pairs.pairs[0].nir_sha256}) for pair in pairs.pairs),
    )
    header = read_header(exported(config, twice, tmp_path / "model.safetensors"))
    assert [pair["name"] for pair in header["training"]["pairs"]] == ["a", "b", "c", "d", "e", "f"]


def test_no_folder_gets_into_the_header(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    named = config.model_copy(
        update={"data": config.data.model_copy(update={"pairs": "/here/pairs.csv", "root": "/here"})}
    )
    training = read_header(exported(named, pairs, tmp_path / "model.safetensors"))["training"]
    assert "/here" not in str(training)
    assert training["config"]["losses"]["ssim"] == LossConfig().ssim
