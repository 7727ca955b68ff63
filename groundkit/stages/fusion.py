"""Several maps become one: DecAF's decomposed attention fusion (arXiv 2510.19592)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from groundkit.stages.places import minmax

Heat = npt.NDArray[np.float32]


def contrast(object_map: Tensor, background_map: Tensor) -> Tensor:
    """What the object's map has and the background's has not: the difference, cut off at 0.

    Both are attention as the model has it, smoothed but not stretched.
    """
    return (object_map - background_map).clamp_min(0)


LEFT_OVER = 0.5


def leave_out(heat: Heat, negated: Heat) -> Heat:
    """What a phrase's map has and that of its negated part has not, as for "the cup that is not red".

    The difference of both, each stretched to [0, 1], cut off at 0; all 0 where none of it reaches half of the highest
    heat: then nothing else is there.
    """
    left = np.maximum(minmax(heat) - minmax(negated), 0, dtype=np.float32)
    return left if left.max(initial=0) >= LEFT_OVER else np.zeros_like(left)


def is_left(mask: npt.NDArray[np.bool_], left: Heat, whole: Heat) -> bool:
    """Whether a mask is of what is left of a map, and not of what was left out: it keeps half of its heat.

    Args:
        mask: bool ``(height, width)``.
        left: what ``leave_out`` made of ``whole``; both of any size.
    """
    height, width = mask.shape
    kept, all_of_it = (
        float(cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)[mask].sum())
        for heat in (left, minmax(whole))
    )
    return kept >= all_of_it / 2


def fuse_sizes(heats: Sequence[Heat]) -> Heat:
    """The mean of maps read at several sizes of one picture, on one grid; each is stretched to [0, 1], and so is it."""
    return minmax(np.mean([minmax(heat) for heat in heats], axis=0, dtype=np.float32))
