"""Fuse: the heatmaps of several methods become one. The rule is ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from groundkit.stages.base import Scene, Stage
from groundkit.stages.places import minmax

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps

Heat = npt.NDArray[np.float32]


class Fuse(Stage):
    """The weighted mean of the layers, each stretched to [0, 1]; of an ensemble, the layers are its members."""

    fusion: Literal["mean", "product"] = Field("mean", description="the mean, or the geometric mean (product)")
    weights: tuple[float, ...] = Field((), description="of each layer; all the same by default")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        import torch

        fused = [self.fuse(part).reshape(1, *part.shape[1:3], -1) for part in maps.by_grid()]
        values = torch.from_numpy(np.concatenate(fused, axis=-1))
        return replace(maps, values=values, layers=("fused",), text=None)

    def fuse(self, layers: Heat) -> Heat:
        """One map ``(1, ...)`` of the maps of L layers ``(L, ...)``, in [0, 1]."""
        stretched = np.stack([minmax(layer) for layer in layers])
        weights = np.array(self.weights or [1.0] * len(layers))
        if self.fusion == "mean":
            fused = np.average(stretched, axis=0, weights=weights)
        else:
            fused = np.exp(np.average(np.log(np.maximum(stretched, 1e-6)), axis=0, weights=weights))
        return minmax(fused.astype(np.float32))[None]


STAGE = Fuse
