"""Precision, and available memory by the kernel's files."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from nirgen import devices
from nirgen.devices import available_bytes, choose_precision, choose_training_precision, computing_in
from nirgen.errors import ConfigError

CPU = torch.device("cpu")


def test_a_processor_computes_in_float32_unless_asked_otherwise() -> None:
    assert choose_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "fp32")],
)
def test_training_takes_bf16_where_the_cpu_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    assert choose_training_precision("auto", CPU) == expected
    assert (choose_training_precision("fp16", CPU), choose_precision("auto", CPU)) == ("fp16", "fp32")


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
def test_the_choice_can_be_overruled(wanted: str) -> None:
    assert choose_precision(wanted, CPU) == wanted


def test_an_unknown_precision_is_refused_with_the_nearest() -> None:
    message = r"precision is 'fp61'; did you mean 'fp16'\? \(there are auto, fp32, bf16, fp16\)"
    with pytest.raises(ConfigError, match=message):
        choose_precision("fp61", CPU)


def test_convolutions_compute_in_the_precision_asked_for() -> None:
    conv, x = torch.nn.Conv2d(3, 4, 1), torch.zeros(1, 3, 2, 2)
    found = {}
    for name in ("fp32", "bf16", "fp16"):
        with torch.inference_mode(), computing_in(name, CPU):
            found[name] = conv(x).dtype
    assert found == {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


HOST = torch.device("cpu")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Files in place of the kernel's: of the machine, of the control group of this process, and of the group above."""

    def write(meminfo=None, limit=None, used=None, stat="", above=None):
        values = {
            "proc/meminfo": meminfo, "proc/self/cgroup": "0::/above/own\n", "groups/above/memory.max": above,
            "groups/above/memory.current": above and "0\n", "groups/above/own/memory.max": limit,
            "groups/above/own/memory.current": used, "groups/above/own/memory.stat": stat,
        }  # fmt: skip
        for name, text in values.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text or "")
        monkeypatch.setattr(devices, "_PROC", tmp_path / "proc")
        groups = [(tmp_path / "groups", *devices._GROUPS[0][1:]), (tmp_path / "none", *devices._GROUPS[1][1:])]
        monkeypatch.setattr(devices, "_GROUPS", groups)

    return write


MEMINFO = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    3000 kB\n"


def test_what_the_machine_has_available_counts_not_what_is_free(kernel):
    kernel(MEMINFO)
    assert available_bytes(HOST) == 3_072_000


def test_a_control_group_s_limit_counts_where_it_leaves_less(kernel):
    kernel(MEMINFO, "2000000\n", "500000\n")
    assert available_bytes(HOST) == 1_500_000
    kernel(MEMINFO, "90000000\n", "500000\n")
    assert available_bytes(HOST) == 3_072_000


def test_a_control_group_without_a_limit_says_nothing(kernel):
    kernel(MEMINFO, "max\n", "500000\n")
    assert available_bytes(HOST) == 3_072_000


def test_a_control_group_over_its_limit_leaves_nothing(kernel):
    kernel(MEMINFO, "2000000\n", "2500000\n")
    assert available_bytes(HOST) == 0


def test_cached_files_of_a_control_group_give_way(kernel):
    kernel(MEMINFO, "2000000\n", "1500000\n", "anon 1\ninactive_file 900000\n")
    assert available_bytes(HOST) == 1_400_000


def test_the_limit_of_a_group_above_counts_too(kernel):
    kernel(MEMINFO, "2000000\n", "500000\n", above="700000\n")
    assert available_bytes() == 700_000


def test_a_limit_of_the_process_counts():
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))"
    code = f"{limit}; from nirgen.devices import available_bytes; print(available_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 2**30


def test_where_nothing_tells_nothing_is_known(kernel):
    kernel()
    assert available_bytes(HOST) is None
    kernel("MemTotal: 16000 kB\n")
    assert available_bytes(HOST) is None
    kernel(MEMINFO)
    assert available_bytes(torch.device("meta")) is None


@pytest.mark.skipif(not (devices._PROC / "meminfo").exists(), reason="there is no /proc/meminfo: Linux is needed")
def test_this_machine_has_some_and_no_more_than_it_has_in_all():
    available = available_bytes(HOST)
    assert available is not None
    assert 0 < available <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
