"""Parts of a listing."""

from __future__ import annotations

import pytest

from nirgen.errors import ConfigError
from nirgen.translate.options import RunOptions, Shard, TranslateOptions
from nirgen.translate.plan import make_plan


def test_the_id_of_the_default_options_stays_what_it_was():
    """Folders made with the defaults would otherwise be refused after an upgrade; raising PIXEL_RULES is meant to."""
    assert TranslateOptions().id == "a01f39251ec51db0f950ca3b2e7ecc537cc11285d039bb1beac4221f28db79f5"


def test_every_option_changes_the_id():
    options = [
        TranslateOptions(),
        TranslateOptions(format="tif"),
        TranslateOptions(bit_depth=16),
        TranslateOptions(channels=3),
        TranslateOptions(size=(64, 96)),
        TranslateOptions(size=(96, 64)),
        TranslateOptions(tile=64),
        TranslateOptions(white_balance="auto"),
    ]
    assert len({option.id for option in options}) == len(options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "jpg", "bit_depth": 16}, "a JPEG has 8 bits: use format png or tif"),
        ({"bit_depth": 16, "channels": 3}, "16-bit images are written with 1 channel"),
        ({"size": (0, 5)}, "a size is height x width, each at least 1"),
        ({"formt": "png"}, "the command line: unknown key 'formt'; did you mean 'format'?"),
    ],
)
def test_options_that_do_not_fit_are_refused(values, message):
    with pytest.raises(ConfigError) as caught:
        TranslateOptions.read(values, where="the command line")
    assert message in str(caught.value)


def test_a_batch_has_at_least_one_image():
    with pytest.raises(ConfigError, match="'batch_size'"):
        RunOptions.read({"batch_size": 0}, where="the command line")


NAMES = [f"{number}.jpg" for number in range(300)]


def test_every_source_belongs_to_one_shard():
    assert [sum(Shard(index, 4).has(name) for index in (1, 2, 3, 4)) for name in NAMES] == [1] * 300


def test_shards_are_of_similar_sizes():
    assert min(sum(Shard(index, 4).has(name) for name in NAMES) for index in (1, 2, 3, 4)) > 50


def test_the_shard_of_a_name_never_changes():
    """sha256("a/b.jpg") begins with 4a51636246e7c418, which is 0 modulo 8."""
    assert Shard(1, 8).has("a/b.jpg")


def test_the_only_shard_has_everything():
    assert all(Shard(1, 1).has(name) for name in NAMES)


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "a/b", "-1/3", "1/3 ", "1/3/5", ""])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"is not I/N with I from 1 to N, such as 3/8"):
        Shard.parse(text)


def test_a_shard_is_written_as_it_is_read():
    assert str(Shard.parse("3/8")) == "3/8"


def test_a_plan_s_shards_name_outputs_as_the_whole_does(tmp_path, save):
    for name in ("a.png", "a.jpg", "b.png", "c/d.png"):
        save(tmp_path / "src" / name)
    whole = {item.source: item.output for item in make_plan(tmp_path / "src", tmp_path / "out", ".png")}
    parts = [
        {
            item.source: item.output
            for item in make_plan(tmp_path / "src", tmp_path / "out", ".png", shard=Shard(index, 2))
        }
        for index in (1, 2)
    ]
    assert whole == {"a.jpg": "a.jpg.png", "a.png": "a.png.png", "b.png": "b.png", "c/d.png": "c/d.png"}
    assert parts[0] | parts[1] == whole
    assert not parts[0].keys() & parts[1].keys()


def test_a_shard_without_sources_is_no_mistake(tmp_path, save):
    save(tmp_path / "src/a.png")
    plans = [make_plan(tmp_path / "src", tmp_path / "out", ".png", shard=Shard(index, 2)) for index in (1, 2)]
    assert sorted(plan.survey().planned for plan in plans) == [0, 1]
    assert [plan.survey().sources for plan in plans] == [1, 1]
