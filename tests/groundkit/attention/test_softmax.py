import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from groundkit.attention.fused import attend
from groundkit.attention.softmax import AttentionCall, attention_entries

BATCH, HEADS, QUERIES, KEYS, SIZE = 2, 4, 13, 17, 8
ROWS = torch.tensor([0, 3, 4, 11, 12])
COLUMNS = torch.tensor([16, 0, 5])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def boolean_mask(*shape: int) -> Tensor:
    mask = random(*shape, seed=7) > -0.5
    mask[..., 0] = True
    return mask


def row_masked_by(value: float) -> Tensor:
    return torch.zeros(QUERIES, KEYS).index_fill(0, torch.tensor([3]), value)


MASKS: dict[str, Tensor | None] = {
    "no mask": None,
    "bool (N, S)": boolean_mask(QUERIES, KEYS),
    "bool (B, 1, 1, S)": boolean_mask(BATCH, 1, 1, KEYS),
    "bool (1, H, N, S)": boolean_mask(1, HEADS, QUERIES, KEYS),
    "float (N, S)": random(QUERIES, KEYS, seed=8),
    "float (B, 1, N, S)": random(BATCH, 1, QUERIES, KEYS, seed=9),
    "float (1, H, 1, S), strided": random(1, HEADS, 1, 2 * KEYS, seed=10)[..., ::2],
    "float with -inf": random(QUERIES, KEYS, seed=8).masked_fill(~boolean_mask(QUERIES, KEYS), -math.inf),
    "a row of the smallest float": row_masked_by(torch.finfo(torch.float32).min),
    "a row of -10000": row_masked_by(-10000.0),
    "a masked row, bool": row_masked_by(1) == 0,
    "a masked row, float": row_masked_by(-math.inf),
}


def attention_call(mask: str = "no mask", dtype: torch.dtype = torch.float32, **options: object) -> AttentionCall:
    key_heads = 2 if options.get("enable_gqa") else HEADS
    query = random(BATCH, QUERIES, HEADS, SIZE, seed=1).to(dtype).transpose(1, 2)  # strided, as models pass it
    key = random(BATCH, KEYS, key_heads, SIZE, seed=2).to(dtype).transpose(1, 2)
    value = random(BATCH, KEYS, key_heads, SIZE, seed=3).to(dtype).transpose(1, 2)
    bias = MASKS[mask]
    if bias is not None and bias.dtype != torch.bool and dtype == torch.float64:
        bias = bias.double()  # torch takes float32 masks with every dtype but this
    return AttentionCall(query, key, value, bias, **options)  # type: ignore[arg-type]


def reference(call: AttentionCall) -> Tensor:
    """softmax(scale q k^T + mask) in float64, the whole matrix ``(B, H, N, S)``, straight from the definition."""
    query, key = call.query.double(), call.key.double()
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    scores = torch.einsum("bhnd,bhsd->bhns", query, key) * (call.scale or SIZE**-0.5)
    if call.attn_mask is not None and call.attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~call.attn_mask, -math.inf)
    elif call.attn_mask is not None:
        scores = scores + call.attn_mask.double()
    if call.is_causal:
        scores = scores.masked_fill(~torch.ones(QUERIES, KEYS, dtype=torch.bool).tril(), -math.inf)
    return scores.softmax(-1).nan_to_num(0)


CALLS = [
    *({"mask": mask} for mask in MASKS),
    {"is_causal": True},
    {"enable_gqa": True},
    {"enable_gqa": True, "is_causal": True},
    {"enable_gqa": True, "mask": "bool (1, H, N, S)"},
    {"scale": 0.9},
    {"scale": -0.3, "mask": "float (N, S)"},
]


@pytest.mark.parametrize("fused", [True, False], ids=["from log-sum-exp", "from whole rows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("options", CALLS, ids=str)
def test_entries_equal_a_float64_softmax_over_all_keys(
    options: dict[str, object], dtype: torch.dtype, fused: bool
) -> None:
    call = attention_call(dtype=dtype, **options)  # type: ignore[arg-type]
    log_sum_exp = attend(call)[1] if fused else None

    entries = attention_entries(call, ROWS, COLUMNS, heads="all", log_sum_exp=log_sum_exp)

    assert entries.dtype == torch.float32
    expected = reference(call)[:, :, ROWS][..., COLUMNS]
    # Scores near -10000 are themselves known to 0.0005 only, in torch's own float32 as in ours.
    rtol = 1e-3 if options.get("mask") == "a row of -10000" else 1e-4
    torch.testing.assert_close(entries, expected.float(), rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("mask", ["no mask", "bool (N, S)", "float (N, S)", "a masked row, bool"])
def test_the_fused_kernel_is_read_on_the_cpu(mask: str) -> None:
    assert attend(attention_call(mask))[1] is not None


@pytest.mark.parametrize("mask", ["a row of the smallest float", "a row of -10000"])
def test_a_log_sum_exp_without_digits_left_is_not_used(mask: str) -> None:
    assert attend(attention_call(mask))[1] is None


@pytest.mark.parametrize("fused", [True, False], ids=["from log-sum-exp", "from whole rows"])
@pytest.mark.parametrize("heads", ["mean", "all"])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(2, 9), slice(None, 4)),
        (slice(None), slice(None)),
        (slice(1, None, 3), slice(-3, None)),
        (torch.arange(QUERIES) % 2 == 0, torch.tensor([-1, 2, 2])),
        (slice(5, 5), torch.tensor([1])),
    ],
    ids=["ranges", "everything", "steps and negative", "bool and repeated", "no rows"],
)
def test_rows_and_columns_index_like_the_full_matrix(
    rows: Tensor | slice, columns: Tensor | slice, heads: str, fused: bool
) -> None:
    call = attention_call("float (N, S)")
    expected = reference(call)[:, :, rows][..., columns]
    log_sum_exp = attend(call)[1] if fused else None
    entries = attention_entries(call, rows, columns, heads=heads, log_sum_exp=log_sum_exp)  # type: ignore[arg-type]
    torch.testing.assert_close(
        entries, (expected.mean(1) if heads == "mean" else expected).float(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("row_chunk", [1, 3, 1000])
@pytest.mark.parametrize("fused", [True, False], ids=["from log-sum-exp", "from whole rows"])
def test_the_chunk_changes_nothing(row_chunk: int, fused: bool) -> None:
    call = attention_call(is_causal=True, enable_gqa=True)
    log_sum_exp = attend(call)[1] if fused else None
    whole = attention_entries(call, ROWS, COLUMNS, log_sum_exp=log_sum_exp, row_chunk=len(ROWS))
    chunked = attention_entries(call, ROWS, COLUMNS, log_sum_exp=log_sum_exp, row_chunk=row_chunk)
    torch.testing.assert_close(chunked, whole, rtol=1e-6, atol=1e-8)


def test_large_scores_stay_exact() -> None:
    """Models with massive activations have scores of hundreds; float32 still resolves their differences."""
    call = attention_call(scale=30.0)
    expected = reference(call)
    for log_sum_exp in (attend(call)[1], None):
        entries = attention_entries(call, slice(None), slice(None), heads="all", log_sum_exp=log_sum_exp)
        torch.testing.assert_close(entries, expected.float(), rtol=1e-3, atol=1e-4)


def test_one_key_for_a_whole_batch_is_broadcast() -> None:
    query, key = random(3, HEADS, QUERIES, SIZE), random(1, HEADS, KEYS, SIZE, seed=5)
    call = AttentionCall(query, key, key)
    expected = reference(AttentionCall(query, key.expand(3, -1, -1, -1), key))
    entries = attention_entries(call, slice(None), slice(None), heads="all")
    torch.testing.assert_close(entries, expected.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("beyond", [torch.tensor([KEYS]), torch.tensor([-KEYS - 1]), torch.ones(3, dtype=torch.bool)])
def test_positions_beyond_the_keys_are_refused(beyond: Tensor) -> None:
    with pytest.raises(IndexError):
        attention_entries(attention_call(), slice(None), beyond)


def test_nan_in_a_query_is_not_hidden() -> None:
    call = attention_call("bool (N, S)")
    call.query[0, 0, 3] = math.nan
    for log_sum_exp in (attend(call)[1], None):
        entries = attention_entries(call, ROWS, slice(0, 1), heads="all", log_sum_exp=log_sum_exp)
        assert entries[0, 0, 1].isnan().all()
        assert entries.isnan().sum() == 1


def test_autocast_is_the_call_that_the_kernel_sees() -> None:
    call = attention_call("float (N, S)")
    assert call.autocast() is call
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = scaled_dot_product_attention(call.query, call.key, call.value, attn_mask=call.attn_mask)
        cast = call.autocast()
        entries = attention_entries(cast, ROWS, COLUMNS, heads="all")
    assert {cast.query.dtype, cast.key.dtype, cast.value.dtype} == {torch.bfloat16}
    torch.testing.assert_close(attend(cast)[0], expected, rtol=0, atol=0)
    torch.testing.assert_close(entries, reference(cast)[:, :, ROWS][..., COLUMNS].float(), rtol=1e-4, atol=1e-6)
