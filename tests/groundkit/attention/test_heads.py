"""Heads weighed and averaged, against a float64 softmax of the whole matrix."""

import math
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from groundkit.attention.flow import Regulariser, image_flow
from groundkit.attention.heads import HeadWeights, WeighedHeads
from groundkit.attention.layers import KeptMatrix, KeptQueries, LayerAttention, without_repeats
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


def attention_call(
    *, causal: bool, masked: bool = False, tokens: int = TOKENS, dtype: torch.dtype = torch.float32, seed: int = 0
) -> AttentionCall:
    generator = torch.Generator().manual_seed(seed)

    def draw(heads: int) -> Tensor:
        return (2 * torch.randn(1, tokens, heads, SIZE, generator=generator)).transpose(1, 2).to(dtype)

    mask = torch.rand(1, 1, tokens, tokens, generator=generator) < 0.7 if masked else None
    if mask is not None:
        mask[..., 0] = True
    return AttentionCall(draw(HEADS), draw(KEY_HEADS), draw(KEY_HEADS), mask, is_causal=causal, enable_gqa=True)


def float64_attention(call: AttentionCall) -> Tensor:
    key = call.key.double().repeat_interleave(HEADS // KEY_HEADS, dim=1)
    scores = call.query.double() @ key.mT / math.sqrt(SIZE)
    if call.is_causal:
        scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
    if call.attn_mask is not None:
        scores = scores.masked_fill(~call.attn_mask, -math.inf)
    return scores.softmax(-1)[0]


def float64_weights(attention: Tensor, weights: HeadWeights) -> Tensor:
    sharpest = attention[..., IMAGE].amax(-1).mean(-1)
    return {
        HeadWeights.MAX: attention.amax(-1).mean(-1),
        HeadWeights.IMAGE_MAX: sharpest / sharpest.max(),
        HeadWeights.UNIFORM: torch.ones(HEADS).double(),
    }[weights]


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
@pytest.mark.parametrize("keep", ["matrix", "queries"])
def test_weights_and_mean_are_those_of_the_whole_matrix(
    call: AttentionCall, weights: HeadWeights, keep: Literal["matrix", "queries"]
) -> None:
    attention = read(call, WeighedHeads(IMAGE, weights, keep=keep))
    expected = float64_attention(call)
    factor = float64_weights(expected, weights)
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
    attention = read(attention_call(causal=True), WeighedHeads(IMAGE, keep="matrix"))
    assert isinstance(attention, KeptMatrix)
    assert [block.shape[1] for block in attention.blocks] == [10, 20, 30, TOKENS]


KINDS = {
    "causal": {"causal": True},
    "full": {"causal": False},
    "masked": {"causal": False, "masked": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_computed_anew_from_queries_and_keys_are_those_of_the_kept_matrix_bit_for_bit(
    kind: str, dtype: torch.dtype
) -> None:
    call = attention_call(**KINDS[kind], dtype=dtype)  # type: ignore[arg-type]
    matrix, queries = (read(call, WeighedHeads(IMAGE, keep=keep)) for keep in ("matrix", "queries"))  # type: ignore[arg-type]
    assert isinstance(matrix, KeptMatrix)
    assert isinstance(queries, KeptQueries)
    assert torch.equal(matrix.weights, queries.weights)
    assert torch.equal(matrix.dense(), queries.dense())
    rows = torch.zeros(3, TOKENS, dtype=dtype)
    rows[0, -1], rows[1, 12:14], rows[2] = 1, 0.5, torch.rand(TOKENS)
    assert torch.equal(matrix.times(rows), queries.times(rows))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", HeadWeights)
@pytest.mark.parametrize("keep", ["matrix", "queries"])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "without log-sum-exp"])
@pytest.mark.parametrize("regulariser", Regulariser)
def test_flow_through_layers_in_float64_is_the_product_of_whole_matrices_to_twelve_digits(
    kind: str, weights: HeadWeights, keep: Literal["matrix", "queries"], fused: bool, regulariser: Regulariser
) -> None:
    calls = [attention_call(**KINDS[kind], dtype=torch.float64, seed=seed) for seed in range(3)]  # type: ignore[arg-type]
    heads = WeighedHeads(IMAGE, weights, keep=keep)
    layers = [read(call, heads) if fused else heads.read(call, None, 10) for call in calls]
    row = torch.zeros(1, TOKENS, dtype=torch.float64)
    row[0, -3:] = 1 / 3
    columns = torch.arange(1, TOKENS + 1, dtype=torch.float64) / TOKENS
    whole = torch.zeros(TOKENS, TOKENS, dtype=torch.float64)
    for number, call in enumerate(calls):
        attention = float64_attention(call)
        matrix = (float64_weights(attention, weights)[:, None, None] * attention).mean(0)
        if regulariser is Regulariser.LAYER:
            matrix = matrix * columns
        one = torch.eye(TOKENS, dtype=torch.float64)
        whole = matrix if number == 0 else (one + matrix) @ (one + whole)
    expected = (row @ whole) * (columns if regulariser is Regulariser.END else 1)
    found = image_flow(layers, row, torch.arange(TOKENS)[IMAGE], regulariser=regulariser)
    torch.testing.assert_close(found, expected[:, IMAGE], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("keep", ["matrix", "queries"])
def test_a_model_in_half_precision_keeps_two_bytes_a_number_and_errs_by_less_than_a_thousandth_of_each_entry(
    dtype: torch.dtype, keep: Literal["matrix", "queries"]
) -> None:
    call = attention_call(causal=True, dtype=dtype)
    attention = read(call, WeighedHeads(IMAGE, HeadWeights.UNIFORM, keep=keep))
    expected = float64_attention(call).mean(0)
    assert (expected[expected > 0] < 1e-5).any(), "entries that float16 would round to few digits"
    torch.testing.assert_close(attention.dense().double(), expected, rtol=1e-3, atol=1e-9)
    if isinstance(attention, KeptMatrix):
        assert {block.dtype for block in attention.blocks} == {torch.float16}
    else:
        assert isinstance(attention, KeptQueries)
        assert attention.call.query.dtype == attention.call.key.dtype == dtype


@pytest.mark.parametrize(("tokens", "kind"), [(37, KeptMatrix), (150, KeptQueries)])
@pytest.mark.parametrize("causal", [True, False])
def test_what_is_smaller_is_kept(tokens: int, kind: type[LayerAttention], causal: bool) -> None:
    call = attention_call(causal=causal, tokens=tokens)
    kept = read(call, WeighedHeads(IMAGE))
    sizes = {keep: read(call, WeighedHeads(IMAGE, keep=keep)).nbytes for keep in ("matrix", "queries")}  # type: ignore[arg-type]
    assert isinstance(kept, kind)
    assert kept.nbytes == min(sizes.values()) < max(sizes.values())
    assert sizes["queries"] == 4 * tokens * (SIZE * (HEADS + KEY_HEADS) + HEADS)  # with the log-sum-exp


def test_kept_queries_hold_on_to_nothing_else_of_the_model_s_memory() -> None:
    joint = torch.randn(1, TOKENS, HEADS + 2 * KEY_HEADS, SIZE).transpose(1, 2)  # made by one projection
    query, key, value = joint.split([HEADS, KEY_HEADS, KEY_HEADS], dim=1)
    kept = read(AttentionCall(query, key, value, is_causal=True, enable_gqa=True), WeighedHeads(IMAGE, keep="queries"))
    assert isinstance(kept, KeptQueries)
    for tensor in (kept.call.query, kept.call.key, kept.log_sum_exp):
        assert tensor is not None
        assert tensor.untyped_storage().nbytes() == tensor.nbytes
    assert kept.call.value.untyped_storage().nbytes() == 0


def test_keys_repeated_for_groups_of_queries_are_kept_once_and_others_as_they_are() -> None:
    call = attention_call(causal=True)
    repeated = replace(call, key=call.key.repeat_interleave(HEADS // KEY_HEADS, dim=1), enable_gqa=False)
    repeated = replace(repeated, value=call.value.repeat_interleave(HEADS // KEY_HEADS, dim=1))
    once, same = (read(each, WeighedHeads(IMAGE, keep="queries")) for each in (call, repeated))
    assert once.nbytes == same.nbytes
    assert torch.equal(once.dense(), same.dense())
    for other in (call.key, repeated.key[:, [0, 0, 0, 2]], repeated.key[:, [0, 1, 2, 0]], call.key[:, :1]):
        assert torch.equal(without_repeats(other), other)
    assert torch.equal(without_repeats(call.key[:, [1, 1, 1]]), call.key[:, 1:])


def test_rows_that_count_nothing_are_not_computed() -> None:
    attention = read(attention_call(causal=True), WeighedHeads(IMAGE, keep="queries"))
    wanted = torch.zeros(TOKENS).bool()
    wanted[[13, 36]] = True
    assert [start for start, _ in attention.blocks_of(wanted)] == [10, 30]


class Largest(TorchDispatchMode):
    """The most elements of any tensor that an operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_while_reading_and_multiplying_no_tensor_is_larger_than_one_chunk_of_all_heads_or_the_model_s_own() -> None:
    call, chunk = attention_call(causal=False), 3
    with Largest() as largest:
        layer = WeighedHeads(IMAGE, keep="queries").read(call, None, chunk)
        layer.times(torch.rand(2, TOKENS))
    assert largest.elements <= HEADS * TOKENS * max(chunk, SIZE) < HEADS * TOKENS * TOKENS


def test_a_decoding_step_is_refused() -> None:
    call = attention_call(causal=False)
    step = AttentionCall(call.query[:, :, -1:], call.key, call.value, enable_gqa=True)
    with pytest.raises(AttentionError, match="without a key cache"):
        WeighedHeads(IMAGE).read(step, None, 8)
