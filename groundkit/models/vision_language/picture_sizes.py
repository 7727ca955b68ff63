"""How large a picture each vision-language model is given, where that is not fixed by the model itself.

Only the types below grow their number of image tokens with the picture. Every other family brings a picture of any size
to a fixed number of tokens, or to a bounded number of tiles: LLaVA-1.5, PaliGemma and Gemma 3 to one square, Idefics3
and SmolVLM to a fixed longest side. So do the diffusion families, which read a picture at the area that they were
trained at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# How a picture that is not square is shown to a model whose processor would cut its middle out.
Framing = Literal["pad", "crop"]


@dataclass(frozen=True)
class PictureSize:
    """What a model whose image tokens grow with the picture is given.

    Attributes:
        min_pixels: a smaller picture is enlarged to this many; None: as it is.
        max_pixels: a larger picture is reduced to this many; None: the model's processor bounds its tokens.
        source: where the figures come from.
    """

    min_pixels: int | None
    max_pixels: int | None
    source: str


def _tokens(pixels: int, source: str) -> PictureSize:
    """256 to 1280 tokens of this many pixels: Qwen's own example of settings "to balance performance and cost"."""
    return PictureSize(256 * pixels, 1280 * pixels, source)


_QWEN2 = _tokens(28 * 28, "README of Qwen2-VL and Qwen2.5-VL: min_pixels = 256*28*28, max_pixels = 1280*28*28")
# By the model's type, or its vision tower's.
PICTURE_SIZES: dict[str, PictureSize] = {
    "qwen2_vl": _QWEN2,  # its processor alone would allow 16,384 tokens
    "qwen2_5_vl": _QWEN2,
    "qwen3_vl": _tokens(32 * 32, "README of Qwen3-VL: shortest_edge 256*32*32, longest_edge 1280*32*32"),
    "llava_onevision": PictureSize(None, None, "trained with at most 9 squares of tokens (anyres_max_9), then shrunk"),
    "internvl": PictureSize(None, None, "max_patches of the processor, 12 tiles in the published checkpoints"),
    "pixtral": PictureSize(None, None, "longest_edge of the processor, 1024 pixels in the published checkpoint"),
}
