"""Files of training runs, whole or not there: a run may be stopped at any moment."""

import os
from pathlib import Path

import torch


def save(path: Path, **state: object) -> None:
    """Save under a temporary name and rename."""
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)
