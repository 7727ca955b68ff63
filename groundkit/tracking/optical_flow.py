"""A tracker that needs no weights: dense optical flow carries the mask, and the segmenter draws its outline anew.

From each frame to the next the mask is warped by DIS optical flow (Kroeger et al. 2016); points inside it prompt the
segmenter, and of the segmenter's masks the one that overlaps the warped mask best is taken if it overlaps enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.prompting.peaks import find_peaks
from groundkit.prompting.points import PointPrompts
from groundkit.segmenters.base import Segmenter
from groundkit.tracking.base import Mask, Pixels, Tracked

Flow = npt.NDArray[np.float32]

_LONGEST = 640  # pixels: the side at which flow is computed


@dataclass(frozen=True)
class OpticalFlowSettings:
    """What decides.

    Attributes:
        redraw: least IoU of a segmenter's mask with the warped one at which it replaces it; 1 never asks the segmenter.
        likeness: grey levels, of 255, by which a pixel may differ from where it came from.
        consistency: pixels, at the size at which flow is computed, by which flow forth and back may miss its start.
        rigid: least share of an object's pixels that one shift, turn and scale explains, for it to move as a whole: at
            its rim flow mixes with that of the ground, and a mask that is warped again and again would wear off.
        lost: share of reliable pixels in the mask below which the object is hidden or gone.
    """

    redraw: float = 0.75
    likeness: float = 25.0
    consistency: float = 1.5
    rigid: float = 0.8
    lost: float = 0.3


class OpticalFlowTracker:
    """Carries masks by optical flow; ``segmenter`` None leaves outlines as they were warped."""

    name = "optical flow"

    def __init__(self, segmenter: Segmenter | None = None, settings: OpticalFlowSettings | None = None) -> None:
        self.segmenter = segmenter
        self.settings = settings or OpticalFlowSettings()

    def start(self, image: Pixels, mask: Mask) -> OpticalFlowTrack:
        """See :class:`groundkit.tracking.base.Tracker`."""
        return OpticalFlowTrack(self, image, mask)


class OpticalFlowTrack:
    """One object: the last frame and the mask on it."""

    def __init__(self, tracker: OpticalFlowTracker, image: Pixels, mask: Mask) -> None:
        self._tracker = tracker
        self._grey = _grey(image)
        self._mask = mask
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow.setFinestScale(0)  # every pixel: an error of one a frame at the border adds up

    def follow(self, image: Pixels) -> Tracked:
        """Warp the mask to the next frame and, where the segmenter agrees, draw it anew.

        The score is the share of reliable pixels in the mask, whose flow forth and back ends where it began and which
        look as they did there, times the IoU of the warped and the redrawn mask where there is one.
        """
        settings, grey, before = self._tracker.settings, _grey(image), self._grey
        back, forth = self._between(grey, before), self._between(before, grey)
        self._grey = grey
        if not self._mask.any():
            return Tracked(self._mask, 0.0)
        rigid = _rigid_motion(self._mask, forth, settings.rigid)
        warped = _warp(self._mask, back) if rigid is None else _move(self._mask, rigid)
        returned = np.linalg.norm(back + _sample(forth, back), axis=-1) < settings.consistency
        alike = np.abs(_sample(before.astype(np.float32), back) - grey) < settings.likeness
        reliable = cv2.resize((returned & alike).astype(np.uint8), warped.shape[::-1], interpolation=cv2.INTER_NEAREST)
        score = float(reliable[warped].mean()) if warped.any() else 0.0
        if score < settings.lost:
            return Tracked(np.zeros_like(warped), score)  # the mask waits where it was last seen
        self._mask = warped
        if self._tracker.segmenter is not None and settings.redraw < 1:
            overlap, redrawn = self._redraw(self._tracker.segmenter, image, warped)
            if overlap >= settings.redraw:
                self._mask, score = redrawn, score * overlap
        return Tracked(self._mask, score)

    def _between(self, one: Pixels, other: Pixels) -> Flow:
        """Where each pixel of ``one`` is in ``other``, ``(h, w, 2)``."""
        dense: Any = self._flow  # its annotations know no call without a flow to begin with
        return np.asarray(dense.calc(one, other, None), dtype=np.float32)

    def _redraw(self, segmenter: Segmenter, image: Pixels, warped: Mask) -> tuple[float, Mask]:
        """The segmenter's mask for points inside the warped one, and its IoU with it."""
        proposals = segmenter.segment(segmenter.embed(image), _inner_points(warped))
        overlaps = [float((mask & warped).sum() / (mask | warped).sum()) for mask in proposals.masks]
        best = int(np.argmax(overlaps))
        return overlaps[best], proposals.masks[best]


def _inner_points(mask: Mask, count: int = 2) -> PointPrompts:
    """The places deepest inside a mask, each far from those before it."""
    distances = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)
    depth = np.asarray(distances[1:-1, 1:-1], dtype=np.float32)
    apart = 2 * float(depth.max()) / float(np.hypot(*depth.shape))
    peaks = find_peaks(depth, count=count, separation=apart, threshold=0.5)
    xy = np.concatenate([peak.xy for peak in peaks])
    return PointPrompts(xy, np.ones(len(xy), dtype=np.int64))


def _grey(image: Pixels) -> Pixels:
    scale = min(1.0, _LONGEST / max(image.shape[:2]))
    size = (max(16, round(image.shape[1] * scale)), max(16, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _sample(field: npt.NDArray[np.float32], flow: Flow) -> npt.NDArray[np.float32]:
    """``field`` read where ``flow`` leads from each pixel."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    there = cv2.remap(field, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderValue=(1e6, 1e6))
    return np.asarray(there, dtype=np.float32)


def _rigid_motion(mask: Mask, forth: Flow, least: float) -> npt.NDArray[np.float64] | None:
    """The shift, turn and scale, ``(2, 3)`` in pixels of the mask, that most of its pixels follow; None for too few."""
    height, width = forth.shape[:2]
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero(cv2.erode(small, np.ones((3, 3), np.uint8)))
    if len(rows) < 12:
        return None
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), 600)).astype(int)
    start = np.stack([columns[chosen], rows[chosen]], axis=-1).astype(np.float32)
    end = start + forth[rows[chosen], columns[chosen]]
    cv2.setRNGSeed(0)
    motion, inliers = cv2.estimateAffinePartial2D(start, end, method=cv2.RANSAC, ransacReprojThreshold=1.0)
    if motion is None or inliers.mean() < least:
        return None
    motion[:, 2] *= np.array([mask.shape[1] / width, mask.shape[0] / height])
    return np.asarray(motion, dtype=np.float64)


def _move(mask: Mask, motion: npt.NDArray[np.float64]) -> Mask:
    soft = cv2.warpAffine(mask.astype(np.float32), motion, mask.shape[::-1], flags=cv2.INTER_LINEAR)
    moved: Mask = soft > 0.5
    return moved


def _warp(mask: Mask, back: Flow) -> Mask:
    """The mask on the next frame: each pixel looks up where it came from."""
    height, width = mask.shape
    full = cv2.resize(back, (width, height), interpolation=cv2.INTER_LINEAR)
    full *= np.array([width / back.shape[1], height / back.shape[0]], dtype=np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    soft = cv2.remap(mask.astype(np.float32), columns + full[..., 0], rows + full[..., 1], cv2.INTER_LINEAR)
    warped: Mask = soft > 0.5
    return warped
