"""Keep on the GPU only the part of a model that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import cpu_offload
from torch import nn

from groundkit.errors import ConfigError


def check_offload(device: torch.device) -> None:
    """Raise ConfigError where there is nothing to move the parts to."""
    if device.type == "cpu":
        raise ConfigError("--offload moves parts to a GPU one at a time; on the CPU leave it out")


def offload_blocks(model: Any, device: torch.device) -> None:
    """Keep the blocks of a transformers model in main memory, and bring each to ``device`` while it runs.

    What is in no list of blocks (embeddings, projector, head) is moved there for good: families use some of it outside
    of its own ``forward``, where accelerate's hooks do not see it.
    """
    for blocks in _block_lists(model):
        for block in blocks:
            cpu_offload(block, device)
    model._apply(lambda tensor: tensor if tensor.is_meta else tensor.to(device))


def _block_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    """The outermost lists of modules."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _block_lists(child)
