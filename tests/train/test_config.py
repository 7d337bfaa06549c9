from __future__ import annotations

import pytest

from nirgen.config import differences
from nirgen.errors import ConfigError
from nirgen.models.config import GeneratorConfig, NoExtractorConfig
from nirgen.train.config import PRESETS, TrainConfig


def test_the_papers_losses_are_one_adversarial_ten_feature_matching_and_ten_ssim() -> None:
    config = TrainConfig.paper()
    weights = config.losses.adversarial, config.losses.feature_matching, config.losses.ssim, config.losses.pixel
    assert weights == (1, 10, 10, 0)
    assert (config.losses.gan, config.discriminator.norm, config.discriminator.scales) == ("vanilla", "instance", 3)
    assert (config.optimizer.learning_rate, config.optimizer.schedule) == (1e-4, "cosine")
    assert [(stage.size, stage.adversarial) for stage in config.stages] == [(256, True)]


def test_the_released_procedure_has_its_slips() -> None:
    config = TrainConfig.released()
    assert config.generator == GeneratorConfig.released()
    assert (config.losses.gan, config.discriminator.norm, config.losses.ssim_range) == ("lsgan", "batch", "batch")
    perceptual = config.losses.perceptual
    assert (perceptual.weight, perceptual.target, perceptual.teaches) == (5, "rgb", False)
    assert (config.optimizer.schedule, config.optimizer.betas) == ("released", (0.5, 0.999))
    assert (config.stages[0].batch, config.epochs, config.initialization) == (3, 1000, "normal")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_being_written_and_read(name: str) -> None:
    config = PRESETS[name]()
    assert TrainConfig.read(config.model_dump(mode="json"), where="file") == config
    assert TrainConfig.read({"preset": name}, where="file") == config


def test_changes_are_laid_over_a_preset() -> None:
    values = {"preset": "compact", "generator": {"extractor": "none"}, "losses": {"ssim": 3}, "seed": 5}
    config, compact = TrainConfig.read(values, where="file"), TrainConfig.compact()
    assert config.generator == compact.generator.model_copy(update={"extractor": NoExtractorConfig()})
    assert (config.losses.ssim, config.losses.pixel) == (3, compact.losses.pixel)
    assert (config.seed, config.stages) == (5, compact.stages)


def test_differences_name_each_setting_with_both_values() -> None:
    old = TrainConfig.compact()
    stages = (old.stages[0].model_copy(update={"size": 192}), *old.stages[1:])
    new = old.model_copy(update={"losses": old.losses.model_copy(update={"ssim": 3.0}), "stages": stages})
    assert differences(old, new) == ["losses.ssim: 1.0 -> 3.0", "stages.0.size: 256 -> 192"]
    assert differences(old, old) == []


def test_the_precision_of_older_files_is_read() -> None:
    old = TrainConfig.compact().model_dump(mode="json") | {"compute": {"precision": "float32"}}
    config = TrainConfig.read(old, where="config.yaml")
    assert (config.compute.precision, config.model_dump(mode="json")["compute"]["precision"]) == ("fp32", "fp32")
    with pytest.raises(ConfigError, match=r"'compute.precision': Input should be 'auto', 'fp32', 'bf16' or 'fp16'"):
        TrainConfig.read({"compute": {"precision": "float16"}}, where="config.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"preset": "papre"},
            "run.yaml: no preset 'papre'; did you mean 'paper'? (there are paper, released, compact, irformer, ",
        ),
        ({"optimizer": {"learning_rat": 1}}, "unknown key 'optimizer.learning_rat'; did you mean 'learning_rate'?"),
        ({"losses": {"gan": "wgan"}}, "'losses.gan': Input should be 'vanilla', 'lsgan' or 'hinge' (it is 'wgan')"),
        ({"stages": [{"size": 100}]}, "stages.0.size is 100, but the generator takes multiples of 32"),
        ({"stages": [{"share": 0.5}]}, "the stages' shares add up to 0.5; they must add up to 1"),
        ({"save": {"validation_size": 250}}, "save.validation_size is 250, but the generator takes multiples of 32"),
        ({"preset": "released", "epochs": None, "steps": 5}, "the schedule 'released' counts epochs; give epochs"),
        (
            {"losses": {"ssim": 0, "adversarial": 0, "feature_matching": 0}},
            "stages.0 has no loss that teaches the generator; give one a weight",
        ),
        ({"seed": 2**32}, "'seed': Input should be less than 4294967296"),
        ({"steps": 5, "epochs": 5}, "both epochs and steps are given; set one of them to null"),
        ({"preset": "released", "max_minutes": 5}, "the schedule 'released' counts epochs and can't be fitted into"),
        (
            {"generator": {"output_channels": 3}},
            "discriminator.in_channels is 4, but RGB and the generator's output have 6",
        ),
        ({"discriminator": {"filters": 0}}, "'discriminator.filters': Input should be greater than or equal to 1"),
        (
            {"data": {"category_weights": {"urban": -1}}},
            "'data.category_weights.urban': Input should be greater than or equal to 0",
        ),
    ],
)
def test_settings_that_no_run_could_follow_are_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig.read(changes, where="run.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
