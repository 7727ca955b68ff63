"""Qwen2-VL and Qwen2.5-VL: one view of the picture at about its own size, row by row; causal throughout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from groundkit.attention.grids import TokenGrid
from groundkit.models.vision_language.base import PlacedGrid, VisionLanguageModel


class Qwen2VlModel(VisionLanguageModel):
    """Qwen2-VL and Qwen2.5-VL: a token for each 28 x 28 pixels, which are 2 x 2 patches of the vision tower.

    The processor scales the whole picture, width and height each to the nearest multiple of 28, and smaller or larger
    when it would have too many tokens or too few. Nothing is cut or padded, and there are no tiles and no thumbnail.
    """

    def pixel_inputs(self, inputs: Mapping[str, Tensor]) -> tuple[str, ...]:
        return ("pixel_values", "image_grid_thw")

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        patches = inputs["image_grid_thw"][0]  # (time, height, width)
        rows, columns = (patches[1:] // self.model.config.vision_config.spatial_merge_size).tolist()
        return (PlacedGrid(positions, TokenGrid((rows, columns))),)


FAMILY = Qwen2VlModel
