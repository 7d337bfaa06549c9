"""How long `nirgen labels` takes for a file of the size of BDD100K's det_train.json, and how much memory.

    python benchmarks/labels.py [--frames 70000] [--folder DIR]

The file is made first, unless DIR has it; see make_labels.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import make_labels


def measure(command: list[str]) -> tuple[float, float, float]:
    """Run a command; its seconds, those that it had a processor core, and its peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure two policies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=70_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        source, out = folder / f"det_{arguments.frames}.json", folder / "labels.json"
        if not source.exists():
            make_labels.write(source, arguments.frames, seed=0)
        print(f"{source.name}: {source.stat().st_size / 1e6:.0f} MB")
        for policy in ("default", "bdd100k"):
            command = [sys.executable, "-m", "nirgen", "labels", str(source), "-o", str(out), "--policy", policy]
            seconds, busy, memory = measure(command)
            written = out.stat().st_size / 1e6
            print(f"policy {policy}: {seconds:.1f} s ({busy:.1f} s of a core), {memory:.0f} MiB; {written:.0f} MB")


if __name__ == "__main__":
    main()
