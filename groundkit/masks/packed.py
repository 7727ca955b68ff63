"""A packed mask: one bit per pixel of its box, so that hundreds of a large picture fit into memory at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from groundkit.masks.geometry import boxes_of

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PackedMask:
    """A mask, bool ``(height, width)``, as the bits of its tight box.

    Attributes:
        size: (height, width) of the mask.
        corner: x and y of the box's top left corner.
        shape: (height, width) of the box.
        bits: uint8, the box's pixels row by row, eight a byte.
        area: how many pixels are True.
    """

    size: tuple[int, int]
    corner: tuple[int, int]
    shape: tuple[int, int]
    bits: npt.NDArray[np.uint8]
    area: int

    @classmethod
    def of(cls, mask: Mask) -> PackedMask:
        """Pack a mask, bool ``(height, width)``."""
        left, top, right, bottom = boxes_of(mask[None])[0].astype(int).tolist()
        part = mask[top:bottom, left:right]
        height, width = mask.shape
        return cls((height, width), (left, top), (bottom - top, right - left), np.packbits(part), int(part.sum()))

    @property
    def box(self) -> npt.NDArray[np.float32]:
        """Float32 ``(4,)``, XYXY pixels, x2 and y2 exclusive; all 0 for an empty mask."""
        (left, top), (height, width) = self.corner, self.shape
        return np.array([left, top, left + width, top + height], dtype=np.float32)

    @property
    def percent(self) -> float:
        """How much of the picture it covers."""
        return 100 * self.area / (self.size[0] * self.size[1])

    def part(self) -> Mask:
        """The pixels of the box, bool ``(h, w)``."""
        height, width = self.shape
        return np.unpackbits(self.bits, count=height * width).astype(np.bool_).reshape(height, width)

    def whole(self) -> Mask:
        """The mask itself, bool ``(height, width)``."""
        mask = np.zeros(self.size, dtype=np.bool_)
        mask[self.inside(0, 0)] = self.part()
        return mask

    def inside(self, x: int, y: int) -> tuple[slice, slice]:
        """Where the box stands in an array whose top left pixel is (x, y) of the picture."""
        (left, top), (height, width) = self.corner, self.shape
        return slice(top - y, top - y + height), slice(left - x, left - x + width)

    def placed(self, x: int, y: int, size: tuple[int, int]) -> PackedMask:
        """The mask of a part of a picture whose top left corner stands at (x, y), in a picture of ``size``."""
        if not self.area:
            return replace(self, size=size)
        return replace(self, size=size, corner=(self.corner[0] + x, self.corner[1] + y))

    def iou(self, other: PackedMask) -> float:
        """Intersection over union of two masks of one size, 1 when both are empty."""
        first, second = self.box, other.box
        left, top = np.maximum(first[:2], second[:2]).astype(int).tolist()
        right, bottom = np.minimum(first[2:], second[2:]).astype(int).tolist()
        both = 0
        if left < right and top < bottom:
            parts = (
                each.part()[top - y : bottom - y, left - x : right - x]
                for each, (x, y) in ((self, self.corner), (other, other.corner))
            )
            both = int(np.count_nonzero(np.logical_and(*parts)))
        union = self.area + other.area - both
        return both / union if union else 1.0
