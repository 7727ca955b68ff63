"""LLaVA-1.5: one square view of the picture, its patches row by row; causal throughout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import Tensor

from groundkit.models.vision_language import View, VisionLanguageModel


class LlavaModel(VisionLanguageModel):
    """LLaVA-1.5 and others of its class: 24 x 24 tokens for CLIP ViT-L/14 at 336 pixels.

    CLIP's processor scales the shorter side and cuts the middle out of the longer one: what it cut away has no token.
    """

    model_types = ("llava",)

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[View, ...]:
        positions = self.image_tokens(inputs)
        height, width = (side // self.processor.patch_size for side in inputs["pixel_values"].shape[-2:])
        return (View(positions, (height, width), self._box(picture)),)

    def _box(self, picture: npt.NDArray[np.uint8]) -> tuple[float, float, float, float]:
        processor = self.processor.image_processor
        if not processor.do_center_crop or "shortest_edge" not in processor.size:
            return (0.0, 0.0, 1.0, 1.0)
        height, width = picture.shape[:2]
        scale = processor.size["shortest_edge"] / min(height, width)
        across = processor.crop_size["width"] / (width * scale) / 2
        down = processor.crop_size["height"] / (height * scale) / 2
        return (0.5 - across, 0.5 - down, 0.5 + across, 0.5 + down)
