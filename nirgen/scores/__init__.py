"""Scores that find trouble first, computed without a GPU: of images, and of boxes."""

from nirgen.scores.table import Scores, is_outdated, score
from nirgen.scores.trouble import BOX_SCORES, IMAGE_SCORES, TAGS, BoxScores, ItemScores

__all__ = ["BOX_SCORES", "IMAGE_SCORES", "TAGS", "BoxScores", "ItemScores", "Scores", "is_outdated", "score"]
