"""A tracker that needs no weights: the object's look on its first frame, and optical flow where it changes its shape.

As long as one shift, turn and scale of how the object looked explains it, it is found by that: nothing adds up from
frame to frame, what another object hides is left out of the mask, and an object that was hidden or has left is found
again; its outline is known, and no segmenter is asked. An object that bends is carried by DIS optical flow (Kroeger et
al. 2016), which warps its mask from each frame to the next. Points inside the mask then prompt the segmenter, and of
the segmenter's masks the one that overlaps it best is taken if it overlaps enough. After each one that does not, the
segmenter is asked half as often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.masks.geometry import mask_iou
from groundkit.prompting.peaks import find_peaks
from groundkit.segmenters.base import Segmenter
from groundkit.segmenters.points import PointPrompts
from groundkit.tracking.base import Mask, Pixels, Tracked
from groundkit.tracking.template import Match, Template

Flow = npt.NDArray[np.float32]

_LONGEST = 640  # pixels: the side at which flow is computed


@dataclass(frozen=True)
class OpticalFlowSettings:
    """What decides.

    Attributes:
        redraw: minimum IoU of a segmenter's mask with the warped one to replace it; 1 never asks the segmenter.
        max_pause: maximum number of frames after which a segmenter whose masks were refused is asked again.
        likeness: grey levels, of 255, by which a pixel may differ from where it came from.
        consistency: pixels, at the size at which flow is computed, by which flow forth and back may miss its start.
        rigid: minimum share of an object's pixels that one shift, turn and scale explains to move as a whole: at
            its rim flow mixes with that of the ground, and a mask that is warped again and again would wear off.
        lost: share of reliable pixels in the mask below which the object is hidden or gone.
        same: share of the object's pixels that must look as they did on its first step, or it is one that bends.
        bends: where fewer are seen, but at least this share of how it looked one frame before, it bends; where that is
            less too, something hides it.
        hidden: share of the object's pixels below which nothing of it is seen.
        found: how well a place must fit (see ``Match.value``) for a lost object to be there.
    """

    redraw: float = 0.75
    max_pause: int = 8
    likeness: float = 25.0
    consistency: float = 1.5
    rigid: float = 0.8
    lost: float = 0.3
    same: float = 0.985
    bends: float = 0.95
    hidden: float = 0.15
    found: float = 0.6


class OpticalFlowTracker:
    """Follows by look and by flow; ``segmenter`` None leaves outlines as they were found or warped."""

    name = "optical flow"

    def __init__(self, segmenter: Segmenter | None = None, settings: OpticalFlowSettings | None = None) -> None:
        self.segmenter = segmenter
        self.settings = settings or OpticalFlowSettings()

    def start(self, image: Pixels, mask: Mask) -> OpticalFlowTrack:
        """See :class:`groundkit.tracking.base.Tracker`."""
        return OpticalFlowTrack(self, image, mask)


class OpticalFlowTrack:
    """One object: how it looked, the last frame, and the mask on it."""

    def __init__(self, tracker: OpticalFlowTracker, image: Pixels, mask: Mask) -> None:
        self._tracker = tracker
        self._image, self._mask = image, mask
        self._template = Template(image, mask) if mask.any() else None
        self._pose = self._template.pose if self._template else np.zeros(4)
        self._scale = self._template.shrink if self._template else 1.0
        self._speed = np.zeros(2)
        self._first, self._bends, self._away = True, False, False
        self._unsettled = 0  # frames for which scale and angle are looked for more widely
        self._pause, self._next = 1, 1  # frames from one question to the segmenter to the next, and to the next one
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._flow.setFinestScale(0)  # every pixel: an error of one a frame at the border adds up

    def follow(self, image: Pixels) -> Tracked:
        """Find the object on the next frame.

        The score is the share of the object's pixels that look as they did, or, where flow carries it, of those in the
        mask whose flow forth and back ends where it began and which look as they did there; times the IoU of the
        warped and the redrawn mask where there is one.
        """
        before, self._image = self._image, image
        if self._template is None:
            return Tracked(self._mask, 0.0)
        small = self._template.prepare(image)
        if self._away:
            return self._search(self._template, image, small)
        guess = np.concatenate([self._pose[:2] + self._speed, self._pose[2:]])
        side = self._template.side * float(self._pose[2])
        reach = max(12.0, side * (1.4 if self._unsettled else 0.7), 1.5 * float(np.hypot(*self._speed)))
        match = self._template.find(small, guess, reach, sure=not self._unsettled)
        self._unsettled = max(0, self._unsettled - 1)
        self._bends = self._has_bent(match, before, small)
        self._first = False
        if self._bends:
            return self._warp(before, image)
        if match.seen < self._tracker.settings.hidden:
            return self._search(self._template, image, small)
        return self._place(self._template, match, image)

    def _has_bent(self, match: Match, before: Pixels, small: npt.NDArray[np.float32]) -> bool:
        """Whether the object looks otherwise because it has changed, and not because something hides it."""
        settings = self._tracker.settings
        if self._first or self._bends:  # once its look explains it again, it is as it was
            return match.seen < settings.same
        if match.seen >= 0.97 or match.seen < 0.7 or self._template is None:
            return False
        if np.count_nonzero(self._mask) < 0.9 * np.count_nonzero(self._template.outline(self._pose)):
            return False  # a part of it is hidden already
        fresh = Template(before, self._mask)
        seen = fresh.find(small, np.concatenate([fresh.pose[:2] + self._speed, fresh.pose[2:]]), 12.0).seen
        return seen >= max(settings.bends, match.seen + 0.02)

    def _place(self, template: Template, match: Match, image: Pixels) -> Tracked:
        """The object where its template was found, without what hides it."""
        mask = template.visible(image, match.pose)
        self._away = not mask.any()
        if self._away:
            return Tracked(mask, 0.0)
        moved = match.pose[:2] - self._pose[:2]
        self._speed = (self._speed + moved) / 2 if self._speed.any() else moved
        self._pose, self._mask = match.pose, mask
        self._pause = self._next = 1
        return Tracked(mask, match.seen)

    def _search(self, template: Template, image: Pixels, small: npt.NDArray[np.float32]) -> Tracked:
        match = template.find_anywhere(small, self._pose)
        self._away = match.value < self._tracker.settings.found
        if self._away:
            return Tracked(np.zeros_like(self._mask), 0.0)
        self._unsettled = 4
        self._pose, self._speed = match.pose, np.zeros(2)
        return self._place(template, match, image)

    def _warp(self, before: Pixels, image: Pixels) -> Tracked:
        """The last mask as flow carries it."""
        settings, old, grey = self._tracker.settings, _grey(before), _grey(image)
        back, forth = self._between(grey, old), self._between(old, grey)
        rigid = _rigid_motion(self._mask, forth, settings.rigid)
        warped = _warp(self._mask, back) if rigid is None else _move(self._mask, rigid)
        returned = np.linalg.norm(back + _sample(forth, back), axis=-1) < settings.consistency
        alike = np.abs(_sample(old.astype(np.float32), back) - grey) < settings.likeness
        reliable = cv2.resize((returned & alike).astype(np.uint8), warped.shape[::-1], interpolation=cv2.INTER_NEAREST)
        score = float(reliable[warped].mean()) if warped.any() else 0.0
        if score < settings.lost:
            self._speed, self._bends, self._away = np.zeros(2), False, True
            return Tracked(np.zeros_like(warped), score)
        moved = (_middle(warped) - _middle(self._mask)) * self._scale
        self._pose, self._speed = np.concatenate([self._pose[:2] + moved, self._pose[2:]]), np.zeros(2)
        overlap, self._mask = self._redrawn(image, warped)
        return Tracked(self._mask, score * overlap)

    def _between(self, one: Pixels, other: Pixels) -> Flow:
        """Where each pixel of ``one`` is in ``other``, ``(h, w, 2)``."""
        dense: Any = self._flow  # its annotations know no call without a flow to begin with
        return np.asarray(dense.calc(one, other, None), dtype=np.float32)

    def _redrawn(self, image: Pixels, warped: Mask) -> tuple[float, Mask]:
        """The segmenter's mask for points inside the warped one, and its IoU with it; 1 and the warped one where the
        segmenter is not asked or not believed."""
        segmenter, settings = self._tracker.segmenter, self._tracker.settings
        self._next -= 1
        if segmenter is None or settings.redraw >= 1 or self._next > 0:
            return 1.0, warped
        proposals = segmenter.segment(segmenter.embed(image), _inner_points(warped))
        overlaps = [mask_iou(mask, warped) for mask in proposals.masks]
        best = int(np.argmax(overlaps))
        believed = overlaps[best] >= settings.redraw
        self._next = self._pause = 1 if believed else min(2 * self._pause, settings.max_pause)
        return (overlaps[best], proposals.masks[best]) if believed else (1.0, warped)


def _inner_points(mask: Mask, count: int = 2) -> PointPrompts:
    """The places deepest inside a mask, each far from those before it."""
    distances = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)
    depth = np.asarray(distances[1:-1, 1:-1], dtype=np.float32)
    apart = 2 * float(depth.max()) / float(np.hypot(*depth.shape))
    peaks = find_peaks(depth, count=count, separation=apart, threshold=0.5)
    xy = np.concatenate([peak.xy for peak in peaks])
    return PointPrompts(xy, np.ones(len(xy), dtype=np.int64))


def _middle(mask: Mask) -> npt.NDArray[np.float64]:
    """x and y of the centre of mass; of an empty mask, 0."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) if len(rows) else np.zeros(2)


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


def _rigid_motion(mask: Mask, forth: Flow, min_share: float) -> npt.NDArray[np.float64] | None:
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
    if motion is None or inliers.mean() < min_share:
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
