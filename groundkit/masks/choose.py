"""Which of a segmenter's masks to take.

SAM answers one point with several masks, typically of a part, an object, and a group. Its own score says how clean a
mask's outline is, not which of them was meant; the heatmap knows that.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError
from groundkit.language.direction import Direction
from groundkit.masks.geometry import agreement
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts

MaskRule = Literal["agreement", "score", "largest", "middle"]


def choose_mask(
    proposals: MaskProposals,
    heatmap: npt.NDArray[np.float32],
    *,
    rule: MaskRule = "agreement",
    points: PointPrompts | None = None,
) -> int:
    """Return the index of the mask to take; among equals, the one with the higher score.

    Args:
        proposals: at least one mask.
        heatmap: float ``(height, width)`` of the masks' size; only ``agreement`` looks at it.
        rule: ``agreement``: the segmenter's score times the mask's ``agreement`` with the heatmap, both floored at 0;
            where the heatmap favours no mask at all, ``score`` decides.
            ``score``: the segmenter's score alone, the usual choice.
            ``largest``: the largest area.
            ``middle``: the median area (of an even number of masks, the larger of the two).
        points: if given, only the masks that fit the most points compete: a mask fits a point of label 1 that it
            covers and a point of label 0 that it leaves out.

    Raises:
        ConfigError: there is no such rule.
        ValueError: there are no masks, or the heatmap has another size.
    """
    if rule not in get_args(MaskRule):
        raise ConfigError(f"no mask rule named {rule!r}; choose one of {', '.join(get_args(MaskRule))}")
    masks = proposals.masks
    if len(masks) == 0:
        raise ValueError("there are no masks to choose from")
    if heatmap.shape != masks.shape[1:]:
        raise ValueError(f"heatmap must be {masks.shape[1:]} like the masks, got {heatmap.shape}")

    competing = np.arange(len(masks)) if points is None else np.flatnonzero(_fits_most(masks, points))
    scores = proposals.scores[competing].astype(np.float64)
    match rule:
        case "score":
            worth = scores
        case "largest":
            worth = masks[competing].sum(axis=(1, 2))
        case "middle":
            areas = masks[competing].sum(axis=(1, 2))
            worth = -np.abs(areas - np.sort(areas)[len(areas) // 2])
        case "agreement":
            worth = np.maximum(scores, 0) * [max(0.0, agreement(masks[index], heatmap)) for index in competing]
    return int(competing[np.lexsort((scores, worth))[-1]])


def rank_masks(masks: npt.NDArray[np.bool_], by: Direction) -> list[int]:
    """Indices of the masks in order: from a side of the picture, from its middle, or the largest or smallest first.

    Places are those of the masks' centres of mass.

    Args:
        masks: bool ``(N, height, width)``, none of them empty.
    """
    height, width = masks.shape[1:]
    centres = np.array([np.argwhere(mask).mean(axis=0) for mask in masks]).reshape(-1, 2)
    areas, down, across = masks.sum(axis=(1, 2)), centres[:, 0], centres[:, 1]
    keys = {
        Direction.LEFT: across,
        Direction.RIGHT: -across,
        Direction.TOP: down,
        Direction.BOTTOM: -down,
        Direction.MIDDLE: np.hypot(down - (height - 1) / 2, across - (width - 1) / 2),
        Direction.LARGEST: -areas,
        Direction.SMALLEST: areas,
    }
    return [int(index) for index in np.argsort(keys[by], kind="stable")]


def _fits_most(masks: npt.NDArray[np.bool_], points: PointPrompts) -> npt.NDArray[np.bool_]:
    """Bool ``(C,)``: the masks that fit as many points as any mask does."""
    height, width = masks.shape[1:]
    columns = np.clip(np.floor(points.xy[:, 0]).astype(np.int64), 0, width - 1)
    rows = np.clip(np.floor(points.xy[:, 1]).astype(np.int64), 0, height - 1)
    fitting = (masks[:, rows, columns] == (points.labels == 1)).sum(axis=1)
    most: npt.NDArray[np.bool_] = fitting == fitting.max()
    return most
