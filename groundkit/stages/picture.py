"""Picture: the map of the image tokens is laid over the picture, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2

from groundkit.attention.grids import TokenGrid
from groundkit.stages.base import Scene, Stage
from groundkit.stages.places import minmax
from groundkit.stages.trace import PICTURE

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Picture(Stage):
    """Lay the map over the picture. Two grids are left: its pixels, at the working size, and its tokens."""

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        pixels = maps.over(scene.look.working_size, interpolation=self.between(scene.stages))
        cells = minmax(maps.on_finest_grid())
        laid = maps.on((TokenGrid(pixels.shape), TokenGrid(cells.shape)), (pixels, cells))
        return laid.merged(laid.values, PICTURE)

    def between(self, stages: Sequence[Stage]) -> int:
        """OpenCV's interpolation behind some other stages."""
        fused = any(stage.kind_name() == "sizes" for stage in stages)
        return cv2.INTER_LINEAR if fused else cv2.INTER_CUBIC


STAGE = Picture
