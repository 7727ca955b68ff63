"""Masks as polygons, and polygons as masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[Any]
"""Corners of a polygon, ``(N, 2)``: x and y."""


def join(contours: Iterable[Points]) -> Points:
    """One polygon of several contours ``(N, 2)``, joined by bridges without width.

    Filled by the even-odd rule it covers what the contours enclose. Empty when there are none.
    """
    joined: Points = np.zeros((0, 2), np.int32)
    for points in contours:
        if not len(joined):
            joined = points
            continue
        distances = np.abs(joined[:, None] - points[None]).sum(axis=2)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        around = np.roll(points, -int(there), axis=0)
        joined = np.concatenate([joined[: here + 1], around, around[:1], joined[here:]])
    return joined


def polygons(mask: npt.NDArray[np.bool_], tolerance: float = 0.0) -> list[Points]:
    """The parts of a mask, bool ``(height, width)``, as polygons along the edges of its pixels.

    Args:
        mask: of one object.
        tolerance: how far an outline may lie from the mask's, in pixels; 0 is exact.

    Returns:
        One int32 ``(N, 2)`` per part (pixels that touch, also at a corner), N >= 4 unless simplified: x and y in
        pixels, 0 to width and height. Holes are joined to their part's outline, see ``join``. A part that the
        tolerance would take away keeps its exact outline.
    """
    # At twice the size each side of a pixel has pixels of its own, so that outlines along edges can be told.
    doubled = cv2.resize(mask.view(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parts: dict[int, list[Points]] = {}
    for number, contour in enumerate(contours):
        parent = int(tree[0][number][3])
        outline = _simplified(_corners((contour.reshape(-1, 2) + 1) // 2), tolerance, keep=parent < 0)
        if len(outline):
            parts.setdefault(number if parent < 0 else parent, []).append(outline)
    return [join(part) for part in parts.values()]


def rasterised(outlines: Iterable[Sequence[Sequence[float]] | Points], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """The pixels, bool ``size`` = (height, width), whose centres lie within any of the polygons (even-odd rule)."""
    mask = np.zeros(size, np.bool_)
    for outline in outlines:
        mask |= _inside(np.asarray(outline, np.float64).reshape(-1, 2), size)
    return mask


def _inside(outline: Points, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    height, width = size
    crossings = np.zeros((height, width + 1), np.int32)
    for (x1, y1), (x2, y2) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        low, high = sorted((y1, y2))
        # Rows whose centre lies in [low, high), and the first column whose centre lies right of the edge.
        rows = np.arange(max(0, int(np.ceil(low - 0.5))), min(height, int(np.ceil(high - 0.5))))
        edges = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        np.add.at(crossings, (rows, np.clip(np.ceil(edges - 0.5), 0, width).astype(int)), 1)
    return np.asarray(crossings.cumsum(axis=1)[:, :width] % 2, np.bool_)


def _corners(points: Points) -> Points:
    """A closed outline without repeats and points on straight lines."""
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    if len(points) < 3:
        return points
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns: Points = points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return turns


def _simplified(outline: Points, tolerance: float, *, keep: bool) -> Points:
    if not tolerance:
        return outline
    simple = cv2.approxPolyDP(outline.astype(np.int32), tolerance, closed=True).reshape(-1, 2)
    if len(simple) >= 3:
        return simple
    return outline if keep else outline[:0]
