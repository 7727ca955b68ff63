"""Measures of masks: overlap, boxes, and agreement with a heatmap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")


def mask_iou(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of one shape, 1 when both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def boxes_of(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """The tight box of each mask.

    Args:
        masks: bool ``(K, height, width)``.

    Returns:
        float32 ``(K, 4)``, XYXY pixels, x2 and y2 exclusive; all 0 for an empty mask.
    """
    boxes = np.zeros((len(masks), 4), dtype=np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def agreement(mask: npt.NDArray[np.bool_], heatmap: npt.NDArray[np.float32]) -> float:
    """Correlation of a mask with a heatmap over all pixels, in [-1, 1]; 0 where either is constant.

    For a mask that covers the fraction p of the picture, with mean heat m1 inside and m0 outside::

        r = (m1 - m0) * sqrt(p * (1 - p)) / std(heat)

    r squared is the part of the heat's variance that the two-level picture "m1 inside, m0 outside" explains, which is
    the criterion that Otsu's threshold maximises (Otsu, 1979). It has no parameter and does not change when heat is
    scaled or a constant is added. Mean heat inside minus outside alone would favour a speck on the peak, and soft IoU
    or Dice the whole picture as soon as its ground is warm; the factor sqrt(p * (1 - p)) vanishes for both.

    Args:
        mask: bool ``(height, width)``.
        heatmap: float ``(height, width)``.
    """
    inside = mask.view(np.uint8)
    covered = cv2.countNonZero(inside) / mask.size
    low, high, *_ = cv2.minMaxLoc(heatmap)
    if covered in (0.0, 1.0) or low == high:
        return 0.0
    # OpenCV adds up in float64, without a copy of the map.
    (mean,), (spread,) = (each[0] for each in cv2.meanStdDev(heatmap))
    excess = cv2.mean(heatmap, inside)[0] - mean
    # (m1 - m0) (1 - p) = m1 - m, the mean inside less that of all
    return float(excess * math.sqrt(covered / (1 - covered)) / spread)


def apart(items: Iterable[Item], overlap: Callable[[Item, Item], bool]) -> Iterator[Item]:
    """The items that do not overlap one of those kept before: non-maximum suppression, the best item first.

    Items are taken one at a time, so that what is done with one can change which comes next.
    """
    kept: list[Item] = []
    for item in items:
        if not any(overlap(item, other) for other in kept):
            kept.append(item)
            yield item
