"""LLaVA-1.5: one square view of the picture, its patches row by row; causal throughout."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundkit.attention.grids import TokenGrid
from groundkit.models.vision_language.base import EncodedPicture, PlacedGrid, VisionLanguageModel
from groundkit.models.vision_language.picture_sizes import Framing

# The format of LLaVA-1.5's authors, for copies of the checkpoint that lack it.
_TEMPLATE = (
    "{% for message in messages %}{{ 'USER: ' if message['role'] == 'user' else 'ASSISTANT: ' }}"
    "{% for part in message['content'] %}{{ '<image>\n' if part['type'] == 'image' else part['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


class LlavaModel(VisionLanguageModel):
    """LLaVA-1.5 and others of its class: 24 x 24 tokens for CLIP ViT-L/14 at 336 pixels.

    CLIP's processor scales the shorter side and cuts the middle out of the longer one: what it cut away has no token.
    So the picture is first padded to a square, as LLaVA-1.5's authors do (``image_aspect_ratio: pad``,
    ``expand2square`` in haotian-liu/LLaVA). A checkpoint whose processor stretches to a square keeps that, and one with
    Pixtral's vision tower is shown the picture in its own shape, a token for each 16 x 16 pixels.
    """

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, *, offload: bool = False) -> None:
        super().__init__(model, processor, name, device, offload=offload)
        if processor.patch_size is None:  # copies from before processors knew how many tokens a picture has
            processor.patch_size = model.config.vision_config.patch_size
            processor.vision_feature_select_strategy = model.config.vision_feature_select_strategy
            # CLIP's class token, which "default" leaves out again
            processor.num_additional_image_tokens = int(model.config.vision_config.model_type == "clip_vision_model")
        if not processor.chat_template:
            processor.chat_template = _TEMPLATE
            warnings.warn(
                f"{name}: no chat template; it is asked in LLaVA-1.5's format (USER: ... ASSISTANT:)", stacklevel=2
            )

    def encode(self, image: npt.NDArray[np.uint8], framing: Framing = "pad") -> EncodedPicture:
        if framing == "crop" or not self._cuts:
            return super().encode(image)
        height, width = image.shape[:2]
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        colour = [int(share * 255) for share in self.processor.image_processor.image_mean]
        square = np.full((side, side, 3), colour, dtype=np.uint8)
        square[top : top + height, left : left + width] = image
        box = (-left / width, -top / height, (side - left) / width, (side - top) / height)
        return replace(super().encode(square), box=box)

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        height, width = (side // self.processor.patch_size for side in inputs["pixel_values"].shape[-2:])
        return (PlacedGrid(positions, TokenGrid((height, width), self._box(picture))),)

    @property
    def _cuts(self) -> bool:
        """Whether the processor cuts the middle out of the picture."""
        processor = self.processor.image_processor
        return (
            getattr(processor, "do_center_crop", False)
            and "shortest_edge" in processor.size
            and not getattr(processor, "do_pad", False)
        )

    def _box(self, picture: npt.NDArray[np.uint8]) -> tuple[float, float, float, float]:
        processor = self.processor.image_processor
        if not self._cuts:
            return (0.0, 0.0, 1.0, 1.0)
        height, width = picture.shape[:2]
        scale = processor.size["shortest_edge"] / min(height, width)
        across = processor.crop_size["width"] / (width * scale) / 2
        down = processor.crop_size["height"] / (height * scale) / 2
        return (0.5 - across, 0.5 - down, 0.5 + across, 0.5 + down)


FAMILY = LlavaModel
