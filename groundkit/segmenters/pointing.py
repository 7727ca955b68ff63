"""From a map to masks: its peaks, the segmenter's masks for each, and of these the one that agrees best with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.language.direction import SIZES, Direction
from groundkit.prompting.peaks import find_peaks
from groundkit.prompting.points import PointPrompts
from groundkit.segmenters.base import MaskProposals, Segmenter
from groundkit.segmenters.choose import MaskRule, choose_mask, rank_by_area

SIZE_CANDIDATES = 8  # peaks that "largest" and "smallest" choose among


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
    directions: Sequence[Direction] = (),
    rule: MaskRule = "agreement",
    separation: float = 0.15,
    threshold: float = 0.5,
    centre: float = 0.0,
    redraw: bool = False,
) -> list[Pointed]:
    """The best ``count`` places of a map and their masks, the best first; at least one.

    A map of patches knows no sizes: with "largest" or "smallest" among ``directions``, the masks at more peaks are
    compared by their areas.

    Args:
        heatmap: float32 ``(height, width)`` of the picture.
        rule: which of the proposals is taken, see ``choose_mask``.
        separation, threshold, centre: of the peaks, see ``find_peaks``.
        redraw: draw each point again inside its mask, see ``deepest_point``, and take the mask of that one.
    """

    def ask(prompts: PointPrompts) -> Pointed:
        proposals = segmenter.segment(embedding, prompts)
        return Pointed(prompts, proposals, choose_mask(proposals, heatmap, rule=rule, points=prompts))

    size = next((each for each in directions if each in SIZES), None)
    found = []
    for prompts in find_peaks(
        heatmap,
        count=count if size is None else max(count, SIZE_CANDIDATES),
        separation=separation,
        threshold=threshold,
        centre=centre,
    ):
        pointed = ask(prompts)
        found.append(ask(deepest_point(heatmap, pointed.mask)) if redraw and pointed.mask.any() else pointed)
    if size is not None:
        masks = np.stack([each.mask for each in found])
        found = [found[index] for index in rank_by_area(masks, largest=size is Direction.LARGEST)]
    return found[:count]


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
