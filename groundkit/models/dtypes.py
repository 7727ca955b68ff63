"""Which dtype ``auto`` stands for: bfloat16 where the processor computes in it, float32 where it does not."""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class DtypeChoice:
    """A dtype, and why, as the end of "bfloat16: ..."."""

    dtype: torch.dtype
    reason: str


def choose_dtype(device: torch.device, *, embedded: bool = False, published: torch.dtype | None = None) -> DtypeChoice:
    """The dtype in which a model runs when nobody asks for one.

    Args:
        device: where it runs.
        embedded: whether it is nano, which is small, and was trained and measured in float32.
        published: the dtype that the checkpoint's configuration names. float16 has no room for large numbers, so it is
            taken only of a model that was published in it, on a GPU without bfloat16.
    """
    if embedded:
        return DtypeChoice(torch.float32, "nano is small and was measured in it")
    where, has_bfloat16 = _processor(device)
    if has_bfloat16:
        return DtypeChoice(torch.bfloat16, f"{where} computes in it")
    if device.type == "cuda" and published is torch.float16:
        return DtypeChoice(
            torch.float16, f"{where} does not compute in bfloat16, and the model was published in float16"
        )
    return DtypeChoice(torch.float32, f'{where} does not compute in bfloat16; dtype="bfloat16" halves the memory')


def _processor(device: torch.device) -> tuple[str, bool]:
    """A name for what computes, and whether it computes in bfloat16."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        # Before Ampere torch lets bfloat16 pass for supported, and emulates it.
        return f"a GPU of compute capability {capability[0]}.{capability[1]}", capability >= (8, 0)
    if device.type == "mps":
        return "Apple's GPU under this macOS", bool(torch.backends.mps.is_macos_or_newer(14, 0))
    return "this processor", _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 (AVX512-BF16, AMX, Arm's BF16); others emulate it, slower than float32."""
    if platform.machine() in ("arm64", "aarch64"):
        # torch for macOS is built without this library, and so without the question.
        tests = [getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)]
    else:
        tests = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    return any(test is not None and test() for test in tests)
