"""From the pixels of a picture to the square that SAM sees, and back.

Both SAM implementations scale the longer side of the picture to the model's input size and pad the rest to a square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from groundkit.segmenters.base import MaskProposals


@dataclass(frozen=True)
class SamEmbedding:
    """A picture as the mask decoder takes it.

    Attributes:
        features: float32 ``(1, channels, grid height, grid width)``, the output of the image encoder.
        original_size: (height, width) of the picture.
        padded_size: (height, width) after ``pad_thin_image``; equal to ``original_size`` for all but extreme strips.
        input_size: (height, width) of the scaled picture inside the model's square, without the square's padding.
    """

    features: torch.Tensor
    original_size: tuple[int, int]
    padded_size: tuple[int, int]
    input_size: tuple[int, int]

    def to_input_frame(self, xy: npt.NDArray[np.float32]) -> torch.Tensor:
        """Scale points ``(M, 2)`` from the picture to the model's square, as float32 on the features' device.

        Our pixel centres lie at +0.5; SAM's prompt encoder adds that half itself, in its own frame.
        """
        height, width = self.padded_size
        input_height, input_width = self.input_size
        scaled = xy * np.array([input_width / width, input_height / height], dtype=np.float32) - np.float32(0.5)
        return torch.from_numpy(scaled).to(self.features.device)

    def padded(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """``padded_size`` where masks are ``size`` large instead of ``original_size``."""
        sides = zip(self.padded_size, size or self.original_size, self.original_size, strict=True)
        height, width = (round(padded * side / original) for padded, side, original in sides)
        return height, width

    def to_masks(self, masks: torch.Tensor, size: tuple[int, int] | None = None) -> npt.NDArray[np.bool_]:
        """Bool ``(C, height, width)`` of ``size``, by default the picture's, cut out of padded masks."""
        height, width = size or self.original_size
        return np.ascontiguousarray(masks[:, :height, :width].cpu().numpy())

    def no_proposals(self, size: tuple[int, int] | None) -> MaskProposals:
        """What a segmenter proposes when it is given no point: nothing."""
        return MaskProposals(np.zeros((0, *(size or self.original_size)), np.bool_), np.zeros(0, np.float32))


def pad_thin_image(image: npt.NDArray[np.uint8], input_size: int) -> npt.NDArray[np.uint8]:
    """Repeat the last row or column of a strip so thin that scaling its longer side would round the other to nothing.

    Args:
        image: uint8 ``(height, width, 3)``.
        input_size: side of the model's square, in pixels.
    """
    height, width = image.shape[:2]
    thinnest = math.ceil(max(height, width) / (2 * input_size))
    missing = (max(0, thinnest - height), max(0, thinnest - width))
    if missing == (0, 0):
        return image
    return np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
