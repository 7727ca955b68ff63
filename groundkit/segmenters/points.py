"""Points that a promptable segmenter takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PointPrompts:
    """The points that describe one object.

    Attributes:
        xy: float32 ``(M, 2)``, pixels of the original picture, x to the right and y down, pixel centres at +0.5.
        labels: int64 ``(M,)``, 1 on the object and 0 off it.
    """

    xy: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape[1] != 2:
            raise ValueError(f"xy must be (M, 2), got {self.xy.shape}")
        if self.labels.shape != (len(self.xy),):
            raise ValueError(f"labels must be ({len(self.xy)},), got {self.labels.shape}")

    @property
    def rows(self) -> npt.NDArray[np.float32]:
        """The points as results hold them: float32 ``(M, 3)``, x, y and label."""
        return np.column_stack([self.xy, self.labels]).astype(np.float32)

    @classmethod
    def from_rows(cls, rows: npt.NDArray[np.float32]) -> PointPrompts:
        """The points of one object as results hold them, float32 ``(M, 3)``: the way back from ``rows``."""
        return cls(rows[:, :2], rows[:, 2].astype(np.int64))
