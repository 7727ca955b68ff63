"""Sharpen the maps: high values stay, low ones fade."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from groundkit.attention.maps import AttentionMaps
from groundkit.stages.base import Scene, Stage


class Sharpen(Stage):
    """Raise every map to a power, relative to its maximum."""

    power: float = Field(2.0, gt=0, description="exponent; above 1, weak places fade")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        highest = maps.values.amax(dim=3, keepdim=True).clamp_min(1e-12)
        return replace(maps, values=(maps.values / highest) ** self.power * highest)


STAGE = Sharpen
