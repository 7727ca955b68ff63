"""A mask for each hot cell of a map, and those of them that the whole map speaks for: DecAF's last step for pictures.

The paper carries masks through a video; this is its part F with a single frame, without the tracking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.masks.geometry import mask_iou
from groundkit.prompting.cells import consistency, hot_cells
from groundkit.segmenters.base import Segmenter

Heat = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CellMask:
    """A mask, bool ``(height, width)``, what speaks for it, and its point, float32 ``(1, 3)``."""

    mask: npt.NDArray[np.bool_]
    score: float
    points: npt.NDArray[np.float32]


def masks_of_cells(
    segmenter: Segmenter,
    embedding: Any,
    cells: Heat,
    size: tuple[int, int],
    *,
    threshold: float = 0.8,
    most: int = 100,
    overlap: float = 0.7,
    keep: float = 0.8,
    consistent: bool = True,
) -> list[CellMask]:
    """The masks of hot cells that score above ``keep``, best first; the single best where none does.

    Each hot cell is a click, answered by the mask of the highest predicted IoU. Of two masks that overlap more than
    ``overlap``, that with the lower sum of predicted IoU and heat goes. The score is the mean of these two and the
    mask's ``consistency`` with the map.

    Args:
        cells: float32 ``(h, w)`` in [0, 1].
        size: (height, width) of the picture.
        threshold, most: see ``hot_cells``.
        overlap: mask IoU.
        keep: least score.
        consistent: False leaves the consistency out.
    """
    found: list[CellMask] = []
    for prompts, heat in hot_cells(cells, size, threshold=threshold, most=most):
        proposals = segmenter.segment(embedding, prompts)
        best = int(proposals.scores.argmax())
        if proposals.masks[best].any():
            found.append(CellMask(proposals.masks[best], float(proposals.scores[best]) + heat, prompts.rows))
    apart: list[CellMask] = []
    for each in sorted(found, key=lambda one: -one.score):
        if all(mask_iou(each.mask, other.mask) <= overlap for other in apart):
            apart.append(each)
    if not apart:
        return []
    scores = np.array([each.score for each in apart])
    scores = (scores + consistency(np.stack([e.mask for e in apart]), cells)) / 3 if consistent else scores / 2
    order = np.argsort(-scores, kind="stable")
    kept = [index for index in order if scores[index] > keep] or order[:1].tolist()
    return [CellMask(apart[index].mask, float(scores[index]), apart[index].points) for index in kept]
