"""Heatmaps that are kept at the size of their grid, and laid over the picture when they are drawn or asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.stages.places import minmax

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps
    from groundkit.stages.base import Stage
    from groundkit.stages.fuse import Fuse
    from groundkit.stages.trace import Step

Heat = npt.NDArray[np.float32]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class SmallHeat(ABC):
    """A heatmap that can be had at any size.

    Attributes:
        size: (height, width) of the picture.
    """

    size: Size

    @abstractmethod
    def at(self, size: Size) -> Heat:
        """Over the whole picture, float32 ``size`` in [0, 1]."""

    def whole(self) -> Heat:
        """At the size of the picture."""
        return self.at(self.size)


@dataclass(frozen=True, eq=False)
class LaidHeat(SmallHeat):
    """The one map that stages have left, stretched to [0, 1].

    Attributes:
        maps: ``(1, 1, 1, P)``.
        interpolation: of OpenCV, between its tokens.
    """

    maps: AttentionMaps
    interpolation: int = cv2.INTER_CUBIC

    def at(self, size: Size) -> Heat:
        return minmax(self.maps.over(size, interpolation=self.interpolation))


@dataclass(frozen=True, eq=False)
class PixelHeat(SmallHeat):
    """A heatmap of which there are only pixels, float32 ``(h, w)`` at least 0, at the working size."""

    pixels: Heat

    def at(self, size: Size) -> Heat:
        height, width = size
        if self.pixels.shape == size:
            return minmax(self.pixels)
        return minmax(np.asarray(cv2.resize(self.pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.float32))


@dataclass(frozen=True, eq=False)
class FusedHeat(SmallHeat):
    """What the stage ``fuse`` makes of the heatmaps of several methods."""

    members: tuple[SmallHeat, ...]
    fuse: Fuse

    def at(self, size: Size) -> Heat:
        return minmax(self.fuse.fuse(np.stack([member.at(size) for member in self.members]))[0])


@dataclass(frozen=True, eq=False)
class NoHeat(SmallHeat):
    """NaN everywhere: no heatmap was kept."""

    def at(self, size: Size) -> Heat:
        return np.full(size, np.nan, np.float32)


def before_picture(steps: Sequence[Step], stages: Sequence[Stage], size: Size) -> LaidHeat | None:
    """The map that the stage ``picture`` laid over the picture; None where the result is not that map alone.

    Args:
        steps: the reading and each stage.
        stages: the stages, one less.
        size: (height, width) of the picture.
    """
    from groundkit.stages.picture import Picture

    for index, stage in enumerate(stages):
        if isinstance(stage, Picture):
            if any(step.maps is not steps[index + 1].maps for step in steps[index + 2 :]):
                return None
            return LaidHeat(size, steps[index].maps, stage.between(stages[:index]))
    return None
