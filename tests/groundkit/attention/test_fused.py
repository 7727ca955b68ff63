import re
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from groundkit.attention import fused
from groundkit.attention.fused import attend
from groundkit.attention.softmax import AttentionCall

CPU_FLASH = ("cpu", SDPBackend.FLASH_ATTENTION)


def tensors(dtype: torch.dtype, queries: int, keys: int, heads: int, key_heads: int, size: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(queries + keys + heads)
    shapes = [(2, queries, heads, size), (2, keys, key_heads, size), (2, keys, key_heads, size)]
    return [torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for shape in shapes]


def plain(call: AttentionCall) -> Tensor:
    options = {name: getattr(call, name) for name in ("attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")}
    return scaled_dot_product_attention(call.query, call.key, call.value, **options)


KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "scale": {"scale": 0.7},
    "bool mask": {"attn_mask": torch.rand(70, 70, generator=torch.Generator().manual_seed(0)) > 0.3},
    "bool mask (B, 1, 1, S)": {"attn_mask": (torch.arange(70) < 50).expand(2, 1, 1, 70)},
    "masked rows": {"attn_mask": (torch.arange(70) < 50)[:, None].expand(70, 70)},
    "float mask": {"attn_mask": torch.randn(1, 4, 70, 70, generator=torch.Generator().manual_seed(1))},
    "smallest float mask": {"attn_mask": torch.full((70, 70), torch.finfo(torch.float32).min).triu(1)},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("key_heads", [4, 2], ids=["every head", "grouped heads"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_bit_for_bit_that_of_torch(kind: str, key_heads: int, dtype: torch.dtype) -> None:
    call = AttentionCall(*tensors(dtype, 70, 70, 4, key_heads), **KINDS[kind], enable_gqa=key_heads < 4)  # type: ignore[arg-type]
    output, _ = attend(call)
    expected = plain(call)
    assert torch.equal(output, expected)
    assert output.dtype == expected.dtype
    assert output.stride() == expected.stride()


@pytest.mark.parametrize("grad", ["training", "no_grad", "inference_mode"])
def test_gradients_are_bit_for_bit_those_of_torch(grad: str) -> None:
    context = {"training": torch.enable_grad, "no_grad": torch.no_grad, "inference_mode": torch.inference_mode}[grad]
    results = []
    for run in (plain, lambda call: attend(call)[0]):
        inputs = [tensor.clone().requires_grad_() for tensor in tensors(torch.float32, 33, 33, 4, 4)]
        with context():
            output = run(AttentionCall(*inputs, is_causal=True))
        if grad == "training":
            output.square().sum().backward()
        results.append([output, *(tensor.grad for tensor in inputs)])
    assert results[0][0].requires_grad == results[1][0].requires_grad
    assert results[0][0].is_inference() == results[1][0].is_inference()
    for expected, actual in zip(*results, strict=True):
        assert (expected is None and actual is None) or torch.equal(expected, actual)


QUERY, KEY, VALUE = tensors(torch.float32, 9, 9, 4, 4)


@pytest.mark.parametrize(
    "call",
    [
        AttentionCall(QUERY, KEY, VALUE[..., :8]),
        AttentionCall(QUERY, KEY[:1], VALUE[:1]),
        AttentionCall(QUERY.mT.contiguous().mT, KEY, VALUE),
        AttentionCall(QUERY[:, :, :0], KEY, VALUE),
        AttentionCall(QUERY[0], KEY[0], VALUE[0]),
    ],
    ids=["other value size", "broadcast batch", "transposed query", "no queries", "3-D"],
)
def test_a_call_outside_the_kernel_is_left_to_torch(call: AttentionCall) -> None:
    output, log_sum_exp = attend(call)
    assert torch.equal(output, plain(call))
    assert log_sum_exp is None


def test_a_kernel_forbidden_by_the_user_is_not_used() -> None:
    with sdpa_kernel(SDPBackend.MATH):
        assert attend(AttentionCall(QUERY, KEY, VALUE))[1] is None


@pytest.mark.parametrize(
    "call",
    [
        AttentionCall(QUERY, KEY, VALUE, attn_mask=torch.zeros(9, 9), is_causal=True),
        AttentionCall(QUERY, KEY, VALUE, attn_mask=torch.zeros(9, 9, dtype=torch.float64)),
        AttentionCall(QUERY, KEY, VALUE, attn_mask=torch.ones(9, 9, dtype=torch.int64)),
        AttentionCall(QUERY, KEY[:, :2], VALUE[:, :2]),
        AttentionCall(QUERY, KEY.double(), VALUE),
    ],
    ids=["mask and causal", "float64 mask", "int mask", "grouped heads unannounced", "mixed dtypes"],
)
def test_a_call_that_torch_refuses_is_refused_in_its_words(call: AttentionCall) -> None:
    try:
        plain(call)
    except RuntimeError as error:
        with pytest.raises(RuntimeError, match=re.escape(str(error))):
            attend(call)
    else:
        pytest.skip(f"torch {torch.__version__} does not refuse it")


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> Callable[[fused.Kernel], None]:
    """Puts a kernel where a CUDA kernel would stand: torch chooses it, and nobody has proved it yet."""
    monkeypatch.setattr(fused, "_TRUSTED", {})
    monkeypatch.setattr(fused, "_verdicts", {})
    return lambda kernel: monkeypatch.setattr(fused, "_UNPROVED", {CPU_FLASH: kernel})


def test_an_unproved_kernel_that_agrees_is_used_from_its_second_call(
    unproved: Callable[[fused.Kernel], None],
) -> None:
    unproved(fused._flash_cpu)
    call = AttentionCall(QUERY, KEY, VALUE)
    first, second = attend(call), attend(call)
    assert torch.equal(first[0], plain(call))
    assert torch.equal(second[0], plain(call))
    assert first[1] is None
    assert second[1] is not None


def wrong_output(call: AttentionCall) -> tuple[Tensor, Tensor]:
    output, log_sum_exp = fused._flash_cpu(call)
    return output + 1e-6, log_sum_exp


def wrong_log_sum_exp(call: AttentionCall) -> tuple[Tensor, Tensor]:
    output, log_sum_exp = fused._flash_cpu(call)
    return output, log_sum_exp / 0.6931  # base 2


def refuses(call: AttentionCall) -> tuple[Tensor, Tensor]:
    raise RuntimeError("no such kernel\nin this build")


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (wrong_output, "differs from scaled_dot_product_attention"),
        (wrong_log_sum_exp, "differs from scaled_dot_product_attention"),
        (refuses, r"refused the call \(no such kernel\)$"),
    ],
    ids=["wrong output", "wrong log-sum-exp", "refuses"],
)
def test_an_unproved_kernel_that_fails_gives_way_with_one_warning(
    unproved: Callable[[fused.Kernel], None], kernel: fused.Kernel, reason: str
) -> None:
    unproved(kernel)
    call = AttentionCall(QUERY, KEY, VALUE)
    with pytest.warns(UserWarning, match=f"FLASH_ATTENTION on cpu {reason}"):
        output, log_sum_exp = attend(call)
    assert torch.equal(output, plain(call))
    assert log_sum_exp is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        output, log_sum_exp = attend(call)
    assert torch.equal(output, plain(call))
    assert log_sum_exp is None


@pytest.mark.parametrize("backend", fused._UNPROVED, ids=lambda backend: backend[1].name)
def test_the_cuda_kernels_take_the_call_and_return_one_number_a_row(backend: tuple[str, SDPBackend]) -> None:
    """Meta tensors run the operators' own shape functions, so a signature that torch changed fails here."""
    query, key, value = (tensor.to("meta") for tensor in tensors(torch.bfloat16, 40, 50, 4, 4))
    output, log_sum_exp = fused._UNPROVED[backend](AttentionCall(query, key, value, is_causal=True, scale=0.1))
    assert output.shape == query.shape
    assert log_sum_exp.shape == query.shape[:3]


def test_a_device_for_which_torch_has_no_kernel_chooser_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on MPS, where torch has no ``_fused_sdp_choice``; meta stands for such a device."""

    def none_here(*_: object, **__: object) -> int:
        raise NotImplementedError("'aten::_fused_sdp_choice' is not currently implemented for this device")

    monkeypatch.setattr(torch, "_fused_sdp_choice", none_here)
    query, key, value = (tensor.to("meta") for tensor in tensors(torch.float32, 9, 9, 4, 4))
    output, log_sum_exp = attend(AttentionCall(query, key, value))
    assert output.shape == query.shape
    assert log_sum_exp is None
