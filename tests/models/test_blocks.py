from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from nirgen.models.blocks import (
    AttentionBlock,
    CrossAttention,
    Downsample,
    FeedForward,
    OutputBlock,
    ResidualBlock,
    SelfAttention,
    StandardizedConv,
    Upsample,
    merge_heads,
    split_heads,
)


def test_down_sees_the_four_pixels_of_a_square_as_channels() -> None:
    layer = Downsample(1)
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.bias.zero_()
        layer.conv.weight[0, :, 1, 1] = torch.tensor([1.0, 10, 100, 1000])
    photo = torch.tensor([[1.0, 2, 5, 6], [3, 4, 7, 8]]).view(1, 1, 2, 4)
    assert layer(photo).tolist() == [[[[4321, 8765]]]]


def test_up_repeats_pixels_before_the_convolution() -> None:
    layer = Upsample(1)
    with torch.no_grad():
        torch.nn.init.dirac_(layer.conv.weight)
        layer.conv.bias.zero_()
    assert layer(torch.tensor([[[[1.0, 2.0]]]])).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]


def test_filters_are_standardised_by_the_unbiased_deviation() -> None:
    layer = StandardizedConv(1, 1, (1, 3), padding=(0, 1), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([5.0, 7, 9]).view(1, 1, 1, 3))  # mean 7, deviation 2: -1, 0, 1
    found = layer(torch.tensor([[[[1.0, 2, 4]]]]))
    assert found.flatten().tolist() == pytest.approx([2, 3, -2], abs=1e-4)


def test_the_output_block_does_not_depend_on_the_scale_of_its_filters() -> None:
    torch.manual_seed(0)
    block, x = OutputBlock(4, 2), torch.randn(1, 4, 8, 8)
    before = block(x)
    with torch.no_grad():
        block.conv1.weight.mul_(1000)
        block.conv2.weight.add_(1)
    torch.testing.assert_close(block(x), before, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("channels_out", "kind"), [(8, torch.nn.Identity), (4, torch.nn.Conv2d)])
def test_a_shortcut_is_a_convolution_where_channels_change(channels_out: int, kind: type) -> None:
    block = ResidualBlock(8, channels_out, norm_groups=4)
    assert type(block.shortcut) is kind
    assert block(torch.zeros(1, 8, 4, 6)).shape == (1, channels_out, 4, 6)


MEGABYTES_FOR_A_720P_PHOTO = """
import resource, torch
from nirgen.models.blocks import SelfAttention
attention = SelfAttention(64, 4)
tokens = torch.zeros(1, 90 * 160, 64)
with torch.inference_mode():
    attention(tokens[:, :64])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attention(tokens)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def naive(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
    return weights @ value


def identity_projections(width: int, head_merge: str) -> CrossAttention:
    attention = CrossAttention(width, width, heads=2, head_merge=head_merge)
    for layer in (attention.query, attention.key, attention.value, attention.out):
        torch.nn.init.eye_(layer.weight)
    return attention


def test_heads_are_consecutive_channels() -> None:
    tokens = torch.arange(8.0).view(1, 2, 4)
    assert split_heads(tokens, 2).tolist() == [[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]]
    assert torch.equal(merge_heads(split_heads(tokens, 2)), tokens)


@pytest.mark.parametrize(
    ("head_merge", "expected"),
    [
        ("standard", [[10, 11, 12, 13], [10, 11, 12, 13]]),
        ("released", [[10, 11, 10, 11], [12, 13, 12, 13]]),  # both tokens of head 0, then both of head 1
    ],
)
def test_the_released_merge_reads_the_heads_memory_as_tokens(head_merge: str, expected: list[list[float]]) -> None:
    condition = torch.tensor([[[10.0, 11.0, 12.0, 13.0]]])  # one token: whatever the query, the answer is its value
    attention = identity_projections(4, head_merge)
    assert attention(torch.randn(1, 2, 4), condition).tolist() == [expected]


def test_self_attention_is_the_softmax_of_scaled_products() -> None:
    torch.manual_seed(0)
    attention, tokens = SelfAttention(8, heads=2), torch.randn(2, 5, 8)
    query, key, value = (attention.in_proj(tokens)[..., 8 * part : 8 * part + 8] for part in range(3))
    heads = [naive(query[..., h : h + 4], key[..., h : h + 4], value[..., h : h + 4]) for h in (0, 4)]
    torch.testing.assert_close(attention(tokens), attention.out_proj(torch.cat(heads, dim=-1)))


def test_cross_attention_takes_keys_and_values_from_the_condition() -> None:
    torch.manual_seed(0)
    attention, tokens, condition = CrossAttention(8, 12, heads=2), torch.randn(2, 5, 8), torch.randn(2, 3, 12)
    query, key, value = attention.query(tokens), attention.key(condition), attention.value(condition)
    heads = [naive(query[..., h : h + 4], key[..., h : h + 4], value[..., h : h + 4]) for h in (0, 4)]
    torch.testing.assert_close(attention(tokens, condition), attention.out(torch.cat(heads, dim=-1)))


def test_the_second_half_gates_the_first() -> None:
    layer = FeedForward(1)
    with torch.no_grad():
        layer.expand.weight.zero_()
        layer.expand.bias.copy_(torch.tensor([1.0, 2, 3, 4, 0, 0, 0, 1]))  # values, then gates; GELU(0) = 0
        layer.contract.weight.fill_(1)
        layer.contract.bias.zero_()
    assert layer(torch.zeros(1, 1, 1)).item() == pytest.approx(4 * 0.8413447)  # GELU(1)


def test_without_a_condition_there_is_no_cross_attention() -> None:
    block = AttentionBlock(8, None, heads=2, norm_groups=4)
    assert [name for name, _ in block.named_parameters() if "cross" in name or "condition" in name] == []
    assert block(torch.zeros(1, 8, 2, 3), None).shape == (1, 8, 2, 3)


def test_the_condition_may_have_any_size() -> None:
    block = AttentionBlock(8, 6, heads=2, norm_groups=4)
    assert block(torch.zeros(1, 8, 2, 3), torch.zeros(1, 6, 5, 1)).shape == (1, 8, 2, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs elsewhere")
def test_the_14400_tokens_of_a_720p_photo_do_not_need_a_square_of_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEGABYTES_FOR_A_720P_PHOTO], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 300  # 4 heads of 14400 x 14400 weights are 3300 MB
