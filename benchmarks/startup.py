"""How long `nirgen --help` takes: the median of five fresh processes, and its ratio to a bare interpreter's."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

RUNS = 5


def median_seconds(arguments: list[str]) -> float:
    """The median wall time of a Python process with these arguments, after one unmeasured run."""
    seconds = []
    for _ in range(RUNS + 1):
        start = perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds.append(perf_counter() - start)
    return median(seconds[1:])


def main() -> None:
    """Measure and print."""
    bare = median_seconds(["-c", "pass"])
    shown = median_seconds(["-m", "nirgen", "--help"])
    print(f"nirgen --help: {shown:.3f} s, {shown / bare:.1f} times a bare interpreter's {bare:.3f} s")


if __name__ == "__main__":
    main()
