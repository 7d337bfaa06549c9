"""How much memory there is, by what the kernel's files say."""

from __future__ import annotations

import os

import pytest
import torch

from nirgen.translate import memory
from nirgen.translate.memory import available_bytes

CPU = torch.device("cpu")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Files in place of the kernel's: of the machine, and of a control group."""

    def write(meminfo=None, limit=None, used=None):
        paths = [tmp_path / name for name in ("meminfo", "max", "current")]
        for path, text in zip(paths, (meminfo, limit, used), strict=True):
            if text is not None:
                path.write_text(text)
        monkeypatch.setattr(memory, "_MEMINFO", paths[0])
        monkeypatch.setattr(memory, "_GROUPS", ((paths[1], paths[2]), (tmp_path / "none", tmp_path / "none")))

    return write


MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    3000 kB\n"


def test_what_the_machine_has_available_counts_not_what_is_free(kernel):
    kernel(MEMINFO)
    assert available_bytes(CPU) == 3_072_000


def test_a_control_group_s_limit_counts_where_it_leaves_less(kernel):
    kernel(MEMINFO, "2000000\n", "500000\n")
    assert available_bytes(CPU) == 1_500_000
    kernel(MEMINFO, "90000000\n", "500000\n")
    assert available_bytes(CPU) == 3_072_000


def test_a_control_group_without_a_limit_says_nothing(kernel):
    kernel(MEMINFO, "max\n", "500000\n")
    assert available_bytes(CPU) == 3_072_000


def test_a_control_group_over_its_limit_leaves_nothing(kernel):
    kernel(MEMINFO, "2000000\n", "2500000\n")
    assert available_bytes(CPU) == 0


def test_where_nothing_tells_nothing_is_known(kernel):
    kernel()
    assert available_bytes(CPU) is None
    kernel("MemTotal: 16000 kB\n")
    assert available_bytes(CPU) is None
    kernel(MEMINFO)
    assert available_bytes(torch.device("meta")) is None


@pytest.mark.skipif(not memory._MEMINFO.exists(), reason="there is no /proc/meminfo: Linux is needed")
def test_this_machine_has_some_and_no_more_than_it_has_in_all():
    available = available_bytes(CPU)
    assert available is not None
    assert 0 < available <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
