"""What a phrase leaves out: "the cup that is not red" is a cup, and not the red cup."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from groundkit.stages.base import Scene, Stage
from groundkit.stages.fusion import leave_out

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Negation(Stage):
    """Take away what the excluded part of the phrase looks at, seen through the same stages; see ``leave_out``."""

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        import torch

        if scene.phrase.negated is None:
            return maps
        excluded = scene.maps_of(scene.phrase.negated, excluded=True)
        return replace(maps, values=torch.from_numpy(leave_out(maps.values.numpy(), excluded.values.numpy())))


STAGE = Negation
