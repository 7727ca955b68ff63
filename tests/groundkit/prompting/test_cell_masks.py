"""Masks of hot cells: which stay, and with which score."""

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.prompting.cell_masks import masks_of_cells
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts

SIZE = (40, 40)


class Quarters:
    """Answers a point with the quarter of the picture around it, sure by 0.9, and with everything, sure by 0.2."""

    name = "quarters"

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, image: npt.NDArray[np.uint8]) -> None:
        return None

    def segment(self, embedding: None, prompts: PointPrompts, **_: object) -> MaskProposals:
        self.asked += 1
        x, y = (int(side) // 20 * 20 for side in prompts.xy[0])
        masks = np.zeros((2, *SIZE), np.bool_)
        masks[0, y : y + 20, x : x + 20] = True
        masks[1] = True
        return MaskProposals(masks, np.array([0.9, 0.2], np.float32))


def cells(**heats: float) -> npt.NDArray[np.float32]:
    """A 4 x 4 map; ``r0c1=0.9`` sets row 0, column 1."""
    grid = np.zeros((4, 4), np.float32)
    for place, heat in heats.items():
        grid[int(place[1]), int(place[3])] = heat
    return grid


def test_cells_of_one_object_become_one_mask_with_the_point_of_the_hottest() -> None:
    segmenter = Quarters()
    (found,) = masks_of_cells(segmenter, None, cells(r0c0=0.85, r0c1=1.0, r1c1=0.9, r1c0=0.8), SIZE)
    assert segmenter.asked == 4
    assert found.mask[:20, :20].all()
    assert found.mask.sum() == 400
    np.testing.assert_array_equal(found.points, [[15, 5, 1]])
    assert found.score == pytest.approx((0.9 + 1.0 + 1.0) / 3)


def test_two_objects_stay_when_both_score_high_and_else_the_better_alone() -> None:
    both = cells(r0c0=1, r0c1=1, r1c0=1, r1c1=1, r2c2=0.95, r2c3=0.95, r3c2=0.95, r3c3=0.95)
    assert [each.mask[0, 0] for each in masks_of_cells(Quarters(), None, both, SIZE)] == [True, False]
    speck = cells(r0c0=1, r0c1=1, r1c0=1, r1c1=1, r2c2=0.95)  # its mask covers much that is cold
    assert len(masks_of_cells(Quarters(), None, speck, SIZE)) == 1
    assert len(masks_of_cells(Quarters(), None, speck, SIZE, consistent=False)) == 2


def test_where_none_scores_enough_the_best_stays_and_a_cold_map_has_none() -> None:
    (only,) = masks_of_cells(Quarters(), None, cells(r0c0=0.9, r2c2=1.0), SIZE, keep=1.0)
    assert only.mask[20:, 20:].all()
    assert masks_of_cells(Quarters(), None, cells(), SIZE) == []
