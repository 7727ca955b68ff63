"""What every diffusion transformer family offers to a pipeline that reads its text-to-image attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from groundkit.attention.choices import AttentionDirection as AttentionDirection
from groundkit.attention.maps import AttentionMaps
from groundkit.attention.select import select_layers as select_layers


@dataclass(frozen=True)
class EncodedImage:
    """Clean latents of one picture: float32 ``(1, P, channels)`` on the CPU, with ``grid`` = (h, w), P = h * w."""

    tokens: Tensor
    grid: tuple[int, int]

    def __post_init__(self) -> None:
        if self.tokens.ndim != 3 or self.tokens.shape[1] != self.grid[0] * self.grid[1]:
            raise ValueError(f"tokens must be (1, {self.grid[0] * self.grid[1]}, C), got {tuple(self.tokens.shape)}")


@dataclass(frozen=True)
class EncodedText:
    """Text states ``(1, T, width)`` and the pooled vector ``(1, width)``."""

    states: Tensor
    pooled: Tensor


class DiffusionModel(Protocol):
    """A diffusion transformer that is read, not sampled from. See ``diffusion.flux.FluxModel``."""

    name: str
    tokenizer: Any
    max_tokens: int
    layer_names: tuple[str, ...]

    def encode_image(self, image: npt.NDArray[np.uint8]) -> EncodedImage: ...

    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> EncodedText: ...

    def read_attention(
        self,
        image: EncodedImage,
        text: EncodedText,
        *,
        noise_level: float,
        seed: int,
        layers: str,
        heads: Sequence[int] | None = None,
        direction: AttentionDirection = AttentionDirection.IMAGE_TO_TEXT,
        guidance: float = 3.5,
    ) -> AttentionMaps: ...


def fit_size(height: int, width: int, *, area: float, step: int) -> tuple[int, int]:
    """Height and width in whole steps, of about an area and of a picture's own shape.

    A strip longer than any model ever saw is squeezed: 8:1 keeps the long side below three sides of a square of that
    area.
    """
    scale = (area / (height * width)) ** 0.5
    longest = round((8 * area) ** 0.5 / step) * step
    rows, columns = (min(longest, max(step, round(side * scale / step) * step)) for side in (height, width))
    return rows, columns


def blocks_of(transformer: Any, *lists: str) -> dict[str, nn.Module]:
    """The blocks in the named lists of a transformer, as ``transformer_blocks.0`` and so on, in the order they run."""
    return {f"{name}.{index}": block for name in lists for index, block in enumerate(getattr(transformer, name))}
