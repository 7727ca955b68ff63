"""The numbers that referring segmentation is compared by, with bootstrap intervals.

Each of them is a ratio of two sums over cases, so that one function resamples them all:

    oIoU            sum of intersections / sum of unions
    mIoU            sum of IoUs / number of cases          (IoU of an empty union is 1)
    P@0.5           cases with IoU >= 0.5 / number of cases
    point accuracy  cases whose point lies in the true mask / cases that have a target
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

_BLOCK = 4_000_000  # draws held in memory at once


class Interval(TypedDict):
    """A value and its 95 % percentile bootstrap interval; all None when no case can have the value."""

    value: float | None
    low: float | None
    high: float | None


def format_interval(interval: Interval) -> str:
    """``0.812 [0.778, 0.844]``, or a dash where there is no value."""
    if interval["value"] is None:
        return "-"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


class Metrics(TypedDict):
    """What is measured over a set of cases."""

    n: int
    oiou: Interval
    miou: Interval
    p50: Interval
    point_accuracy: Interval


@dataclass(frozen=True)
class Score:
    """How one predicted mask and point compare with the truth.

    Attributes:
        intersection: pixels in both masks.
        union: pixels in either mask.
        point_hit: whether the point lies in the true mask; None when there is no target to hit.
    """

    intersection: int
    union: int
    point_hit: bool | None

    @property
    def iou(self) -> float:
        """Intersection over union, 1 when both masks are empty."""
        return self.intersection / self.union if self.union else 1.0


def score(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], point: tuple[float, float] | None) -> Score:
    """Compare a prediction with the truth.

    Args:
        predicted: bool ``(height, width)``.
        truth: bool ``(height, width)``; all False when the phrase names nothing in the picture.
        point: (x, y) in pixels, or None when no point was chosen, which counts as a miss.
    """
    hit = None
    if truth.any():
        hit = False
        if point is not None:
            height, width = truth.shape
            x, y = int(point[0]), int(point[1])
            hit = 0 <= x < width and 0 <= y < height and bool(truth[y, x])
    return Score(int((predicted & truth).sum()), int((predicted | truth).sum()), hit)


def measure(scores: Sequence[Score], *, resamples: int = 2000, seed: int = 0) -> Metrics:
    """All metrics over a set of cases, each with an interval from resampling the cases with replacement.

    Args:
        scores: one per case.
        resamples: number of bootstrap samples; the same ones serve all metrics.
        seed: of the resampling. The same seed gives the same intervals.
    """
    ious = np.array([each.iou for each in scores])
    ones = np.ones(len(scores))
    has_target = np.array([each.point_hit is not None for each in scores], dtype=np.float64)
    numerators = np.stack(
        [
            np.array([each.intersection for each in scores], dtype=np.float64),
            ious,
            (ious >= 0.5).astype(np.float64),
            np.array([each.point_hit is True for each in scores], dtype=np.float64),
        ]
    )
    denominators = np.stack([np.array([each.union for each in scores], dtype=np.float64), ones, ones, has_target])
    # An oIoU over nothing but empty unions is 1, as each of their IoUs is.
    if len(scores) and not denominators[0].any():
        numerators[0], denominators[0] = ones, ones
    oiou, miou, p50, point_accuracy = bootstrap_ratios(numerators, denominators, resamples, seed)
    return {"n": len(scores), "oiou": oiou, "miou": miou, "p50": p50, "point_accuracy": point_accuracy}


def bootstrap_ratios(
    numerators: npt.NDArray[np.float64], denominators: npt.NDArray[np.float64], resamples: int, seed: int
) -> list[Interval]:
    """Ratio of sums for each of R rows ``(R, n)``, with the 2.5th and 97.5th percentile over resampled columns."""
    rows, n = numerators.shape
    if n == 0:
        return [{"value": None, "low": None, "high": None}] * rows
    generator = np.random.default_rng(seed)
    above, below = [], []
    block = max(1, _BLOCK // n)
    for start in range(0, resamples, block):
        # How often each case is drawn: a multinomial is n draws with replacement, counted.
        counts = generator.multinomial(n, np.full(n, 1 / n), size=min(block, resamples - start))
        above.append(counts @ numerators.T)
        below.append(counts @ denominators.T)
    sums_above, sums_below = np.concatenate(above), np.concatenate(below)
    intervals: list[Interval] = []
    for row in range(rows):
        total = denominators[row].sum()
        if total == 0:
            intervals.append({"value": None, "low": None, "high": None})
            continue
        usable = sums_below[:, row] > 0  # a resample may hold no case with a target
        low, high = np.percentile(sums_above[usable, row] / sums_below[usable, row], [2.5, 97.5])
        intervals.append({"value": float(numerators[row].sum() / total), "low": float(low), "high": float(high)})
    return intervals
