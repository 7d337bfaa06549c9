"""Aligned RGB-NIR pairs: finding them on disk, the list of them as a file, reading and checking them."""

from nirgen.pairs.find import find_pairs
from nirgen.pairs.listing import Pair, PairList, read_pair

__all__ = ["Pair", "PairList", "find_pairs", "read_pair"]
