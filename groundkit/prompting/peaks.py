"""RefAM's prompts: the highest point of a heatmap, or several peaks that lie apart."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from groundkit.masks.candidates import Candidate
from groundkit.masks.choose import MaskRule, choose_mask
from groundkit.masks.packed import PackedMask
from groundkit.masks.rim import deepest_point
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.segmenters.base import MaskProposals, Propose, propose_each
from groundkit.segmenters.points import PointPrompts

Heat = npt.NDArray[np.float32]


class Peaks(Prompter):
    """One point per peak, and for each the best of the segmenter's masks."""

    max_peaks: int = Field(
        1, ge=1, le=32, description="maximum number of objects to point at; 1 takes the argmax alone"
    )
    min_peak_height: float = Field(
        0.5, ge=0, le=1, description="minimum height of a further peak, as a share of the first"
    )
    peak_radius: float = Field(
        0.0,
        ge=0,
        le=8,
        description="radius in patches around a peak within which the centre of heat becomes the point; 0 keeps the "
        "peak",
    )
    refine_point: bool = Field(
        False,
        description="move each point to the place inside its mask where heat times depth is highest, and segment again",
    )
    mask_rule: MaskRule = Field("agreement", description="which mask is taken: agreement, score, largest or middle")

    def __call__(self, heatmap: Heatmap, propose: Propose) -> list[Candidate]:
        heat = heatmap.pixels
        if not heat.any():
            return []
        peaks = find_peaks(
            heat,
            count=self.max_peaks,
            threshold=self.min_peak_height,
            centre=self.radius(heatmap),
        )
        asked = zip(peaks, propose_each(propose, peaks), strict=True)
        return [self.best(proposals, prompts, heat, propose) for prompts, proposals in asked]

    def radius(self, heatmap: Heatmap) -> float:
        """``peak_radius`` in pixels."""
        return float(self.peak_radius * heatmap.pixels.shape[1] / heatmap.cells.shape[1])

    def mask_at(self, prompts: PointPrompts, heat: Heat, propose: Propose) -> Candidate:
        """The mask for one point, compared with a map ``(height, width)``."""
        return self.best(propose(prompts), prompts, heat, propose)

    def best(self, proposals: MaskProposals, prompts: PointPrompts, heat: Heat, propose: Propose) -> Candidate:
        """The mask to take of those that were proposed for a point; the point can be moved first."""
        chosen = choose_mask(proposals, heat, rule=self.mask_rule, points=prompts)
        if self.refine_point and proposals.masks[chosen].any():
            prompts = deepest_point(heat, proposals.masks[chosen])
            proposals = propose(prompts)
            chosen = choose_mask(proposals, heat, rule=self.mask_rule, points=prompts)
        tried = zip(map(PackedMask.of, proposals.masks), np.clip(proposals.scores, 0, 1).tolist(), strict=True)
        return replace(Candidate.of(proposals, chosen, prompts), proposals=tuple(tried), chosen=chosen)


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
