"""InternVL: the picture in square tiles, row by row, then a thumbnail of the whole; causal throughout."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import numpy as np
import numpy.typing as npt
from torch import Tensor
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

from groundkit.models.vision_language.base import PlacedGrid, VisionLanguageModel, tiles_then_whole


class InternVlModel(VisionLanguageModel):
    """InternVL of the class in transformers (``-hf``): 16 x 16 tokens for each tile of 448 pixels.

    The processor takes the arrangement of tiles whose shape is nearest to the picture's and stretches the picture to
    it, without cut or padding. With one tile, or with ``crop_to_patches`` off, there is the whole picture alone.
    """

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        side = isqrt(self.processor.image_seq_length)
        rows = columns = 1
        if len(inputs["pixel_values"]) > 1:
            processor = self.processor.image_processor
            columns, rows = get_optimal_tiled_canvas(
                picture.shape[:2],
                (processor.size["height"], processor.size["width"]),
                processor.min_patches,
                processor.max_patches,
            )
        return tiles_then_whole(positions, (side, side), rows, columns)


FAMILY = InternVlModel
