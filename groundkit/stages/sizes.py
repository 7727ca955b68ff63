"""Sizes: the picture is read at further sizes, and the maps are fused (DecAF, arXiv 2510.19592, part E)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from groundkit.attention.grids import TokenGrid, finest_grid
from groundkit.stages.base import Scene, Stage
from groundkit.stages.places import minmax

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps

Heat = npt.NDArray[np.float32]
Size = Annotated[float, Field(gt=0, le=4)]


class Sizes(Stage):
    """Read the picture at further sizes and fuse all maps on the finest grid."""

    needs: ClassVar[frozenset[str]] = frozenset({"sizes"})

    sizes: tuple[Size, ...] = Field((2.0,), description="further sizes, relative to the picture's own")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        found = [maps, *(scene.maps_of(look=scene.look.at(size)) for size in self.sizes)]
        grid = max((finest_grid(each.grids) for each in found), key=lambda grid: grid[0] * grid[1])
        fused = fuse_sizes([each.over(grid, interpolation=cv2.INTER_LINEAR) for each in found])
        return maps.on((TokenGrid(grid),), (fused,))


def fuse_sizes(heats: Sequence[Heat]) -> Heat:
    """The mean of maps read at several sizes of one picture, on one grid; each is stretched to [0, 1], and so is it."""
    return minmax(np.mean([minmax(heat) for heat in heats], axis=0, dtype=np.float32))


STAGE = Sizes
