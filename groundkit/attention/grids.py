"""Maps over the image tokens of several views, laid over the picture that the views show parts of.

Letters: P image tokens of all views, R maps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Heat = npt.NDArray[np.float32]

Box = tuple[float, float, float, float]
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class TokenGrid:
    """One grid of image tokens: of the whole picture or a tile of it, or of a clip.

    Attributes:
        shape: (h, w), of a clip (t, h, w); tokens are ordered with the last axis fastest.
        box: the part that it shows, XYXY in shares of the picture's width and height; beyond 0 and 1 where it was
            padded.
        frames: of a clip, which of its frames each of the t slices shows.
    """

    shape: tuple[int, ...]
    box: Box = WHOLE
    frames: tuple[range, ...] = ()

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3):
            raise ValueError(f"shape must be (h, w) or (t, h, w), got {self.shape}")

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return math.prod(self.shape)

    def to_json(self) -> str:
        """As a JSON text."""
        frames = [[each.start, each.stop] for each in self.frames]
        return json.dumps({"shape": self.shape, "box": self.box, "frames": frames})

    @classmethod
    def from_json(cls, text: str) -> TokenGrid:
        """The way back from ``to_json``."""
        told = json.loads(text)
        left, top, right, bottom = told["box"]
        return cls(
            tuple(told["shape"]),
            (left, top, right, bottom),
            tuple(range(start, stop) for start, stop in told["frames"]),
        )


def lay_over(maps: Tensor, views: Sequence[TokenGrid], size: tuple[int, int], *, interpolation: int) -> Heat:
    """One map over the whole picture, float32 ``size``, at least 0: the mean of the views where several show a place.

    A place that no view shows is as cold as the coldest that one does.

    Args:
        maps: ``(P,)``.
        views: the grids of the P tokens.
        size: (height, width), in pixels or in cells of a grid.
        interpolation: of OpenCV.
    """
    height, width = size
    total, weight = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for view, (grid,) in zip(views, _grids(maps[None], views), strict=True):
        x1, y1, x2, y2 = (round(side * length) for side, length in zip(view.box, (width, height) * 2, strict=True))
        whole = cv2.resize(grid, (max(1, x2 - x1), max(1, y2 - y1)), interpolation=interpolation)
        left, top = max(0, x1), max(0, y1)
        part = whole[top - y1 : height - y1, left - x1 : width - x1]
        inside = (slice(top, top + part.shape[0]), slice(left, left + part.shape[1]))
        total[inside] += part
        weight[inside] += 1
    seen = weight > 0
    heat = np.where(seen, total / np.maximum(weight, 1), total[seen].min() if seen.any() else 0)
    return np.maximum(heat, 0).astype(np.float32)


def finest_grid(views: Sequence[TokenGrid]) -> tuple[int, int]:
    """(h, w): how many tokens of the view with the smallest ones it takes to cover the whole picture."""
    grids = [
        (max(1, round(view.shape[-2] / (y2 - y1))), max(1, round(view.shape[-1] / (x2 - x1))))
        for view in views
        for x1, y1, x2, y2 in [view.box]
    ]
    return max(grids, key=lambda grid: grid[0] * grid[1])


def _grids(maps: Tensor, views: Sequence[TokenGrid]) -> list[Heat]:
    """Each view's part of the maps, float32 ``(R, h, w)``."""
    import torch

    parts = torch.split(maps.float(), [view.size for view in views], dim=1)
    return [part.reshape(-1, *view.shape).numpy() for part, view in zip(parts, views, strict=True)]
