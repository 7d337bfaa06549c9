"""Aligned RGB-NIR pairs: found on disk, listed in a file, read, and checked."""

from nirgen.pairs.check import check_pairs, clean_pairs
from nirgen.pairs.find import find_pairs
from nirgen.pairs.listing import Pair, PairList, read_pair

__all__ = ["Pair", "PairList", "check_pairs", "clean_pairs", "find_pairs", "read_pair"]
