from __future__ import annotations

from typing import Any

import pytest

from nirgen.errors import ConfigError
from nirgen.models.config import NAMED_GENERATORS, GeneratorConfig, InternImageConfig, NoExtractorConfig, TimmConfig
from nirgen.models.extractors import build_extractor
from nirgen.models.generator import Pix2Next
from nirgen.train.config import TrainConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"norm_groups": 24}, "norm_groups is 24, which doesn't divide the 128 channels at encoder.0.0"),
        (
            {"encoder": ((128,), (96,)), "decoder": ((64,), (128,)), "norm_groups": 64},
            "norm_groups is 64, which doesn't divide the 96 channels at encoder.1.0",
        ),
        (
            {"attention_heads": 3},
            "attention_heads is 3, which doesn't divide the 512 channels of the encoder's attention",
        ),
        (
            {"attention_heads": 3, "attention": "B"},
            "attention_heads is 3, which doesn't divide the 512 channels of the bottleneck's attention",
        ),
        ({"encoder": (), "decoder": ()}, "'encoder': Tuple should have at least 1 item after validation, not 0"),
        ({"encoder": ((0,),), "decoder": ((8,),)}, "'encoder.0.0': Input should be greater than or equal to 1"),
        ({"extractor": {"kind": "internimage", "groups": (0, 1, 1, 1)}}, "groups.0': Input should be greater than"),
        ({"extractor": {"kind": "internimage", "groups": (7, 16, 32, 64)}}, "not divisible by 7 groups"),
    ],
)
def test_sizes_that_no_network_can_have_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GeneratorConfig.read(values, where="run.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_stride_is_the_networks(small_config: GeneratorConfig) -> None:
    with_extractor = GeneratorConfig.compact(
        extractor=InternImageConfig(width=8, depths=(1, 1, 1, 1), groups=(1, 1, 1, 1))
    )
    for config, stride in ((small_config, 2), (with_extractor, 32)):
        assert config.stride == Pix2Next(config, build_extractor(config)).stride == stride


@pytest.mark.parametrize("name", NAMED_GENERATORS)
def test_every_named_generator_is_a_configuration_that_can_be_read(name: str) -> None:
    config = NAMED_GENERATORS[name]()
    assert GeneratorConfig.read(config.model_dump(mode="json"), where=name) == config


@pytest.mark.parametrize(
    ("named", "config"),
    [
        ("compact", GeneratorConfig.compact()),
        ({"preset": "compact", "attention": "B"}, GeneratorConfig.compact(attention="B")),
        ({"extractor": "none"}, GeneratorConfig(extractor=NoExtractorConfig())),
        ({"extractor": "internimage-large"}, GeneratorConfig(extractor=InternImageConfig.large())),
        (
            {"preset": "compact", "extractor": "resnet18"},
            GeneratorConfig.compact(extractor=TimmConfig(name="resnet18")),
        ),
    ],
)
def test_names_stand_for_configurations(named: Any, config: GeneratorConfig) -> None:
    assert GeneratorConfig.model_validate(named) == config
    assert TrainConfig.read({"generator": named}, where="run.yaml").generator == config


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (
            "compct",
            "'generator': no generator 'compct'; did you mean 'compact'? (there are paper, released, released-swinv2, ",
        ),
        ({"preset": "papr"}, "'generator': no generator 'papr'; did you mean 'paper'?"),
        ({"extractor": "internimage-tinny"}, "no extractor 'internimage-tinny'; did you mean 'internimage-tiny'?"),
        ({"extractor": {"kind": "tim", "name": "x"}}, "'generator.extractor': no kind 'tim'; did you mean 'timm'?"),
        (
            {"extractor": {"kind": "timm", "nam": "x"}},
            "unknown key 'generator.extractor.timm.nam'; did you mean 'name'?",
        ),
        (
            {"extractor": {"kind": "timm", "name": "x", "pretraind": True}},
            "unknown key 'generator.extractor.timm.pretraind'; did you mean 'pretrained'?",
        ),
    ],
)
def test_a_mistyped_name_is_one_line_with_the_nearest_known(generator: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.read({"generator": generator}, where="run.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistyped_key_inside_a_tuple_is_named_with_the_nearest_known() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'stages\.0\.szie'; did you mean 'size'\?"):
        TrainConfig.read({"stages": [{"share": 1, "szie": 64}]}, where="run.yaml")
