"""Memory of images in flight: a budget shared by threads, and processes that have little."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from nirgen.translate.budget import Budget

# Translates `src` to `out` by eight threads, in a process that may take so many megabytes more than it has.
COMMAND = """
import resource, sys, torch
from pathlib import Path
from nirgen import images
from nirgen.translate.options import RunOptions
from nirgen.translate.run import translate_folder
import nirgen.translate.engine, pyarrow.parquet

class Red:
    id, stride, header = "5" * 64, 32, {}
    def translate(self, rgb, sizes):
        return rgb[:, :1].float() / 255

torch.set_num_threads(1)
has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = has + int(sys.argv[1]) * 10**6
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
summary = translate_folder("src", "out", model=Red(), run=RunOptions(workers=8))
print(summary.translated, [error for _, error in summary.failures])
"""


def translate(folder, megabytes):
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(megabytes)], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr


@pytest.fixture
def bombs(tmp_path):
    """Ten files of 40 bytes, each of nine megapixels, and an ordinary image."""
    (tmp_path / "src").mkdir()
    Image.new("RGB", (3000, 3000), (30, 60, 90)).save(tmp_path / "src/0.webp", lossless=True, quality=0, method=0)
    data = (tmp_path / "src/0.webp").read_bytes()
    assert len(data) < 100
    for number in range(1, 10):
        (tmp_path / f"src/{number}.webp").write_bytes(data)
    Image.new("RGB", (64, 64)).save(tmp_path / "src/ordinary.png")
    return tmp_path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory hold on Linux alone")
def test_small_files_of_large_images_are_decoded_as_memory_allows(bombs):
    assert translate(bombs, 1200) == "11 []"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory hold on Linux alone")
def test_an_image_that_memory_cannot_hold_is_a_row_and_the_others_are_done(bombs):
    assert translate(bombs, 250).startswith("1 [\"'0.webp': there is not enough memory for an image of this size;")
    assert json.loads((bombs / "out/run.json").read_text())["summary"]["failed"] == 10


def test_threads_in_any_order_stay_within_the_budget_or_are_alone_above_it():
    budget = Budget(1.0)
    budget.ahead, budget.total = 100, 1000
    most = 0

    def read(place_and_size):
        nonlocal most
        place, size = place_and_size
        time.sleep(random.Random(size).random() / 500)
        place.hold(size // 10)
        place.hold(size)
        most = max(most, budget._held)
        return place

    sizes = [random.Random(number).choice([1, 5, 20, 60, 300]) for number in range(200)]
    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(read, each) for each in budget.places(sizes)]
        for future in futures:
            future.result(timeout=60).passed()
    assert budget._held == 0
    assert 300 <= most <= 100 + 300


def test_a_place_that_waits_is_freed_when_the_run_ends():
    budget = Budget(1.0)
    budget.ahead = 10
    (first, _), (second, _) = budget.places("ab")
    first.hold(10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.hold, 5)
        budget.close()
        with pytest.raises(MemoryError):
            waiting.result(timeout=60)


def test_what_memory_can_never_hold_is_refused_at_once():
    budget = Budget(1.0)
    (_, _), (second, _) = budget.places("ab")
    with pytest.raises(MemoryError):
        second.hold(budget.total + 1)
