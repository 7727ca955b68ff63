"""VL-SAM's prompts: a positive point in the positive area, a negative one outside, and two rounds of refinement.

The heatmap is thresholded; its largest connected component is the positive area; the points are the hottest place
inside and the coldest one outside. Round 1 of the refinement is PerSAM's cascade; round 2 draws the points again from
the heatmap masked by the mask of round 1.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from groundkit.errors import ConfigError
from groundkit.masks.candidates import Candidate
from groundkit.masks.choose import MaskRule, choose_mask
from groundkit.masks.packed import PackedMask
from groundkit.masks.refine import cascade
from groundkit.masks.rim import with_rim
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.segmenters.base import Propose
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.places import minmax

Heat = npt.NDArray[np.float32]

Part = Literal["largest", "hottest"]
Refine = Literal["none", "cascade", "mask_in", "mask_out"]
MIN_RELATIVE_HEAT = 0.5  # remaining heat below half of the peak is not another object


def threshold_share(threshold: float | str) -> float | None:
    """A threshold's share of the way from the lowest to the highest heat; None for ``otsu``.

    Raises:
        ConfigError: anything else.
    """
    if threshold == "otsu":
        return None
    try:
        share = float(threshold)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ConfigError(f"region_threshold={threshold}: use otsu or a number between 0 and 1")
    return share


def _is_threshold(text: str) -> str:
    threshold_share(text)
    return text


Threshold = Annotated[str, AfterValidator(_is_threshold)]


class PointPair(Prompter):
    """The hottest place of the positive area as a positive point, and the coldest place outside as a negative one."""

    alternatives: ClassVar[bool] = True

    negative_point: bool = Field(True, description="add a negative point at the coldest place outside the region")
    region_threshold: Threshold = Field(
        "otsu",
        description="threshold of the positive region: otsu, or a share of the way from the lowest to the highest "
        "heat, 0 to 1",
    )
    positive_region: Part = Field(
        "largest",
        description="which connected component above the threshold is the positive region: the largest, or the one "
        "with "
        "the peak (hottest)",
    )
    refinement: Refine = Field(
        "mask_in",
        description="refine the mask by mask and box prompts (cascade), then prompt again from the heatmap inside "
        "(mask_in) or outside (mask_out) that mask; none keeps the first mask",
    )
    mask_rule: MaskRule = Field("score", description="which mask is taken: agreement, score, largest or middle")

    def __call__(self, heatmap: Heatmap, propose: Propose) -> list[Candidate]:
        # The second round takes its negative point from the whole map: what is outside the mask is 0 in the masked one.
        heat = heatmap.pixels
        found: list[Candidate] = []
        for _ in range(2 if self.refinement in ("mask_in", "mask_out") else 1):
            area = positive_area(heat, self.region_threshold, self.positive_region)
            if not area.any() or heat.max() < MIN_RELATIVE_HEAT * heatmap.pixels.max():
                break
            prompts = point_pair(heat, area, negative=self.negative_point, cold=heatmap.pixels)
            proposals = propose(prompts) if self.refinement == "none" else cascade(propose, prompts)
            chosen = choose_mask(proposals, heat, rule=self.mask_rule)
            mask = proposals.masks[chosen]
            if mask.any():
                found.append(replace(Candidate.of(proposals, chosen, prompts, heat), area=PackedMask.of(area)))
            heat = heat * (~with_rim(mask) if self.refinement == "mask_out" else mask)
        return found


def positive_area(heat: Heat, threshold: float | str = "otsu", part: Part = "largest") -> npt.NDArray[np.bool_]:
    """One 8-connected component above a threshold, bool ``(height, width)``; empty for a constant map.

    Args:
        heat: float32 ``(height, width)``.
        threshold: ``otsu``, or a share of the way from the lowest to the highest heat, in (0, 1). The paper names none.
        part: the largest component, as in the paper, or that of the hottest place.

    Raises:
        ConfigError: another threshold.
    """
    scaled = np.round(255 * minmax(heat)).astype(np.uint8)
    share = threshold_share(threshold)
    if share is None:
        level, _ = cv2.threshold(scaled, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    else:
        level = 255 * share
    _, labels, stats, _ = cv2.connectedComponentsWithStats((scaled > level).astype(np.uint8), connectivity=8)
    if len(stats) == 1:
        return np.zeros(heat.shape, dtype=np.bool_)
    hottest = int(labels.flat[int(heat.argmax())])
    area: npt.NDArray[np.bool_] = labels == (
        hottest if part == "hottest" else 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    )
    return area


def point_pair(
    heat: Heat, area: npt.NDArray[np.bool_], *, negative: bool = True, cold: Heat | None = None
) -> PointPrompts:
    """The hottest place inside ``area`` as a positive point, and the coldest outside as a negative one, if any.

    ``negative`` False leaves the second out; ``cold`` is another map to look for it, of the same size.
    """
    inside = np.where(area, heat, -np.inf)
    found = [(np.unravel_index(int(inside.argmax()), heat.shape), 1)]
    if negative and not area.all():
        outside = np.where(area, np.inf, heat if cold is None else cold)
        found.append((np.unravel_index(int(outside.argmin()), heat.shape), 0))
    xy = np.array([[x + 0.5, y + 0.5] for (y, x), _ in found], dtype=np.float32)
    return PointPrompts(xy, np.array([label for _, label in found], dtype=np.int64))
