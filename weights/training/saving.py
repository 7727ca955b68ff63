"""Files of training runs, whole or not there: a run may be stopped at any moment."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn


def save(path: Path, **state: object) -> None:
    """Save under a temporary name and rename."""
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


def resume(path: Path, optimisers: Sequence[torch.optim.Optimizer], **models: nn.Module) -> int:
    """Go on from what ``save`` left, models under their names, and return its step; 0 when nothing is there."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    for name, model in models.items():
        model.load_state_dict(state[name])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return int(state["step"])
