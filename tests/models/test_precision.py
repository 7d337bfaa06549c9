from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from nirgen.errors import ConfigError
from nirgen.models import precision
from nirgen.models.precision import choose_precision, computing_in, cpu_flags

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "chosen"), [("fpu avx2 avx512f", "fp32"), ("fpu avx512_bf16", "bf16"), ("amx_bf16 amx_tile", "bf16")]
)
def test_a_processor_computes_in_what_it_has_hardware_for(
    flags: str, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: {flags}\n")
    assert cpu_flags(facts) == set(flags.split())
    monkeypatch.setattr(precision, "cpu_flags", lambda: cpu_flags(facts))
    assert choose_precision("auto", CPU) == chosen


def test_where_nothing_is_known_of_the_processor_it_is_float32(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path / "none") == set()


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
