"""SmolVLM and Idefics3: the picture in square tiles, row by row, then the whole of it; causal throughout."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt

import numpy as np
import numpy.typing as npt
from torch import Tensor

from groundkit.models.vision_language.base import PlacedGrid, VisionLanguageModel, tiles_then_whole


class SmolVlmModel(VisionLanguageModel):
    """SmolVLM2 is of its own type, SmolVLM and Idefics3 are of Idefics3's: 8 x 8 or 9 x 9, and 13 x 13 tokens a view.

    The processor stretches the picture to a whole number of tiles each way, without cut or padding, and tells the model
    row and column of each; the whole picture, stretched to one square, comes last. A small picture, or one that is not
    to be split, is the whole alone. SmolVLM2's processor needs the package ``num2words``, which numbers videos' frames.
    """

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        side = isqrt(self.processor.image_seq_len)
        _, rows, columns = self.processor.image_processor.get_number_of_image_patches(*picture.shape[:2])
        return tiles_then_whole(positions, (side, side), rows, columns)

    def pixel_inputs(self, inputs: Mapping[str, Tensor]) -> tuple[str, ...]:
        return ("pixel_values", "pixel_attention_mask")


FAMILY = SmolVlmModel
