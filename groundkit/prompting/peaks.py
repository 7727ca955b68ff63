"""From a heatmap to points: its highest place, or several that lie apart."""

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.segmenters.points import PointPrompts

Heat = npt.NDArray[np.float32]


def upsample(heat: Heat, height: int, width: int) -> Heat:
    """Enlarge a patch map to the picture's size, bicubic, patch centres kept in place; never below zero."""
    enlarged = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.maximum(enlarged, 0, dtype=np.float32)


def find_peaks(
    heat: Heat, *, count: int = 1, separation: float = 0.15, threshold: float = 0.5, centre: float = 0.0
) -> list[PointPrompts]:
    """One positive point for each of up to ``count`` peaks, highest first.

    The first is the argmax. Each further one is the highest place farther than ``separation`` (as a share of the
    picture's diagonal) from all before it, as long as it reaches ``threshold`` times the first.

    Args:
        heat: float32 ``(height, width)``, at least zero.
        centre: pixels. Each point moves to the centre of mass of the cubed heat so far around its peak: the highest
            of coarse patches often lies on an object's edge.
    """
    height, width = heat.shape
    left = heat.copy()
    radius = separation * float(np.hypot(height, width))
    rows, columns = np.ogrid[:height, :width]
    peaks: list[PointPrompts] = []
    while len(peaks) < count:
        y, x = np.unravel_index(int(left.argmax()), left.shape)
        if peaks and left[y, x] < threshold * heat.max():
            break
        away = (rows - y) ** 2 + (columns - x) ** 2
        near = np.nonzero(away <= centre**2)
        mass = heat[near].astype(np.float64) ** 3
        if mass.any():  # a map of nothing has no centre
            y, x = np.average(near, axis=1, weights=mass)
        peaks.append(PointPrompts(np.array([[x + 0.5, y + 0.5]], dtype=np.float32), np.ones(1, dtype=np.int64)))
        left[away <= radius**2] = -1
    return peaks
