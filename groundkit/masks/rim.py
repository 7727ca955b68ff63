"""The edge of a mask: the rim over which a coarse heatmap runs, and the place that is deepest inside."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.segmenters.points import PointPrompts


def rim_width(shape: tuple[int, ...]) -> int:
    """The odd number of pixels by which a coarse heatmap runs over an object's edge."""
    return 2 * round(max(shape) / 32) + 1


def with_rim(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask and its rim, over which a coarse heatmap runs."""
    around = np.ones((rim_width(mask.shape),) * 2, np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), around), dtype=np.bool_)


def deepest_point(heatmap: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> PointPrompts:
    """Where heat times the distance to the mask's edge is highest: the hottest patch may lie in a hole or on an edge.

    Args:
        heatmap: float32 ``(height, width)``, at least zero.
        mask: bool ``(height, width)``, not empty.
    """
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    inside = np.where(mask, depth * (heatmap + 1e-6), -1)  # also where the whole mask is cold
    y, x = np.unravel_index(int(inside.argmax()), mask.shape)
    return PointPrompts(np.array([[x + 0.5, y + 0.5]], dtype=np.float32), np.ones(1, dtype=np.int64))
