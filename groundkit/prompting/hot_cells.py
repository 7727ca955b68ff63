"""DecAF's prompts for one picture (arXiv 2510.19592, part F): every hot cell is a point, and the map judges the masks.

The paper carries the masks through a video; this is its last step for a single frame, without tracking.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from groundkit.masks.candidates import Candidate
from groundkit.masks.geometry import apart
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.segmenters.base import Propose, propose_each
from groundkit.segmenters.points import PointPrompts

Heat = npt.NDArray[np.float32]


MAX_CELLS = 100  # that become points, the hottest first


class HotCells(Prompter):
    """The masks of hot cells that score above ``min_mask_score``, best first; the single best where none does.

    Each hot cell is a point, answered by the mask of the highest predicted IoU. Where two masks overlap by more than
    ``max_overlap``, the one with the lower sum of predicted IoU and heat is dropped. A mask's score is the mean of
    these two and its ``consistency`` with the map.
    """

    min_cell_heat: float = Field(0.8, gt=0, le=1, description="minimum heat of a cell that becomes a point")
    max_overlap: float = Field(0.7, gt=0, le=1, description="mask IoU from which the lower of two masks is dropped")
    min_mask_score: float = Field(
        0.8, ge=0, le=1, description="minimum score of a mask; without any, the best one is kept"
    )
    map_consistency: bool = Field(True, description="score the masks of cells by the whole heatmap, too")

    def __call__(self, heatmap: Heatmap, propose: Propose) -> list[Candidate]:
        cells = heatmap.cells
        found: list[Candidate] = []
        hot = hot_cells(cells, heatmap.size, threshold=self.min_cell_heat, count=MAX_CELLS)
        asked = propose_each(propose, [prompts for prompts, _ in hot])
        for (prompts, heat), proposals in zip(hot, asked, strict=True):
            best = int(proposals.scores.argmax())
            if proposals.masks[best].any():
                each = Candidate.of(proposals, best, prompts)
                found.append(replace(each, score=each.score + heat))
        found.sort(key=lambda each: -each.score)
        kept = list(apart(found, lambda first, second: first.mask.iou(second.mask) > self.max_overlap))
        if not kept:
            return []
        scores = np.array([each.score for each in kept])
        masks = np.stack([each.mask.whole() for each in kept])
        scores = (scores + consistency(masks, cells)) / 3 if self.map_consistency else scores / 2
        order = np.argsort(-scores, kind="stable")
        chosen = [index for index in order if scores[index] > self.min_mask_score] or order[:1].tolist()
        return [replace(kept[index], score=float(scores[index])) for index in chosen]


def hot_cells(
    cells: Heat, size: tuple[int, int], *, threshold: float = 0.8, count: int = 100
) -> list[tuple[PointPrompts, float]]:
    """One positive point in the middle of each cell of at least ``threshold``, with the cell's heat, hottest first.

    Args:
        cells: float32 ``(h, w)`` in [0, 1].
        size: (height, width) of the picture in pixels.
        threshold: minimum heat of a cell.
        count: maximum number of points; the paper has no limit.
    """
    rows, columns = np.nonzero(cells >= threshold)
    order = np.argsort(-cells[rows, columns], kind="stable")[:count]
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
