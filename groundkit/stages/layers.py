"""Many layers become one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Layers(Stage):
    """Average the maps over layers and heads."""

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        return maps.mean_layers()


STAGE = Layers
