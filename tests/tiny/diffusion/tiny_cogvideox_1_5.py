"""A tiny CogVideoX 1.5: rotary positions, and two slices of latents in one patch."""

from pathlib import Path

import tiny_cogvideox


def save(folder: Path) -> None:
    tiny_cogvideox.save(folder, use_rotary_positional_embeddings=True, patch_size_t=2, patch_bias=False)
