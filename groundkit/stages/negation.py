"""Negation: what a phrase excludes is left out of its map, as for "the cup that is not red". The rule is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError
from groundkit.stages.base import Scene, Stage
from groundkit.stages.compete import words_compete
from groundkit.stages.places import minmax

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps

Heat = npt.NDArray[np.float32]

LEFT_OVER = 0.5
GONE = 1.1


class Negation(Stage):
    """Take what the phrase excludes out of its map, if it excludes anything; comes after the stage ``tokens``."""

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        if scene.phrase.negated is None:
            return maps
        excluded = scene.maps_of(scene.phrase.negated, excluded=True)
        if excluded.values.shape != maps.values.shape:
            raise ConfigError("the stage negation compares one map with one: take tokens before it")
        pairs = zip(maps.by_grid(), excluded.by_grid(), strict=True)
        out = leave_out_shares if words_compete(scene.stages) else leave_out
        return maps.on(maps.grids, [out(heat, other) for heat, other in pairs])


def leave_out(heat: Heat, negated: Heat) -> Heat:
    """What a phrase's map has and that of its negated part has not, as for "the cup that is not red".

    The difference of both, each stretched to [0, 1], cut off at 0; all 0 where none of it reaches half of the highest
    heat: then nothing else is there.
    """
    return _unless_little(np.maximum(minmax(heat) - minmax(negated), 0, dtype=np.float32))


def leave_out_shares(heat: Heat, negated: Heat) -> Heat:
    """The same of maps that hold shares of each patch, since their words compete: see the stage ``compete``.

    "red cup" gets a larger share of a red cup than "cup" does, and no larger one of another cup, whatever the word
    "red" looks at by itself. The map, stretched to [0, 1], stays where the negated share is at most the phrase's,
    fades where it is larger, and is 0 where it is larger by a tenth.
    """
    ratio = negated / np.maximum(heat, 1e-12)
    return _unless_little((minmax(heat) * np.clip((GONE - ratio) / (GONE - 1), 0, 1)).astype(np.float32))


def _unless_little(left: Heat) -> Heat:
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


STAGE = Negation
