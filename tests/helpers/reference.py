"""What a plain run computes: the reference that readings of attention are held against."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


class QueriesAndKeys(TorchFunctionMode):
    """Keeps query, key and mask of every attention call inside chosen modules: the reference for the tap."""

    def __init__(self, modules: dict[str, torch.nn.Module]) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self.inside = 0
        self.hooks = [
            hook
            for module in modules.values()
            for hook in (
                module.register_forward_pre_hook(lambda *_: self.step(1)),
                module.register_forward_hook(lambda *_: self.step(-1)),
            )
        ]

    def step(self, by: int) -> None:
        self.inside += by

    def __exit__(self, *error: Any) -> None:
        for hook in self.hooks:
            hook.remove()
        super().__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and self.inside:
            named = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | kwargs
            mask = named.get("attn_mask")
            self.calls.append((named["query"][0].clone(), named["key"][0].clone(), mask))
        return func(*args, **kwargs)
