"""From a map to masks: its peaks, the segmenter's masks for each, and of these the one that agrees best with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.language.selection import BEST, Selection
from groundkit.masks.choose import MaskRule, choose_mask, rank_masks
from groundkit.masks.geometry import mask_iou
from groundkit.prompting.peaks import find_peaks
from groundkit.segmenters.base import MaskProposals, Segmenter
from groundkit.segmenters.points import PointPrompts

Heat = npt.NDArray[np.float32]

MAX_OBJECTS = 16  # that "all", ordinals and sizes choose among
SAME = 0.5  # IoU from which two masks are of one object


@dataclass(frozen=True)
class Pointed:
    """A point, the masks that the segmenter proposed for it, and the index of the one that was taken."""

    prompts: PointPrompts
    proposals: MaskProposals
    chosen: int

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Bool ``(height, width)``."""
        mask: npt.NDArray[np.bool_] = self.proposals.masks[self.chosen]
        return mask

    @property
    def score(self) -> float:
        return float(self.proposals.scores[self.chosen])


def point_at(
    segmenter: Segmenter,
    embedding: Any,
    heatmap: npt.NDArray[np.float32],
    *,
    count: int = 1,
    selection: Selection = BEST,
    rule: MaskRule = "agreement",
    separation: float = 0.15,
    threshold: float = 0.5,
    centre: float = 0.0,
    redraw: bool = False,
) -> list[Pointed]:
    """The best ``count`` places of a map and their masks, the best first; or the objects that a ``selection`` asks for.

    A map of patches knows neither sizes nor numbers. For a selection the objects are looked for one after the other,
    each outside the masks of those before it, and sorted by their masks. There may be fewer than it asks for, or none;
    without one there is at least one place, unless the map is all 0.

    Args:
        heatmap: float32 ``(height, width)`` of the picture.
        rule: which of the proposals is taken, see ``choose_mask``.
        separation, threshold, centre: of the peaks, see ``find_peaks``.
        redraw: draw each point again inside its mask, see ``deepest_point``, and take the mask of that one.
    """

    def ask(prompts: PointPrompts, heat: Heat) -> Pointed:
        proposals = segmenter.segment(embedding, prompts)
        pointed = Pointed(prompts, proposals, choose_mask(proposals, heat, rule=rule, points=prompts))
        if not redraw or not pointed.mask.any():
            return pointed
        prompts = deepest_point(heat, pointed.mask)
        proposals = segmenter.segment(embedding, prompts)
        return Pointed(prompts, proposals, choose_mask(proposals, heat, rule=rule, points=prompts))

    if not heatmap.any():
        return []
    if selection.is_best:
        peaks = find_peaks(heatmap, count=count, separation=separation, threshold=threshold, centre=centre)
        return [ask(prompts, heatmap) for prompts in peaks]
    wanted = MAX_OBJECTS if selection.by or selection.count is None else selection.count
    found = _find_objects(ask, heatmap, wanted, threshold=threshold, centre=centre)
    if selection.by:
        masks = np.array([each.mask for each in found], np.bool_).reshape(-1, *heatmap.shape)
        found = [found[index] for index in rank_masks(masks, selection.by)]
    return found[selection.of(len(found))]


def _find_objects(
    ask: Callable[[PointPrompts, Heat], Pointed],
    heatmap: npt.NDArray[np.float32],
    count: int,
    *,
    threshold: float,
    centre: float,
) -> list[Pointed]:
    """Up to ``count`` objects that reach ``threshold`` times the highest heat, each with its own mask."""
    found: list[Pointed] = []
    taken = np.zeros(heatmap.shape, np.bool_)
    for row, column in summits(heatmap, threshold)[: 2 * MAX_OBJECTS]:
        if len(found) == count:
            break
        if taken[row, column]:
            continue
        own = hill(heatmap, row, column)
        (prompts,) = find_peaks(own, centre=centre)
        pointed = ask(prompts, own)
        if pointed.mask.any() and all(mask_iou(pointed.mask, other.mask) < SAME for other in found):
            found.append(pointed)
            taken |= with_rim(pointed.mask)
    return found


def summits(heatmap: Heat, threshold: float) -> list[tuple[int, int]]:
    """Row and column of each place that is the highest around and reaches ``threshold`` times the highest of all.

    The flanks that a mask leaves uncovered are none, so that an object's parts are not taken for further objects. A
    plateau, as enlarging leaves one in a corner of the picture, counts once.
    """
    around = np.ones((_rim(heatmap.shape),) * 2, np.uint8)
    highest = heatmap >= cv2.dilate(heatmap, around)
    tops = highest & (heatmap >= threshold * heatmap.max()) & (heatmap > 0)
    _, labels = cv2.connectedComponents(tops.astype(np.uint8))
    rows, columns = np.nonzero(tops)
    order = np.argsort(-heatmap[rows, columns], kind="stable")
    highest_of_each = np.sort(np.unique(labels[rows, columns][order], return_index=True)[1])
    return [(int(rows[place]), int(columns[place])) for place in order[highest_of_each]]


def hill(heatmap: Heat, row: int, column: int) -> Heat:
    """The heat around a place, as far as it is connected at half its height, and no higher; 0 elsewhere.

    A mask that agrees with the hill is of one object, where one that agrees with the whole map may be of several.
    """
    height = heatmap[row, column]
    _, labels = cv2.connectedComponents((heatmap > height / 2).astype(np.uint8))
    return np.where(labels == labels[row, column], np.minimum(heatmap, height), 0).astype(np.float32)


def with_rim(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask and its rim, over which a coarse map runs."""
    around = np.ones((_rim(mask.shape),) * 2, np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), around), dtype=np.bool_)


def _rim(shape: tuple[int, ...]) -> int:
    return 2 * round(max(shape) / 32) + 1


def deepest_point(heatmap: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> PointPrompts:
    """Where heat times the distance to the mask's rim is highest: the hottest patch may lie in a hole or on an edge.

    Args:
        heatmap: float32 ``(height, width)``, at least zero.
        mask: bool ``(height, width)``, not empty.
    """
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    inside = np.where(mask, depth * (heatmap + 1e-6), -1)  # also where the whole mask is cold
    y, x = np.unravel_index(int(inside.argmax()), mask.shape)
    return PointPrompts(np.array([[x + 0.5, y + 0.5]], dtype=np.float32), np.ones(1, dtype=np.int64))
