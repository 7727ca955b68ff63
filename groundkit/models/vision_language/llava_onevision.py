"""LLaVA-OneVision: the whole picture, then one larger grid of it put together from tiles; causal throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_utils import ChannelDimension
from transformers.models.llava_onevision.modeling_llava_onevision import unpad_image

from groundkit.attention.grids import TokenGrid
from groundkit.models.vision_language.base import PlacedGrid, VisionLanguageModel


class LlavaOnevisionModel(VisionLanguageModel):
    """LLaVA-OneVision: 27 x 27 tokens for SigLIP at 384 pixels, twice over.

    First the whole picture, scaled to a square without regard to its shape. Then the picture scaled to fit into a frame
    of several such squares, whose tokens the model puts together into one grid. It leaves out rows or columns that only
    padded the frame, shrinks a grid of more than about 11 squares, and ends each row with a token that shows nothing.

    The last 6 of a square's 384 pixels have no token. Boxes end where the last token does, so that, between the squares
    of a frame, a token is less than half its size away from where an even grid has it.
    """

    def pixel_inputs(self, inputs: Mapping[str, Tensor]) -> tuple[str, ...]:
        return ("pixel_values", "image_sizes", "batch_num_images")

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        vision = self.model.config.vision_config
        side = vision.image_size // vision.patch_size
        share = side * vision.patch_size / vision.image_size
        rows, columns, box = self._frame(picture)
        frame = positions[side * side :].reshape(rows, columns + 1)[:, :columns]
        return (
            PlacedGrid(positions[: side * side], TokenGrid((side, side), (0.0, 0.0, share, share))),
            PlacedGrid(frame.flatten(), TokenGrid((rows, columns), box)),
        )

    def _frame(self, picture: npt.NDArray[np.uint8]) -> tuple[int, int, tuple[float, float, float, float]]:
        """The grid's rows and columns as the model keeps them, and the box they show."""
        config = self.model.config
        square, patch = config.vision_config.image_size, config.vision_config.patch_size
        side = square // patch
        size = picture.shape[:2]
        frame = select_best_resolution(size, config.image_grid_pinpoints)
        height, width = (length // square * side for length in frame)
        kept = unpad_image(torch.arange(height * width).reshape(1, height, width), size)[0]
        scaled = get_patch_output_size(picture, frame, ChannelDimension.LAST)

        def share(index: int, ends: int, axis: int) -> float:
            pixel = index // side * square + (index % side + ends) * patch
            return float((pixel - (frame[axis] - scaled[axis]) // 2) / scaled[axis])

        (top, left), (bottom, right) = (divmod(int(corner), width) for corner in (kept[0, 0], kept[-1, -1]))
        box = (share(left, 0, 1), share(top, 0, 0), share(right, 1, 1), share(bottom, 1, 0))
        rows, columns = kept.shape
        most = int(config.vision_aspect_ratio.removeprefix("anyres_max_"))
        ratio = math.sqrt(rows * columns / (most * side**2))
        if ratio > 1.1:
            rows, columns = int(rows // ratio), int(columns // ratio)
        return rows, columns, box


FAMILY = LlavaOnevisionModel
