from __future__ import annotations

import pytest
import torch

from nirgen.errors import ConfigError
from nirgen.models.precision import choose_precision, computing_in

CPU = torch.device("cpu")


def test_a_processor_computes_in_float32_unless_asked_otherwise() -> None:
    assert choose_precision("auto", CPU) == "fp32"


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
