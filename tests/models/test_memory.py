from __future__ import annotations

import subprocess
import sys

import pytest

from nirgen.models.config import GeneratorConfig
from nirgen.models.memory import bytes_per_pixel

PEAK_OF_AN_IMAGE = """
import re, torch
from pathlib import Path
from nirgen.model import load_model
model = load_model("compact", device="cpu")
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
model.translate(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), [(32, 32)])
before = peak()
model.translate(torch.zeros(1, 3, 320, 320, dtype=torch.uint8), [(320, 320)])
print((peak() - before) / 320**2, model.bytes_per_pixel)
"""
KEEP = """
import resource
import numpy as np
from nirgen.models.memory import keep_freed_memory
print(keep_freed_memory())
np.ones(10_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(10_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process its peak")
def test_an_image_takes_no_more_memory_than_is_said_and_half_as_much_at_least() -> None:
    done = subprocess.run([sys.executable, "-c", PEAK_OF_AN_IMAGE], capture_output=True, text=True, check=True)
    taken, said = map(float, done.stdout.split())
    assert said / 2 < taken < said


def test_half_precision_halves_it_and_wider_generators_take_more() -> None:
    compact, released = GeneratorConfig.compact(), GeneratorConfig.released()
    assert bytes_per_pixel(compact, bytes_per_value=2) == bytes_per_pixel(compact) // 2
    assert bytes_per_pixel(released) > 10 * bytes_per_pixel(compact)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is asked")
def test_a_process_that_keeps_freed_memory_asks_the_system_once() -> None:
    done = subprocess.run([sys.executable, "-c", KEEP], capture_output=True, text=True, check=True)
    possible, faults = done.stdout.split()
    if possible == "False":
        pytest.skip("another C library than glibc")
    assert int(faults) < 20_000  # each of the 20 arrays has 20,000 pages
