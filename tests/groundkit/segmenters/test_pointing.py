"""Points that are drawn again inside their masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.prompting.points import PointPrompts
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.pointing import deepest_point, point_at


def ring() -> npt.NDArray[np.bool_]:
    """A ring of 8 pixels width around the middle of 64 x 64 pixels."""
    rows, columns = np.mgrid[:64, :64] - 31.5
    distance = np.hypot(rows, columns)
    return np.asarray((distance > 12) & (distance < 20))


class AlwaysTheRing:
    name = "ring"

    def __init__(self) -> None:
        self.asked: list[npt.NDArray[np.float32]] = []

    def embed(self, image: npt.NDArray[np.uint8]) -> None:
        return None

    def segment(self, embedding: Any, prompts: PointPrompts, **_: object) -> MaskProposals:
        self.asked.append(prompts.xy[0])
        return MaskProposals(ring()[None], np.ones(1, np.float32))


def warm_hole() -> npt.NDArray[np.float32]:
    """Heat that is highest in the hole, and higher on the right than on the left."""
    rows, columns = np.mgrid[:64, :64] - 31.5
    return np.exp(-((columns - 4) ** 2 + rows**2) / 400).astype(np.float32)


def test_the_deepest_point_is_the_one_of_highest_heat_times_distance_to_the_rim() -> None:
    mask, heat = ring(), warm_hole()
    rim = np.argwhere(~mask)
    worth = np.zeros(mask.shape)
    for row, column in np.argwhere(mask):
        worth[row, column] = heat[row, column] * np.hypot(*(rim - (row, column)).T).min()
    x, y = deepest_point(heat, mask).xy[0]
    assert worth[int(y), int(x)] > 0.97 * worth.max()  # OpenCV's distances are right to a few percent
    assert x > 44  # on the warmer side


def test_a_mask_that_reaches_the_picture_s_border_has_its_rim_there() -> None:
    x, y = deepest_point(np.ones((32, 32), np.float32), np.ones((32, 32), np.bool_)).xy[0]
    assert 14 < x < 18
    assert 14 < y < 18


@pytest.mark.parametrize("redraw", [False, True])
def test_a_point_in_a_hole_is_drawn_again_on_the_object_where_asked_to(redraw: bool) -> None:
    segmenter = AlwaysTheRing()
    (found,) = point_at(segmenter, None, warm_hole(), redraw=redraw)
    x, y = found.prompts.xy[0]
    assert bool(ring()[int(y), int(x)]) == redraw
    assert len(segmenter.asked) == 1 + redraw
