"""From a heatmap to one positive and one negative point: VL-SAM's prompts."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.places import minmax

Heat = npt.NDArray[np.float32]


Part = Literal["largest", "hottest"]


def positive_area(heat: Heat, threshold: float | str = "otsu", part: Part = "largest") -> npt.NDArray[np.bool_]:
    """One 8-connected component above a threshold, bool ``(height, width)``; empty for a constant map.

    Args:
        heat: float32 ``(height, width)``.
        threshold: ``otsu``, or a share of the way from the lowest to the highest heat, in (0, 1). The paper names none.
        part: the largest component, as in the paper, or that of the hottest place.

    Raises:
        ConfigError: another threshold.
    """
    scaled = np.round(255 * minmax(heat)).astype(np.uint8)
    share = threshold_share(threshold)
    if share is None:
        level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    else:
        level = 255 * share
    _, labels, stats, _ = cv2.connectedComponentsWithStats((scaled > level).astype(np.uint8), connectivity=8)
    if len(stats) == 1:
        return np.zeros(heat.shape, dtype=np.bool_)
    hottest = int(labels.flat[int(heat.argmax())])
    area: npt.NDArray[np.bool_] = labels == (
        hottest if part == "hottest" else 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    )
    return area


def threshold_share(threshold: float | str) -> float | None:
    """A threshold's share of the way from the lowest to the highest heat; None for ``otsu``.

    Raises:
        ConfigError: anything else.
    """
    if threshold == "otsu":
        return None
    try:
        share = float(threshold)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ConfigError(f"threshold={threshold}: use otsu or a number between 0 and 1")
    return share


def point_pair(
    heat: Heat, area: npt.NDArray[np.bool_], *, negative: bool = True, cold: Heat | None = None
) -> PointPrompts:
    """The hottest place inside ``area`` as a positive point, and the coldest outside as a negative one, if any.

    ``negative`` False leaves the second out; ``cold`` is another map to look for it, of the same size.
    """
    inside = np.where(area, heat, -np.inf)
    found = [(np.unravel_index(int(inside.argmax()), heat.shape), 1)]
    if negative and not area.all():
        outside = np.where(area, np.inf, heat if cold is None else cold)
        found.append((np.unravel_index(int(outside.argmin()), heat.shape), 0))
    xy = np.array([[x + 0.5, y + 0.5] for (y, x), _ in found], dtype=np.float32)
    return PointPrompts(xy, np.array([label for _, label in found], dtype=np.int64))
