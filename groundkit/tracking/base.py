"""What every tracker offers: a mask on one frame in, masks on the frames that follow out, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tracked:
    """One object on one frame.

    Attributes:
        mask: bool ``(height, width)``; empty where the object is not seen.
        score: in [0, 1], how sure the tracker is that this is still the object it began with.
    """

    mask: Mask
    score: float


class Track(Protocol):
    """One object that is being followed. Frames may come in either direction of time, but each next to the last."""

    def follow(self, image: Pixels) -> Tracked:
        """Find the object on the next frame, uint8 ``(height, width, 3)`` RGB of the first one's size."""


class Tracker(Protocol):
    """Starts tracks."""

    name: str

    def start(self, image: Pixels, mask: Mask) -> Track:
        """Begin with a mask, bool ``(height, width)``, on a frame, uint8 ``(height, width, 3)`` RGB."""
