from __future__ import annotations

import pytest

from nirgen.errors import ConfigError
from nirgen.translate.options import RunOptions, TranslateOptions


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
