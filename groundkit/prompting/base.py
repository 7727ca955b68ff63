"""What every prompter takes and gives: a heatmap in, candidate masks out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from groundkit.masks.candidates import Candidate
from groundkit.plugins import Registry
from groundkit.segmenters.base import Propose
from groundkit.settings import Chosen
from groundkit.stages.trace import PICTURE

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps
    from groundkit.masks.heat import SmallHeat


@dataclass(frozen=True)
class Heatmap:
    """Where a phrase points, at two resolutions.

    Attributes:
        pixels: float32 ``(height, width)``, one value per pixel of the picture at its working size, at least 0.
        cells: float32 ``(h, w)``, one value per image token (or patch), at least 0.
        small: the same map as a result keeps it; without one, a result keeps the pixels.
    """

    pixels: npt.NDArray[np.float32]
    cells: npt.NDArray[np.float32]
    small: SmallHeat | None = None

    @classmethod
    def of(cls, maps: AttentionMaps, size: tuple[int, int], small: SmallHeat | None = None) -> Heatmap:
        """The one map that stages have left, over a picture of ``size``: (height, width)."""
        if maps.layers == (PICTURE,):
            pixels, cells = (grid[0, 0, 0] for grid in maps.by_grid())
        else:
            pixels, cells = maps.over(size), maps.on_finest_grid()
        return cls(pixels, cells, small)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pixels."""
        height, width = self.pixels.shape
        return height, width


class Prompter(Chosen):
    """Draws prompts from a heatmap and takes masks for them. Its fields are its settings, its docstring is its help.

    Attributes:
        alternatives: whether the candidates are attempts at one object, of which the best is the result; otherwise
            every candidate is an object of its own.
    """

    registry = Registry(
        Path(__file__).parent, "groundkit.prompting", "", "groundkit.prompters", frozenset({"base", "objects"})
    )
    alternatives: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, heatmap: Heatmap, propose: Propose) -> list[Candidate]:
        """Candidate masks for a heatmap; none where it is all 0.

        Args:
            propose: the segmenter, which has embedded the picture.
        """
