"""Attention flow on a GPU is what it is on the CPU, however its layers are kept: bit for bit on a make-believe one."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from devices import DTYPES, Device
from torch import Tensor

from groundkit.attention.flow import image_flow
from groundkit.attention.heads import HeadWeights, WeighedHeads
from groundkit.attention.softmax import AttentionCall

TOKENS, IMAGE = 40, torch.arange(3, 30)


def flow(device: str, dtype: torch.dtype, weights: HeadWeights, keep: Literal["matrix", "queries"]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    layers = []
    for _ in range(2):
        query, key, value = (
            torch.randn(1, heads, TOKENS, 8, generator=generator).to(dtype).to(device) for heads in (4, 2, 2)
        )
        call = AttentionCall(query, key, value, is_causal=True, enable_gqa=True)
        layers.append(WeighedHeads(IMAGE, weights, keep=keep).read(call, None, 16))
    row = torch.zeros(1, TOKENS)
    row[0, -2:] = 0.5
    return image_flow(layers, row, IMAGE)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize("weights", HeadWeights)
@pytest.mark.parametrize("keep", ["matrix", "queries"])
def test_flow_on_the_device_is_that_on_the_cpu(
    device: Device, dtype: torch.dtype, weights: HeadWeights, keep: Literal["matrix", "queries"]
) -> None:
    expected = flow("cpu", dtype, weights, keep)
    with device.used():
        actual = flow(device.name, dtype, weights, keep)
    assert actual.device.type == "cpu"
    device.assert_same(actual, expected)
