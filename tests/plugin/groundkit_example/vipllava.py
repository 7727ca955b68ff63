"""ViP-LLaVA: the patches of one square view of the picture, row by row; causal throughout."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import numpy as np
import numpy.typing as npt
from torch import Tensor

from groundkit.attention.grids import TokenGrid
from groundkit.models.vision_language.base import PlacedGrid, VisionLanguageModel


class VipLlavaModel(VisionLanguageModel):
    """ViP-LLaVA: 24 x 24 tokens for CLIP ViT-L/14 at 336 pixels, to which the picture is stretched."""

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        side = isqrt(len(positions))
        return (PlacedGrid(positions, TokenGrid((side, side))),)


FAMILY = VipLlavaModel
