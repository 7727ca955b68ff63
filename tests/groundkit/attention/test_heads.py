"""Heads weighed and averaged, against a float64 softmax of the whole matrix."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from groundkit.attention.heads import HeadWeights, LayerAttention, WeighedHeads
from groundkit.attention.softmax import AttentionCall
from groundkit.attention.tap import AttentionTap
from groundkit.errors import AttentionError, ConfigError

HEADS, KEY_HEADS, TOKENS, SIZE = 4, 2, 37, 8
IMAGE = slice(5, 25)


class Layer(nn.Module):
    """Attention over given queries, keys and values, made by torch's own function."""

    def __init__(self, call: AttentionCall) -> None:
        super().__init__()
        self.call = call

    def forward(self) -> Tensor:
        c = self.call
        return scaled_dot_product_attention(
            c.query, c.key, c.value, c.attn_mask, is_causal=c.is_causal, enable_gqa=c.enable_gqa
        )


def attention_call(*, causal: bool, masked: bool = False) -> AttentionCall:
    generator = torch.Generator().manual_seed(0)

    def draw(heads: int) -> Tensor:
        return 2 * torch.randn(1, heads, TOKENS, SIZE, generator=generator)

    mask = torch.rand(1, 1, TOKENS, TOKENS, generator=generator) < 0.7 if masked else None
    if mask is not None:
        mask[..., 0] = True
    return AttentionCall(draw(HEADS), draw(KEY_HEADS), draw(KEY_HEADS), mask, is_causal=causal, enable_gqa=True)


def float64_attention(call: AttentionCall) -> Tensor:
    key = call.key.double().repeat_interleave(HEADS // KEY_HEADS, dim=1)
    scores = call.query.double() @ key.mT / math.sqrt(SIZE)
    if call.is_causal:
        scores = scores.masked_fill(torch.ones(TOKENS, TOKENS).triu(1).bool(), -math.inf)
    if call.attn_mask is not None:
        scores = scores.masked_fill(~call.attn_mask, -math.inf)
    return scores.softmax(-1)[0]


def read(call: AttentionCall, heads: WeighedHeads, row_chunk: int = 10) -> LayerAttention:
    layer = Layer(call)
    with AttentionTap({"layer": layer}, {"heads": heads}, row_chunk=row_chunk) as tap:
        layer()
    (attention,) = tap.read_layers("heads")
    assert isinstance(attention, LayerAttention)
    return attention


@pytest.mark.parametrize(
    "call",
    [
        attention_call(causal=True),
        attention_call(causal=False),
        attention_call(causal=False, masked=True),
    ],
    ids=["causal", "full", "masked"],
)
@pytest.mark.parametrize("weights", HeadWeights)
def test_weights_and_mean_are_those_of_the_whole_matrix(call: AttentionCall, weights: HeadWeights) -> None:
    attention = read(call, WeighedHeads(IMAGE, weights))
    expected = float64_attention(call)
    factor = {
        HeadWeights.MAX: expected.amax(-1).mean(-1),
        HeadWeights.IMAGE_MAX: expected[..., IMAGE].amax(-1).mean(-1) / expected[..., IMAGE].amax(-1).mean(-1).max(),
        HeadWeights.UNIFORM: torch.ones(HEADS),
    }[weights]
    torch.testing.assert_close(attention.weights.double(), factor.double(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        attention.dense().double(), (factor[:, None, None] * expected).mean(0), atol=1e-6, rtol=1e-5
    )


def test_of_some_heads_the_mean_is_theirs_alone() -> None:
    call = attention_call(causal=True)
    attention = read(call, WeighedHeads(IMAGE, HeadWeights.UNIFORM, heads=(3, 1)))
    expected = float64_attention(call)[[1, 3]].mean(0)
    torch.testing.assert_close(attention.dense().double(), expected, atol=1e-6, rtol=1e-5)
    assert attention.weights.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("heads", [(), (4,), (0, -1)])
def test_heads_that_a_layer_does_not_have_are_refused(heads: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="this model has heads 0 to 3"):
        WeighedHeads(IMAGE, heads=heads).read(attention_call(causal=True), None, 8)


def test_a_product_with_rows_is_that_of_the_whole_matrix() -> None:
    attention = read(attention_call(causal=True), WeighedHeads(IMAGE))
    rows = torch.rand(3, TOKENS, dtype=torch.float64)
    torch.testing.assert_close(attention.times(rows), rows @ attention.dense().double())


def test_under_a_causal_mask_only_the_lower_blocks_are_kept() -> None:
    attention = read(attention_call(causal=True), WeighedHeads(IMAGE))
    assert [block.shape[1] for block in attention.blocks] == [10, 20, 30, TOKENS]


def test_half_precision_storage_errs_by_less_than_a_thousandth_of_the_largest_entry() -> None:
    call = attention_call(causal=True)
    exact, half = (read(call, WeighedHeads(IMAGE, dtype=d)).dense().double() for d in (torch.float32, torch.float16))
    assert 0 < (exact - half).abs().max() < 1e-3 * exact.max()


class Largest(TorchDispatchMode):
    """The most elements of any tensor that an operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_no_tensor_is_larger_than_one_chunk_of_all_heads_or_the_model_s_own() -> None:
    call, chunk = attention_call(causal=False), 3
    with Largest() as largest:
        WeighedHeads(IMAGE).read(call, None, chunk)
    assert largest.elements <= HEADS * TOKENS * max(chunk, SIZE) < HEADS * TOKENS * TOKENS


def test_a_decoding_step_is_refused() -> None:
    call = attention_call(causal=False)
    step = AttentionCall(call.query[:, :, -1:], call.key, call.value, enable_gqa=True)
    with pytest.raises(AttentionError, match="without a key cache"):
        WeighedHeads(IMAGE).read(step, None, 8)
