"""Divide pairs into splits, by whole sequences."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from nirgen.errors import ConfigError, NirgenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ATTEMPTS = 50


def parse_shares(text: str) -> dict[str, float]:
    """Read the shares of splits.

    Args:
        text: Such as `train=0.8,val=0.1,test=0.1`; the shares are positive and add up to 1.

    Returns:
        The share of each split.

    Raises:
        ConfigError: It isn't of that form.

    Example:
        >>> parse_shares("train=0.8,val=0.2")
        {'train': 0.8, 'val': 0.2}
    """
    example = "write it as train=0.8,val=0.1,test=0.1"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            share = float(number)
        except ValueError:
            raise ConfigError(f"split {text!r}: {part!r} is no share; {example}") from None
        if not name or name in shares or not 0 < share <= 1:
            raise ConfigError(f"split {text!r}: {part!r} needs a name of its own and a share over 0; {example}")
        shares[name] = share
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ConfigError(f"split {text!r}: the shares add up to {sum(shares.values()):g} and not to 1; {example}")
    return shares


def divide(sequences: Sequence[str], shares: Mapping[str, float], *, seed: int = 0) -> list[str]:
    """Choose a split for each pair, so that no sequence is cut and the shares in pairs are near to those asked.

    Sequences are dealt in random order, each to the split that lacks most; the best of `ATTEMPTS` deals is taken.

    Args:
        sequences: The sequence of each pair.
        shares: The share of each split.
        seed: Another seed gives another division.

    Returns:
        The split of each pair.

    Raises:
        NirgenError: There are fewer sequences than splits.
    """
    sizes = Counter(sequences)
    if len(sizes) < len(shares):
        raise NirgenError(
            f"{len(sizes)} sequence(s) of {len(sequences)} pair(s) can't fill the {len(shares)} splits "
            f"{', '.join(shares)}; ask for fewer, or add sequences (--split-by frame cuts them, which lets the network "
            "see what it is judged on)"
        )
    random = np.random.default_rng(seed)
    names = sorted(sizes)
    wanted = {split: share * len(sequences) for split, share in shares.items()}
    deals = [_deal([names[i] for i in random.permutation(len(names))], sizes, wanted) for _ in range(ATTEMPTS)]
    best = min(deals, key=lambda deal: _distance(deal, sizes, wanted))
    return [best[sequence] for sequence in sequences]


def _deal(names: Sequence[str], sizes: Mapping[str, int], wanted: Mapping[str, float]) -> dict[str, str]:
    """Give each sequence to the split that lacks most; the last ones go to splits that have none yet."""
    lacking = dict(wanted)
    deal: dict[str, str] = {}
    empty = list(wanted)
    for number, name in enumerate(names):
        open_to = empty if len(names) - number <= len(empty) else list(wanted)
        split = max(open_to, key=lambda split: lacking[split])
        deal[name] = split
        lacking[split] -= sizes[name]
        empty = [other for other in empty if other != split]
    return deal


def _distance(deal: Mapping[str, str], sizes: Mapping[str, int], wanted: Mapping[str, float]) -> float:
    """By how many pairs the splits miss what was asked for."""
    got = Counter[str]()
    for name, split in deal.items():
        got[split] += sizes[name]
    return sum(abs(got[split] - count) for split, count in wanted.items())
