"""`nirgen.train` as a library: describe, train, judge."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nirgen import train
from nirgen.errors import NirgenError
from nirgen.models.catalog import read_header
from nirgen.models.checkpoint import build

if TYPE_CHECKING:
    from pathlib import Path

    from nirgen.pairs import PairList
    from nirgen.train.config import TrainConfig


def test_a_description_has_the_size_of_the_run(pairs: PairList, config: TrainConfig) -> None:
    parameters = sum(parameter.numel() for parameter in build(config.generator).parameters())
    assert train.describe(pairs, config) == train.Description(4, 4, (4, 4), 2, parameters, 4)
    with pytest.raises(NirgenError, match="no pairs in split 'train'"):
        train.describe(pairs.split("val"), config)


def test_a_judged_model_has_its_scores_in_header_and_card(pairs: PairList, config: TrainConfig, tmp_path: Path) -> None:
    model = train.train(pairs, config, tmp_path / "run").model
    before = read_header(model)["model_id"]
    whole, *_ = train.judge(model, pairs, device="cpu")
    assert [row.method for row in whole.rows] == ["model", "grey", "red", "linear"]
    psnr = whole.rows[0].estimates["psnr"].value
    header = read_header(model)
    assert header["model_id"] == before
    assert header["metrics"][0] == {
        "name": "PSNR dB",
        "value": round(psnr, 4),
        "on": "val, all: 2 images at 256x256",
    }
    assert f"| PSNR dB | {round(psnr, 4):g} | val, all" in (tmp_path / "run/card.md").read_text()


def test_the_settings_need_no_torch() -> None:
    code = (
        "import sys; import nirgen.train; from nirgen.train.config import TrainConfig; TrainConfig.paper(); "
        "print(sorted({'torch', 'timm', 'torchvision', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
