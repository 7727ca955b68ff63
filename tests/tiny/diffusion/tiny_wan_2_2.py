"""A tiny Wan 2.2: two transformers, and the noise of every patch told apart."""

from pathlib import Path

import tiny_wan


def save(folder: Path) -> None:
    tiny_wan.save(folder, transformer_2=tiny_wan.transformer(), boundary_ratio=0.875, expand_timesteps=True)
