from __future__ import annotations

from collections import Counter

import pytest

from nirgen.errors import ConfigError, NirgenError
from nirgen.pairs.splitting import divide, parse_shares


def test_forty_of_fifty_equal_sessions_are_four_fifths() -> None:
    sequences = [f"{number:02}" for number in range(1, 51) for _ in range(80)]
    splits = divide(sequences, {"train": 0.8, "test": 0.2})
    assert Counter(splits) == {"train": 3200, "test": 800}
    assert len(set(zip(sequences, splits, strict=True))) == 50


def test_unequal_sequences_come_as_near_as_they_can() -> None:
    sequences = ["a"] * 60 + ["b"] * 20 + ["c"] * 10 + ["d"] * 10
    splits = divide(sequences, {"train": 0.8, "val": 0.1, "test": 0.1})
    assert Counter(splits) == {"train": 80, "val": 10, "test": 10}


def test_no_split_is_left_empty() -> None:
    splits = divide(["a", "b", "c"], {"train": 0.8, "val": 0.1, "test": 0.1})
    assert set(splits) == {"train", "val", "test"}


def test_the_seed_alone_decides() -> None:
    sequences = [str(number) for number in range(40)]
    shares = {"train": 0.5, "val": 0.5}
    assert divide(sequences, shares, seed=3) == divide(sequences, shares, seed=3)
    assert divide(sequences, shares, seed=3) != divide(sequences, shares, seed=4)
    backwards = divide(sequences[::-1], shares, seed=3)
    assert backwards[::-1] == divide(sequences, shares, seed=3)


def test_fewer_sequences_than_splits_are_refused() -> None:
    with pytest.raises(NirgenError, match=r"2 sequence\(s\) of 5 pair\(s\) can't fill the 3 splits train, val, test"):
        divide(["a"] * 3 + ["b"] * 2, {"train": 0.8, "val": 0.1, "test": 0.1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train", "'train' is no share"),
        ("train=half", "'train=half' is no share"),
        ("train=0.5,train=0.5", "'train=0.5' needs a name of its own"),
        ("train=1.5", "'train=1.5' needs a name of its own and a share over 0"),
        ("train=0.5,val=0.4", "add up to 0.9 and not to 1"),
        ("", "'' is no share"),
    ],
)
def test_shares_that_can_not_be_used_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"{message}.*write it as train=0.8,val=0.1,test=0.1"):
        parse_shares(text)
