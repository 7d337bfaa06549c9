"""The progress callback of all long work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called with (stage, done, total) as work goes on; total is None while unknown."""
