"""A picture and its corner crops: VL-SAM's scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_EDGE = 2  # pixels: a mask that comes so near to an inner border of its crop is cut off by it


@dataclass(frozen=True)
class Window:
    """Where a part of a picture stands.

    Attributes:
        x, y: its top left corner.
        shape: (height, width) of the part.
        size: (height, width) of the whole picture.
    """

    x: int
    y: int
    shape: tuple[int, int]
    size: tuple[int, int]

    def scaled(self, shape: tuple[int, int], size: tuple[int, int]) -> Window:
        """The same part of the same picture, both of other sizes. Borders that it shares with the picture stay so."""
        room = zip((self.y, self.x), self.size, self.shape, size, shape, strict=True)
        y, x = (round(at * (new - part) / (old - own)) if at else 0 for at, old, own, new, part in room)
        return Window(x, y, shape, size)

    def shows(self, box: npt.NDArray[np.float32]) -> bool:
        """Whether a box of the picture, XYXY in pixels, lies in the crop."""
        height, width = self.shape
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


@dataclass(frozen=True)
class Crop(Window):
    """A part of a picture.

    Attributes:
        pixels: uint8 ``(height, width, 3)`` RGB.
    """

    pixels: npt.NDArray[np.uint8]


def crops(image: npt.NDArray[np.uint8], shares: Sequence[float] = ()) -> list[Crop]:
    """The whole picture, and for each share a crop at each of its corners, of that share of its height and width."""
    height, width = image.shape[:2]
    size = (height, width)
    found = [Crop(0, 0, size, size, image)]
    if min(height, width) < 2:
        return found
    for share in shares:
        down, across = math.ceil(height * share), math.ceil(width * share)
        for y in (slice(0, down), slice(height - down, height)):
            for x in (slice(0, across), slice(width - across, width)):
                found.append(Crop(x.start, y.start, (down, across), size, np.ascontiguousarray(image[y, x])))
    return found
