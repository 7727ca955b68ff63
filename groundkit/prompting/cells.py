"""Every hot cell of a map as a point of its own, and what a mask is worth by the map: DecAF's prompts."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.segmenters.points import PointPrompts

Heat = npt.NDArray[np.float32]


def hot_cells(
    cells: Heat, size: tuple[int, int], *, threshold: float = 0.8, most: int = 100
) -> list[tuple[PointPrompts, float]]:
    """One positive point in the middle of each cell of at least ``threshold``, with the cell's heat, hottest first.

    Args:
        cells: float32 ``(h, w)`` in [0, 1].
        size: (height, width) of the picture in pixels.
        threshold: least heat of a cell.
        most: how many there are at most; the paper knows no bound.
    """
    rows, columns = np.nonzero(cells >= threshold)
    order = np.argsort(-cells[rows, columns], kind="stable")[:most]
    scale = np.array([size[1] / cells.shape[1], size[0] / cells.shape[0]])
    found = []
    for row, column in zip(rows[order], columns[order], strict=True):
        xy = (np.array([[column + 0.5, row + 0.5]]) * scale).astype(np.float32)
        found.append((PointPrompts(xy, np.ones(1, dtype=np.int64)), float(cells[row, column])))
    return found


def consistency(masks: npt.NDArray[np.bool_], cells: Heat) -> npt.NDArray[np.float64]:
    """How well each mask holds what is hot and nothing else, ``(K,)``: the best 1 if it is above 0, a bad one below 0.

    A cell above the mean counts its heat, any other minus the hottest; a mask gets what it covers of both, over the
    heat of all cells above the mean. Positive values are divided by the largest.

    Args:
        masks: bool ``(K, height, width)``.
        cells: float32 ``(h, w)``.
    """
    warm = cells > cells.mean()
    worth = np.where(warm, cells, -cells.max())
    size = cells.shape[::-1]
    shares = [cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) for mask in masks]
    total = max(float(cells[warm].sum()), 1e-12)
    scores = np.array([float((share * worth).sum()) / total for share in shares])
    best = scores.max(initial=0)
    return np.where(scores > 0, scores / best, scores) if best > 0 else scores
