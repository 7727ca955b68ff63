"""The numbers that video segmentation is compared by: J, F and J&F, as the DAVIS challenge defines them.

For the predicted masks P and the true masks T of one object, on every frame:

    J    = |P ∩ T| / |P ∪ T|                      region similarity; 1 when both masks are empty
    F    = 2 · precision · recall / (precision + recall)                            contour accuracy
    J&F  = (J + F) / 2

Precision is the share of P's contour that lies within a tolerance of T's, and recall the share of T's that lies within
it of P's; the tolerance is 0.008 of the picture's diagonal, rounded up to whole pixels. A case's J and F are means over
its frames, and those of a set are means over its cases, each of which is one object. (Perazzi et al., CVPR 2016;
Pont-Tuset et al., arXiv:1704.00675.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.evaluation.metrics import Interval, bootstrap_ratios

TOLERANCE = 0.008  # of the picture's diagonal


class VideoMetrics(TypedDict):
    """What is measured over a set of cases."""

    n: int
    j: Interval
    f: Interval
    j_and_f: Interval


@dataclass(frozen=True)
class VideoScore:
    """How the predicted masks of one object compare with the true ones.

    Attributes:
        regions: J of each frame, in [0, 1]; at least one frame.
        contours: F of each frame, in [0, 1].
    """

    regions: tuple[float, ...]
    contours: tuple[float, ...]

    @property
    def j(self) -> float:
        """Mean J over the frames."""
        return sum(self.regions) / len(self.regions)

    @property
    def f(self) -> float:
        """Mean F over the frames."""
        return sum(self.contours) / len(self.contours)

    @property
    def j_and_f(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2


def score_video(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> VideoScore:
    """Compare the predicted masks of one object with the true ones, each frame with the same weight.

    Args:
        predicted: bool ``(F, height, width)``, F at least 1.
        truth: bool, of the same shape.

    Raises:
        ValueError: when the shapes differ, or are not three numbers.
    """
    return VideoScore(
        tuple(region_similarity(predicted, truth).tolist()), tuple(contour_accuracy(predicted, truth).tolist())
    )


def region_similarity(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """J of each frame: intersection over union, 1 when both masks are empty.

    Args:
        predicted: bool ``(F, height, width)``.
        truth: bool, of the same shape.

    Returns:
        float64 ``(F,)`` in [0, 1].

    Raises:
        ValueError: when the shapes differ, or are not three numbers.
    """
    _check(predicted, truth)
    intersection = np.count_nonzero(predicted & truth, axis=(1, 2))
    union = np.count_nonzero(predicted | truth, axis=(1, 2))
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


def contour_accuracy(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """F of each frame: the harmonic mean of contour precision and recall.

    It is 1 when neither mask has a contour, and 0 when one has. A mask of every pixel has none, just as an empty one.

    Args:
        predicted: bool ``(F, height, width)``.
        truth: bool, of the same shape.

    Returns:
        float64 ``(F,)`` in [0, 1].

    Raises:
        ValueError: when the shapes differ, or are not three numbers.
    """
    _check(predicted, truth)
    disk = _disk(tolerance_in_pixels(*truth.shape[1:]))
    return np.array([_f(contour(mine), contour(true), disk) for mine, true in zip(predicted, truth, strict=True)])


def tolerance_in_pixels(height: int, width: int) -> int:
    """How far two contours may lie apart and still agree: ceil(0.008 · diagonal), 8 at 480x854."""
    return math.ceil(TOLERANCE * math.hypot(height, width))


def contour(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The contour of a mask, bool ``(height, width)``: pixels that differ from the one to the right, the one below or
    the one diagonally below; it lies half a pixel up and left of the true edge.

    In the last row only the pixel to the right counts and in the last column only the one below, so that the picture's
    own border is no contour.
    """
    lines = np.zeros_like(mask)
    here = mask[:-1, :-1]
    lines[:-1, :-1] = (here != mask[:-1, 1:]) | (here != mask[1:, :-1]) | (here != mask[1:, 1:])
    lines[-1, :-1] = mask[-1, :-1] != mask[-1, 1:]
    lines[:-1, -1] = mask[:-1, -1] != mask[1:, -1]
    return lines


def measure_videos(scores: Sequence[VideoScore], *, resamples: int = 2000, seed: int = 0) -> VideoMetrics:
    """J, F and J&F over a set of cases, each with its 95 % bootstrap interval.

    The cases are resampled with replacement as if they were independent: where many phrases share a video,
    the true interval is wider.

    Args:
        scores: one per case; all None in the result if there are none.
        resamples: number of bootstrap samples; the same ones serve all metrics.
        seed: of the resampling. The same seed gives the same intervals.
    """
    values = np.array([(each.j, each.f, each.j_and_f) for each in scores], dtype=np.float64).reshape(-1, 3).T
    j, f, j_and_f = bootstrap_ratios(values, np.ones_like(values), resamples, seed)
    return {"n": len(scores), "j": j, "f": f, "j_and_f": j_and_f}


def _f(mine: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_], disk: npt.NDArray[np.uint8]) -> float:
    """F of two contours, bool ``(height, width)``."""
    if not mine.any() or not true.any():
        return float(mine.any() == true.any())
    precision = np.count_nonzero(mine & _widen(true, disk)) / np.count_nonzero(mine)
    recall = np.count_nonzero(true & _widen(mine, disk)) / np.count_nonzero(true)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _widen(lines: npt.NDArray[np.bool_], disk: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return cv2.dilate(lines.astype(np.uint8), disk).astype(np.bool_)


def _disk(radius: int) -> npt.NDArray[np.uint8]:
    """All whole offsets of a length up to ``radius``, uint8 ``(2 · radius + 1, 2 · radius + 1)``."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    inside: npt.NDArray[np.bool_] = x * x + y * y <= radius * radius
    return inside.astype(np.uint8)


def _check(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> None:
    if predicted.shape != truth.shape or truth.ndim != 3:
        raise ValueError(f"masks must both be (frames, height, width), got {predicted.shape} and {truth.shape}")
