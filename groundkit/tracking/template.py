"""The object as it looked on one frame, and where on another frame it looks like that.

A few hundred pixels of the object, and a ring of the ground around it, are compared under a shift, turn and scale (a
pose). The ring keeps an object of one colour from being found in anything of that colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.tracking.base import Mask, Pixels

Floats = npt.NDArray[np.float64]
Colours = npt.NDArray[np.float32]

_LONGEST = 320  # pixels: the side at which poses are compared
_INSIDE, _RING = 400, 200  # pixels compared at most
_RIM = 1.5  # pixels: edges are mixed with the ground
_DIFFERENT = 40.0  # grey levels, of 255, as a mean over the channels, from which two colours have nothing in common
_ALIKE = 30.0  # below which they are the same
_MARGIN = 8  # pixels around an outline that blurring and closing it look at
_UNSEEN = 0.4  # what a pixel beyond the picture's border counts, between alike (1) and different (0)
_RING_WEIGHT = 0.5
_STEPS = ((2.0, 0.04, 0.08), (1.0, 0.02, 0.04), (0.5, 0.01, 0.02), (0.5, 0.01, 0.01))  # pixels, scale, radians
# Times the scale, and added to the angle, where an object was out of sight or cut by the border.
_FAR = np.stack(np.meshgrid((0.7, 0.85, 1.0, 1.2, 1.4), (-0.5, -0.25, 0.0, 0.25, 0.5)), axis=-1).reshape(-1, 2)


@dataclass(frozen=True)
class Match:
    """Where a template was found.

    Attributes:
        pose: float64 ``(4,)``: x and y of its middle in pixels of the small picture, scale, and angle in radians.
        value: at most 1; how well the pose fits.
        seen: share of the object's pixels that look as they did.
    """

    pose: Floats
    value: float
    seen: float


class Template:
    """An object cut out of a frame.

    Args:
        image: uint8 ``(height, width, 3)`` RGB.
        mask: bool ``(height, width)``, not empty.
    """

    def __init__(self, image: Pixels, mask: Mask) -> None:
        self._image, self._mask = image, mask
        self.shrink = min(1.0, _LONGEST / max(mask.shape))
        small = self.prepare(image)
        share = cv2.resize(mask.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
        solid: Mask = share >= min(0.5, float(share.max()))  # of an object thinner than a pixel, something stays
        self._inside, self._colours, self._ring, self._ring_colours, middle = _samples(small, solid)
        self.pose: Floats = np.array([*middle, 1.0, 0.0])
        self.side = float(np.sqrt(np.count_nonzero(solid)))
        self._middle = middle
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        self._corners = np.array([[x, y] for x in columns[[0, -1]] for y in rows[[0, -1]]], dtype=np.float64)

    def prepare(self, image: Pixels) -> Colours:
        """A frame as the other methods want it: small and a little blurred, float32."""
        if self.shrink < 1:
            size = (round(image.shape[1] * self.shrink), round(image.shape[0] * self.shrink))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), dtype=np.float32)

    def find(self, small: Colours, guess: Floats, reach: float, *, sure: bool = True) -> Match:
        """The best pose within ``reach`` pixels of a guess; nearer ones are preferred.

        ``sure`` is for a guess whose scale and angle can be off by little only.
        """
        shift = np.arange(-reach, reach + 1, 3)
        places = _grid([guess[0] + shift, guess[1] + shift, guess[2:3], guess[3:]])
        return self._refine(small, np.concatenate([places, guess[None]]), guess, sure=sure)

    def find_anywhere(self, small: Colours, pose: Floats) -> Match:
        """The best pose in the whole picture, scale and angle not too far from those of ``pose``."""
        height, width = small.shape[:2]
        places = _grid([np.arange(0, width, 2.0), np.arange(0, height, 2.0), pose[2:3], pose[3:]])
        return self._refine(small, places, None, sure=False)

    def outline(self, pose: Floats) -> Mask:
        """Bool ``(height, width)``: the whole mask in a pose, whether it is seen or hidden."""
        return self._over_picture(self._outline(pose), self._area(pose))

    def visible(self, image: Pixels, pose: Floats) -> Mask:
        """The part of the outline in a pose that looks as it did: what nothing hides."""
        area = self._area(pose)
        outline = self._outline(pose)
        there = self._moved(self._image, pose)
        # In uint8, as the blur is: the sum over the channels of what differs.
        red, green, blue = cv2.split(cv2.absdiff(_soft(there), _soft(image[area])))
        different = np.add(red, green, dtype=np.uint16) + blue
        inner = cv2.erode(outline.astype(np.uint8), np.ones((3, 3), np.uint8))
        hidden = cv2.morphologyEx(inner * (different > 3 * _ALIKE), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
        hidden = cv2.dilate(hidden, np.ones((5, 5), np.uint8)) * (different > 3 * _ALIKE / 2)
        return self._over_picture(outline & (hidden == 0), area)

    def _outline(self, pose: Floats) -> Mask:
        outline: Mask = self._moved(self._mask.astype(np.float32), pose) > 0.5
        return outline

    def _area(self, pose: Floats) -> tuple[slice, slice]:
        """Rows and columns of the picture around the outline in a pose: the only ones that are computed."""
        matrix = self._matrix(pose)
        corners = self._corners @ matrix[:, :2].T + matrix[:, 2]
        (left, top), (right, bottom) = np.floor(corners.min(axis=0)) - _MARGIN, np.ceil(corners.max(axis=0)) + _MARGIN
        height, width = self._mask.shape
        return _within(top, bottom, height), _within(left, right, width)

    def _moved(self, field: npt.NDArray[Any], pose: Floats) -> npt.NDArray[Any]:
        """A field ``(height, width, ...)`` of the template's frame as it is in a pose, in ``_area`` alone."""
        rows, columns = self._area(pose)
        matrix = self._matrix(pose)
        matrix[:, 2] -= columns.start, rows.start
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return np.asarray(cv2.warpAffine(field, matrix, size, flags=cv2.INTER_LINEAR))

    def _over_picture(self, mask: Mask, area: tuple[slice, slice]) -> Mask:
        whole = np.zeros_like(self._mask)
        whole[area] = mask
        return whole

    def _matrix(self, pose: Floats) -> Floats:
        """``(2, 3)``, from the template's frame to that of the pose, in pixels of the full picture."""
        cosine, sine = pose[2] * np.cos(pose[3]), pose[2] * np.sin(pose[3])
        turn = np.array([[cosine, -sine], [sine, cosine]])
        half = 0.5 - 0.5 * self.shrink  # pixel centres of the small picture, in the full one
        shift = (pose[:2] + half - turn @ (self._middle + half)) / self.shrink
        return np.concatenate([turn, shift[:, None]], axis=1)

    def _refine(self, small: Colours, places: Floats, guess: Floats | None, *, sure: bool) -> Match:
        """From the best of many places, ever smaller steps uphill."""
        values = self._values(small, places, guess, every=4 if sure else 8, sure=sure)
        best = places[np.argsort(-values)[: 6 if sure else 24]]
        if not sure:
            # From a scale far too small no small step leads up: the ring lies inside the object.
            poses = np.repeat(best, len(_FAR), axis=0)
            poses[:, 2] *= np.tile(_FAR[:, 0], len(best))
            poses[:, 3] += np.tile(_FAR[:, 1], len(best))
            values = self._values(small, poses, guess, every=2, sure=sure)
            best = poses[np.argsort(-values)[:6]]
        for index, (pixels, scale, angle) in enumerate(_STEPS):
            shift, zoom, turn = (np.array([-1, 0, 1]) * step for step in (pixels, scale, angle))
            steps = _grid([shift, shift, zoom, turn])
            for _ in range(2):
                poses = (best[:, None] + steps).reshape(-1, 4)
                values = self._values(small, poses, guess, every=2, sure=sure)
                best = poses[np.argsort(-values)[: 3 if index == 0 else 1]]
        pose = best[0]
        distance, _ = _compare(small, pose[None], self._inside, self._colours)
        return Match(
            pose, float(self._values(small, best[:1], None, every=1, sure=sure)[0]), float((distance < _ALIKE).mean())
        )

    def _values(self, small: Colours, poses: Floats, guess: Floats | None, *, every: int, sure: bool) -> Floats:
        """How well each of the poses ``(P, 4)`` fits, looking at each ``every``-th pixel."""
        values = _likeness(small, poses, self._inside[::every], self._colours[::every], _UNSEEN)
        if len(self._ring) >= 20:
            around = _likeness(small, poses, self._ring[::every], self._ring_colours[::every], 0)
            values = values - _RING_WEIGHT * around
        if guess is not None:
            values = values - 0.15 * np.hypot(poses[:, 0] - guess[0], poses[:, 1] - guess[1]) / self.side
        if guess is not None and sure:
            values = values - 0.5 * np.abs(np.log(np.maximum(poses[:, 2], 0.01) / guess[2]))
            values = values - 0.15 * np.abs(poses[:, 3] - guess[3])
        return np.asarray(values, dtype=np.float64)


def _samples(small: Colours, solid: Mask) -> tuple[Floats, Colours, Floats, Colours, Floats]:
    """Pixels inside a mask and their colours; pixels around it and the nearest inner colours; the mask's middle."""
    depth = cv2.distanceTransform(np.pad(solid.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    core = depth > _RIM
    if np.count_nonzero(core) < 12:
        core = solid
    generator = np.random.default_rng(0)
    rows, columns = np.nonzero(core)
    middle = np.array([columns.mean(), rows.mean()])
    chosen = generator.permutation(len(rows))[:_INSIDE]
    inside, colours = np.stack([columns, rows], axis=-1)[chosen] - middle, small[rows, columns][chosen]

    _, nearest = cv2.distanceTransformWithLabels(
        (~core).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inner = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    inner[nearest[core]] = small[core]
    near, far = (cv2.dilate(solid.astype(np.uint8), np.ones((side, side), np.uint8)) for side in (5, 9))
    rows, columns = np.nonzero(far > near)
    expected = inner[nearest[rows, columns]]
    # Where the ground has the object's colour it tells nothing.
    telling = np.flatnonzero(np.abs(small[rows, columns] - expected).mean(axis=-1) > _ALIKE)
    chosen = generator.permutation(telling)[:_RING]
    ring = np.stack([columns, rows], axis=-1)[chosen] - middle
    return inside, colours, ring, expected[chosen], middle


def _likeness(small: Colours, poses: Floats, offsets: Floats, colours: Colours, unseen: float) -> Floats:
    distance, beyond = _compare(small, poses, offsets, colours)
    likeness = 1 - np.minimum(distance / _DIFFERENT, 1)
    likeness[beyond] = unseen
    return np.asarray(likeness.mean(axis=1), dtype=np.float64)


def _compare(small: Colours, poses: Floats, offsets: Floats, colours: Colours) -> tuple[Colours, npt.NDArray[np.bool_]]:
    """How far colours, ``(M, 3)``, are from those at offsets ``(M, 2)`` under poses ``(P, 4)``, and which are outside
    the picture: both ``(P, M)``."""
    cosine, sine = (poses[:, 2] * wave(poses[:, 3]) for wave in (np.cos, np.sin))
    x = np.rint(poses[:, :1] + np.outer(cosine, offsets[:, 0]) - np.outer(sine, offsets[:, 1])).astype(np.intp)
    y = np.rint(poses[:, 1:2] + np.outer(sine, offsets[:, 0]) + np.outer(cosine, offsets[:, 1])).astype(np.intp)
    height, width = small.shape[:2]
    beyond = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    there = small[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    distance = np.abs(there - colours).mean(axis=-1)
    distance[beyond] = 255
    return distance, beyond


def _grid(axes: list[npt.NDArray[np.float64]]) -> Floats:
    """All combinations, ``(P, len(axes))``."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _within(start: float, stop: float, length: int) -> slice:
    """A slice of at least one place."""
    first = int(np.clip(start, 0, length - 1))
    return slice(first, int(np.clip(stop + 1, first + 1, length)))


def _soft(image: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), dtype=np.uint8)
