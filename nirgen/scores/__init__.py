"""Scores that find trouble first, computed without a GPU: of images, and of boxes.

Example:
    >>> from pathlib import Path
    >>> from nirgen.collection import open_collection
    >>> collection = open_collection(Path("dataset"))  # doctest: +SKIP
    >>> scores = score(collection)  # doctest: +SKIP
    >>> [item.key for item in collection.items() if (scores.of(item).image["trouble"] or 0) > 0.9]  # doctest: +SKIP
    ['bdd/0042.jpg']
"""

from nirgen.scores.table import Scores, score
from nirgen.scores.trouble import BOX_SCORES, IMAGE_SCORES, TAGS, BoxScores, ItemScores

__all__ = ["BOX_SCORES", "IMAGE_SCORES", "TAGS", "BoxScores", "ItemScores", "Scores", "score"]
