"""The output of ``scaled_dot_product_attention``, and each row's log-sum-exp where a fused kernel returns it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.overrides import handle_torch_function, has_torch_function

from groundkit.attention.softmax import AttentionCall, attention_entries

Kernel = Callable[[AttentionCall], tuple[Tensor, Tensor]]
"""Runs a call and returns its output and its log-sum-exp ``(B, H, N)``."""


def _flash_cpu(call: AttentionCall) -> tuple[Tensor, Tensor]:
    mask = call.attn_mask
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=call.query.dtype).masked_fill_(~mask, -math.inf)
    output, log_sum_exp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        call.query, call.key, call.value, call.dropout_p, call.is_causal, attn_mask=mask, scale=call.scale
    )
    return output, log_sum_exp


def _flash_cuda(call: AttentionCall) -> tuple[Tensor, Tensor]:
    output, log_sum_exp, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
        call.query, call.key, call.value, call.dropout_p, call.is_causal, False, scale=call.scale
    )
    return output, log_sum_exp


def _efficient_cuda(call: AttentionCall) -> tuple[Tensor, Tensor]:
    output, log_sum_exp, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        call.query, call.key, call.value, None, True, call.dropout_p, call.is_causal, scale=call.scale
    )
    return output, log_sum_exp[:, :, : call.query.shape[2]]  # padded to a multiple of 32


def _cudnn_cuda(call: AttentionCall) -> tuple[Tensor, Tensor]:
    output, log_sum_exp, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(
        call.query, call.key, call.value, None, True, call.dropout_p, call.is_causal, False, scale=call.scale
    )
    return output, log_sum_exp.reshape(call.query.shape[:3])


# Keyed by device type and by the backend torch chooses. Trusted: the tests prove it. Unproved: no such device is at
# hand where the tests run, so the first call of each kind proves it.
_TRUSTED: dict[tuple[str, SDPBackend], Kernel] = {("cpu", SDPBackend.FLASH_ATTENTION): _flash_cpu}
_UNPROVED: dict[tuple[str, SDPBackend], Kernel] = {
    ("cuda", SDPBackend.FLASH_ATTENTION): _flash_cuda,
    ("cuda", SDPBackend.EFFICIENT_ATTENTION): _efficient_cuda,
    ("cuda", SDPBackend.CUDNN_ATTENTION): _cudnn_cuda,
}
_CHOOSERS = {device for device, _ in (*_TRUSTED, *_UNPROVED)}
_verdicts: dict[Hashable, bool] = {}


def attend(call: AttentionCall) -> tuple[Tensor, Tensor | None]:
    """Run an attention call with the very kernel that torch would choose for it.

    Like the functions of torch it can be overridden by a ``TorchFunctionMode``: that is how nested taps see one call.

    Returns:
        The output, bit for bit that of ``scaled_dot_product_attention``, and the natural log-sum-exp ``(B, H, N)`` of
        each row's scores; None in its place when the kernel does not return it, or not precisely enough.
    """
    tensors = (call.query, call.key, call.value)
    if has_torch_function(tensors):
        result: tuple[Tensor, Tensor | None] = handle_torch_function(attend, tensors, call)
        return result
    backend = _backend(call)
    if backend in _TRUSTED:
        output, log_sum_exp = _TRUSTED[backend](call)
    elif backend in _UNPROVED and _fits_cuda(call):
        kind = (*backend, call.query.dtype, call.query.shape[-1], call.is_causal)
        if kind not in _verdicts:
            output, _verdicts[kind] = _prove(backend, call)
            return output, None
        if not _verdicts[kind]:
            return _plain(call), None
        output, log_sum_exp = _UNPROVED[backend](call)
    else:
        return _plain(call), None
    return output, log_sum_exp if _is_precise(log_sum_exp, call) else None


def _plain(call: AttentionCall) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(
        call.query,
        call.key,
        call.value,
        attn_mask=call.attn_mask,
        dropout_p=call.dropout_p,
        is_causal=call.is_causal,
        scale=call.scale,
        enable_gqa=call.enable_gqa,
    )


def _backend(call: AttentionCall) -> tuple[str, SDPBackend] | None:
    """What torch itself would choose, or None for a call that only ``scaled_dot_product_attention`` may answer."""
    query, mask = call.query, call.attn_mask
    # Torch's chooser has no answer for other devices, MPS among them: asking it there is an error.
    if query.device.type not in _CHOOSERS:
        return None
    # It splits off other shapes before it chooses, and refuses such masks in its own words; the kernels do neither.
    if query.ndim != 4:
        return None
    if mask is not None and (call.is_causal or mask.dtype not in (torch.bool, torch.float32, query.dtype)):
        return None
    choice = torch._fused_sdp_choice(
        query,
        call.key,
        call.value,
        mask,
        call.dropout_p,
        call.is_causal,
        scale=call.scale,
        enable_gqa=call.enable_gqa,
    )
    return query.device.type, SDPBackend(choice)


def _fits_cuda(call: AttentionCall) -> bool:
    """Torch pads masks and odd head sizes before it calls the CUDA kernels; those calls are left to torch."""
    return call.attn_mask is None and call.query.shape[-1] % 8 == 0


def _is_precise(log_sum_exp: Tensor, call: AttentionCall) -> bool:
    """Whether an entry may be taken from the log-sum-exp.

    A row masked throughout by a large finite number, such as ``torch.finfo(dtype).min``, has a log-sum-exp of that
    size, and float32 has no digits left there for the logarithm of the number of keys.
    """
    mask = call.attn_mask
    return mask is None or mask.dtype == torch.bool or bool(log_sum_exp.abs().amax() < 1000)


def _prove(backend: tuple[str, SDPBackend], call: AttentionCall) -> tuple[Tensor, bool]:
    """The plain output, and whether the kernel returns the same one and a log-sum-exp that yields the same entries."""
    expected = _plain(call)
    try:
        output, log_sum_exp = _UNPROVED[backend](call)
        rows = torch.linspace(0, call.query.shape[2] - 1, 4).long()
        columns = slice(None)
        entries = attention_entries(call, rows, columns, log_sum_exp=log_sum_exp.detach())
        proved = torch.equal(output, expected) and torch.allclose(
            entries, attention_entries(call, rows, columns), rtol=1e-3, atol=1e-6
        )
        reason = "differs from scaled_dot_product_attention"
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        proved, reason = False, f"refused the call ({str(error).splitlines()[0]})"
    if not proved:
        warnings.warn(
            f"attention is read without a fused kernel, which is slower: {backend[1].name} on {backend[0]} {reason}",
            stacklevel=2,
        )
    return expected, proved
