"""Gemma 3: one view of the whole picture, whose tokens see each other both ways; all else is causal."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import numpy as np
import numpy.typing as npt
from torch import Tensor

from groundkit.attention.grids import TokenGrid
from groundkit.models.vision_language.base import PlacedGrid, VisionLanguageModel


class Gemma3Model(VisionLanguageModel):
    """Gemma 3 from 4B up: 16 x 16 tokens for the whole picture, stretched to a square without cut or padding.

    No tiles, no thumbnail: its "pan and scan", a second look at parts of long pictures, stays off, as the processor
    has it. Not causal: a token of the picture sees all of the picture; no other token sees one after it. In most layers
    a token sees only the last ``sliding_window`` tokens, of the picture too; the attention read there is 0 before them.
    """

    causal = False
    keeps_prefix = False

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        side = isqrt(self.processor.image_seq_length)
        return (PlacedGrid(positions, TokenGrid((side, side))),)


FAMILY = Gemma3Model
