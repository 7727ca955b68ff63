"""The optimisers of all trainings: Muon turns matrices and kernels of convolutions, AdamW moves everything else."""

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
    """Muon for the matrices and kernels whose name matches the expression ``matrices``, AdamW for the others.

    Kernels are matrices of one row an output, and have to lie in memory as ``channels_last`` lays them.
    """
    turned: list[nn.Parameter] = []
    moved: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim in (2, 4) and re.search(matrices, name):
            turned.append(parameter if parameter.ndim == 2 else _flat(parameter))
        else:
            moved.append(parameter)
    return [
        torch.optim.Muon(turned, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw", ns_steps=4),
        torch.optim.AdamW(moved, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _flat(kernel: nn.Parameter) -> nn.Parameter:
    """A kernel ``(O, I, h, w)`` as a matrix ``(O, h * w * I)`` on the same memory, with the kernel's gradients."""
    matrix = nn.Parameter(kernel.detach().permute(0, 2, 3, 1).view(len(kernel), -1))

    def take_gradient(kernel: torch.Tensor) -> None:
        assert kernel.grad is not None
        matrix.grad = kernel.grad.permute(0, 2, 3, 1).flatten(1)

    kernel.register_post_accumulate_grad_hook(take_gradient)  # type: ignore[no-untyped-call]
    return matrix


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


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, step: int, *, keep: float = 0.999, ramp: int = 20) -> None:
    """Move averaged weights towards the model's after each step: ``keep`` of them stays, at first less, by ``ramp``."""
    weight = 1 - min(keep, (step + 1) / (step + ramp))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
