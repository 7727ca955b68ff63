"""The optimisers of both trainings: Muon turns the matrices of transformer blocks, AdamW moves everything else."""

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# Elsewhere products in bfloat16 are fifty times slower than in float32, and more.
NATIVE_BFLOAT16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def build_optimisers(model: nn.Module, rate: float, *, matrices: str) -> list[torch.optim.Optimizer]:
    """Muon for the two-dimensional parameters whose name matches the expression ``matrices``, AdamW for the others."""
    turned: list[nn.Parameter] = []
    moved: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (turned if parameter.ndim == 2 and re.search(matrices, name) else moved).append(parameter)
    return [
        torch.optim.Muon(turned, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw", ns_steps=4),
        torch.optim.AdamW(moved, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def set_rate(optimisers: list[torch.optim.Optimizer], rate: float) -> None:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate


def rate_factor(step: int, total: int, *, warm_up: int, decay: int) -> float:
    """Warm-up, constant, and a linear fall to a twentieth over the last ``decay`` steps."""
    if step < warm_up:
        return (step + 1) / warm_up
    return max(0.05, min(1.0, (total - step) / decay)) if decay else 1.0


def autocast() -> torch.autocast:
    """bfloat16 where the processor multiplies it natively."""
    return torch.autocast("cpu", torch.bfloat16, enabled=NATIVE_BFLOAT16)


class _StayInFloat32(TorchFunctionMode):
    """Muon turns its matrices in bfloat16 and offers no choice; here ``tensor.bfloat16()`` is a float32 copy."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return args[0].float().clone() if func is torch.Tensor.bfloat16 else func(*args, **(kwargs or {}))


def take_step(optimisers: list[torch.optim.Optimizer]) -> None:
    with contextlib.nullcontext() if NATIVE_BFLOAT16 else _StayInFloat32():
        for optimiser in optimisers:
            optimiser.step()
