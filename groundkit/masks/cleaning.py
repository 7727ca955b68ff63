"""Clean-up of masks, and which of them are kept. All of it is off by default."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cleaning:
    """What is done with each mask: clean-up, then smoothing, then the filters.

    An area below 1 is a share of the picture; from 1 on it is a number of pixels.

    Attributes:
        min_score: masks with a lower score are left out; 0 to 1.
        min_area: smaller masks are left out; an area, 0 or more.
        max_area: larger masks are left out; an area, None for no limit.
        clean: holes and specks (parts that do not touch the rest) smaller than this are filled and removed; an area, 0
            or more. The largest part of a mask stays.
        smooth: standard deviation of the Gaussian that rounds off the boundary, in pixels, 0 to 100.

    Raises:
        ConfigError: a value outside its range.
    """

    min_score: float = 0.0
    min_area: float = 0.0
    max_area: float | None = None
    clean: float = 0.0
    smooth: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"--min-score must be 0 to 1, got {self.min_score}")
        for name, area in (("min-area", self.min_area), ("max-area", self.max_area), ("clean", self.clean)):
            if area is not None and not 0 <= area < float("inf"):
                raise ConfigError(
                    f"--{name} must be 0 or more: below 1 a share of the picture, else pixels; got {area}"
                )
        if not 0 <= self.smooth <= 100:
            raise ConfigError(f"--smooth must be 0 to 100 pixels, got {self.smooth}")
        if self.max_area is not None and self.max_area <= 0:
            raise ConfigError(f"--max-area must be more than 0, got {self.max_area}")

    def __bool__(self) -> bool:
        """Whether it does anything."""
        return self != Cleaning()

    def mask(self, mask: Mask) -> Mask:
        """A mask, bool ``(height, width)``, cleaned and smoothed."""
        if self.clean and mask.any():
            mask = without_specks(mask, pixels(self.clean, mask.size))
        return smoothed(mask, self.smooth) if self.smooth else mask

    def keeps(self, mask: Mask, score: float) -> bool:
        """Whether a cleaned mask with this score is kept. An empty mask is not, once anything is filtered."""
        area = int(np.count_nonzero(mask))
        largest = mask.size if self.max_area is None else pixels(self.max_area, mask.size)
        return score >= self.min_score and max(1.0, pixels(self.min_area, mask.size)) <= area <= largest


def pixels(area: float, of: int) -> float:
    """An area in pixels: below 1 it is a share of ``of``."""
    return area * of if area < 1 else area


def without_specks(mask: Mask, area: float) -> Mask:
    """Fill holes of fewer than ``area`` pixels, then remove parts of fewer, but for the largest.

    Pixels of a part touch, also at their corners; those of a hole do so along their sides. A hole does not reach the
    border of the picture.
    """
    outside = np.pad(~mask, 1, constant_values=True)  # all that reaches the border is one part
    _, labels, sizes = _parts(outside, connectivity=4)
    small = sizes < area
    small[labels[0, 0]] = small[0] = False
    filled = mask | small[labels[1:-1, 1:-1]]
    _, labels, sizes = _parts(filled, connectivity=8)
    kept = sizes >= area
    if len(sizes) > 1:
        kept[1 + int(sizes[1:].argmax())] = True
    kept[0] = False
    return np.asarray(kept[labels], np.bool_)


def smoothed(mask: Mask, radius: float) -> Mask:
    """Round off the boundary: a Gaussian of this standard deviation in pixels, cut at one half."""
    blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), radius, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred > 0.5, np.bool_)


def _parts(mask: Mask, *, connectivity: int) -> tuple[int, npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number, map and sizes of connected parts; number 0 is all that is False."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=connectivity)
    return count, np.asarray(labels, np.int32), stats[:, cv2.CC_STAT_AREA].astype(np.int64)
