"""The settings of a detector's training."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nirgen.config import differences, flat
from nirgen.detect.config import DEFAULT_MODEL, PLAIN, DetectConfig
from nirgen.errors import ConfigError


def test_the_default_is_a_small_rt_detr() -> None:
    config = DetectConfig()
    assert (config.model, config.size, config.seed) == (DEFAULT_MODEL, 640, 0)
    assert DEFAULT_MODEL == "PekingU/rtdetr_v2_r18vd"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch": 0}, "here: 'batch': Input should be greater than or equal to 1 (it is 0)"),
        ({"size": 100}, "here: 'size': 100 is no multiple of 32; the next one is 128"),
        ({"stpes": 3}, "here: unknown key 'stpes'; did you mean 'steps'?"),
        ({"augment": {"flop": 1}}, "here: unknown key 'augment.flop'; did you mean 'flip'?"),
        ({"learning_rate": 0}, "here: 'learning_rate': Input should be greater than 0 (it is 0)"),
    ],
)
def test_settings_that_can_not_be_used_are_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DetectConfig.read(values, where="here")
    assert str(caught.value) == message


def test_what_changes_the_weights_differs_and_what_does_not_does_not() -> None:
    old, new = DetectConfig(steps=10, workers=0), DetectConfig(steps=20, workers=3, augment={"flip": 0})
    assert differences(old, new, ignored=PLAIN) == ["augment.flip: 0.5 -> 0.0", "steps: 10 -> 20"]


def test_the_precision_of_older_files_is_read() -> None:
    assert DetectConfig.read({"precision": "float32"}, where="here") == DetectConfig(precision="fp32")


def test_the_page_has_every_setting_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs/detect.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| `([^`]+)` \|", page, re.MULTILINE)
    assert {name: yaml.safe_load(value) for name, value in rows} == flat(DetectConfig().model_dump(mode="json"))
