"""A picture and its corner crops: VL-SAM's scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_EDGE = 2  # pixels: a mask that comes so near to an inner border of its crop is cut off by it


@dataclass(frozen=True)
class Crop:
    """A part of a picture.

    Attributes:
        pixels: uint8 ``(h, w, 3)`` RGB.
        x, y: where its top left corner stands in the picture.
        size: (height, width) of the whole picture.
    """

    pixels: npt.NDArray[np.uint8]
    x: int
    y: int
    size: tuple[int, int]

    def shows(self, box: npt.NDArray[np.float32]) -> bool:
        """Whether a box of the picture, XYXY in pixels, lies in the crop."""
        height, width = self.pixels.shape[:2]
        left, top, right, bottom = box
        return bool(self.x <= left and self.y <= top and right <= self.x + width and bottom <= self.y + height)

    def cuts(self, mask: npt.NDArray[np.bool_]) -> bool:
        """Whether a mask reaches an inner border of the crop, beyond which the object goes on."""
        height, width = mask.shape
        sides = (
            (self.y > 0, mask[:_EDGE]),
            (self.y + height < self.size[0], mask[-_EDGE:]),
            (self.x > 0, mask[:, :_EDGE]),
            (self.x + width < self.size[1], mask[:, -_EDGE:]),
        )
        return any(inner and part.any() for inner, part in sides)


def crops(image: npt.NDArray[np.uint8], shares: Sequence[float] = ()) -> list[Crop]:
    """The whole picture, and for each share a crop at each of its corners, of that share of its height and width."""
    height, width = image.shape[:2]
    found = [Crop(image, 0, 0, (height, width))]
    if min(height, width) < 2:
        return found
    for share in shares:
        down, across = math.ceil(height * share), math.ceil(width * share)
        for y in (slice(0, down), slice(height - down, height)):
            for x in (slice(0, across), slice(width - across, width)):
                found.append(Crop(np.ascontiguousarray(image[y, x]), x.start, y.start, (height, width)))
    return found
