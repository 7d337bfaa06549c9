"""How far generated NIR is from real NIR, beside what needs no model at all.

Data flows one way: cases (what is judged on) and methods (what is judged) -> scores (per image) -> summary (means,
intervals, comparisons) -> report (tables, files, a page).
"""

from nirgen.evaluate.summary import Score, as_metrics, evaluate

__all__ = ["Score", "as_metrics", "evaluate"]
