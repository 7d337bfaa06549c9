from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from nirgen.models.weights import read_foreign

if TYPE_CHECKING:
    from pathlib import Path

TENSOR = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize(
    "content",
    [
        {"a.weight": TENSOR},
        {"module.a.weight": TENSOR},
        {"module.module.a.weight": TENSOR},
        {"_orig_mod.module.a.weight": TENSOR},
        {"netG.a.weight": TENSOR},
        {"netG": {"a.weight": TENSOR}, "netD": {"a.weight": torch.zeros(1)}},
        {"params": {"a.weight": torch.zeros(1)}, "params_ema": {"a.weight": TENSOR}},
        {"model": {"a.weight": torch.zeros(1)}, "ema": {"a.weight": TENSOR}},
        {"state_dict": {"a.weight": TENSOR}},
        {"model": {"state_dict": {"module.a.weight": TENSOR}}, "epoch": 3},
        {"epoch": torch.tensor(3), "state_dict": {"a.weight": TENSOR, "version": 2}},
    ],
)
def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path, content: dict[str, object]) -> None:
    torch.save(content, tmp_path / "a.pt")
    state = read_foreign(tmp_path / "a.pt")
    assert list(state) == ["a.weight"]
    assert torch.equal(state["a.weight"], TENSOR)


def test_a_prefix_that_not_all_names_have_is_a_part_of_the_name(tmp_path: Path) -> None:
    torch.save({"module.a": TENSOR, "b": TENSOR}, tmp_path / "a.pt")
    assert list(read_foreign(tmp_path / "a.pt")) == ["module.a", "b"]


def test_the_older_file_format_is_read(tmp_path: Path) -> None:
    torch.save({"a": TENSOR}, tmp_path / "a.bin", _use_new_zipfile_serialization=False)
    assert torch.equal(read_foreign(tmp_path / "a.bin")["a"], TENSOR)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file({"module.a": TENSOR}, tmp_path / "a.safetensors")
    assert torch.equal(read_foreign(tmp_path / "a.safetensors")["a"], TENSOR)
