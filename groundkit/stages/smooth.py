"""Smooth: DecAF's Gaussian over the image tokens (arXiv 2510.19592)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


KERNEL = (7, 7)  # tokens


class Smooth(Stage):
    """Smooth every map with a Gaussian, each grid by itself; outside a grid is 0."""

    smoothing: float = Field(1.0, ge=0, le=8, description="standard deviation of the Gaussian in tokens; 0 for none")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        if not self.smoothing:
            return maps

        def blurred(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            frames = heat.reshape(-1, *heat.shape[-2:])
            blur = [cv2.GaussianBlur(frame, KERNEL, self.smoothing, borderType=cv2.BORDER_CONSTANT) for frame in frames]
            return np.stack(blur).reshape(heat.shape).astype(np.float32, copy=False)

        return maps.map_grids(blurred)


STAGE = Smooth
