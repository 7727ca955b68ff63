"""A single slice of a clip becomes a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Slices(Stage):
    """Keep one slice of a clip's maps. Maps of a picture stay as they are."""

    index: int | None = Field(None, ge=0, description="which slice, from 0; all of them by default")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        (grid,) = maps.grids
        if self.index is None or len(grid.shape) == 2:
            return maps
        size = grid.size // grid.shape[0]
        part = replace(grid, shape=grid.shape[1:], frames=grid.frames[self.index : self.index + 1])
        return replace(maps, values=maps.values[..., self.index * size : (self.index + 1) * size], grids=(part,))


STAGE = Slices
