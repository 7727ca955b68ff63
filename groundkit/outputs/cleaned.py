"""Results with cleaned masks, without those that are filtered out."""

from __future__ import annotations

from typing import TypeVar

from groundkit.masks.cleaning import Cleaning
from groundkit.masks.rle import RunLengths, decode
from groundkit.results import Discovery, Grounding, changed

Result = TypeVar("Result", bound=Grounding | Discovery)


def cleaned(result: Result, cleaning: Cleaning) -> Result:
    """The result after ``cleaning``; the same object where that does nothing."""
    if not cleaning:
        return result
    masks = [cleaning.mask(decode(mask)) for mask in result.run_lengths]
    scores = result.scores
    rows = [row for row, mask in enumerate(masks) if cleaning.keeps(mask, float(scores[row]))]
    height, width = result.image.shape[:2]
    kept = RunLengths.of((masks[row] for row in rows), (height, width))
    if isinstance(result, Discovery):
        labels, points = ([each[row] for row in rows] for each in (result.labels, result.points))
        return changed(result, masks=kept, scores=scores[rows], labels=tuple(labels), points=tuple(points))
    return changed(result, masks=kept, scores=scores[rows], boxes=kept.boxes())
