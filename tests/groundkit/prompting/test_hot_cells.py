"""Hot cells as points, which of their masks stay, and how well masks agree with the map by DecAF's rule."""

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.masks.candidates import Candidate
from groundkit.prompting.base import Heatmap
from groundkit.prompting.hot_cells import HotCells, consistency, hot_cells
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts

SIZE = (40, 40)


class Quarters:
    """Answers a point with the quarter of the picture around it, sure by 0.9, and with everything, sure by 0.2."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, prompts: PointPrompts, **_: object) -> MaskProposals:
        self.asked += 1
        x, y = (int(side) // 20 * 20 for side in prompts.xy[0])
        masks = np.zeros((2, *SIZE), np.bool_)
        masks[0, y : y + 20, x : x + 20] = True
        masks[1] = True
        return MaskProposals(masks, np.array([0.9, 0.2], np.float32))


def masks_of(segmenter: Quarters, cells: npt.NDArray[np.float32], **settings: object) -> list[Candidate]:
    return HotCells.read(settings)(Heatmap(np.zeros(SIZE, np.float32), cells), segmenter)


def cells(**heats: float) -> npt.NDArray[np.float32]:
    """A 4 x 4 map; ``r0c1=0.9`` sets row 0, column 1."""
    grid = np.zeros((4, 4), np.float32)
    for place, heat in heats.items():
        grid[int(place[1]), int(place[3])] = heat
    return grid


def test_cells_of_one_object_become_one_mask_with_the_point_of_the_hottest() -> None:
    segmenter = Quarters()
    (found,) = masks_of(segmenter, cells(r0c0=0.85, r0c1=1.0, r1c1=0.9, r1c0=0.8))
    assert segmenter.asked == 4
    assert found.mask.whole()[:20, :20].all()
    assert found.mask.area == 400
    np.testing.assert_array_equal(found.points, [[15, 5, 1]])
    assert found.score == pytest.approx((0.9 + 1.0 + 1.0) / 3)


def test_two_objects_stay_when_both_score_high_and_else_the_better_alone() -> None:
    both = cells(r0c0=1, r0c1=1, r1c0=1, r1c1=1, r2c2=0.95, r2c3=0.95, r3c2=0.95, r3c3=0.95)
    assert [each.mask.whole()[0, 0] for each in masks_of(Quarters(), both)] == [True, False]
    speck = cells(r0c0=1, r0c1=1, r1c0=1, r1c1=1, r2c2=0.95)  # its mask covers much that is cold
    assert len(masks_of(Quarters(), speck)) == 1
    assert len(masks_of(Quarters(), speck, map_consistency=False)) == 2


def test_where_none_scores_enough_the_best_stays_and_a_cold_map_has_none() -> None:
    (only,) = masks_of(Quarters(), cells(r0c0=0.9, r2c2=1.0), min_mask_score=1.0)
    assert only.mask.whole()[20:, 20:].all()
    assert masks_of(Quarters(), cells()) == []


CELLS = np.array([[0.1, 0.9, 0.2], [0.8, 1.0, 0.79]], np.float32)


def test_every_cell_from_the_threshold_on_becomes_a_point_in_its_middle_hottest_first() -> None:
    found = hot_cells(CELLS, (40, 60))
    assert [heat for _, heat in found] == pytest.approx([1.0, 0.9, 0.8])
    np.testing.assert_allclose(np.concatenate([prompts.xy for prompts, _ in found]), [[30, 30], [30, 10], [10, 30]])
    assert all(prompts.labels.tolist() == [1] for prompts, _ in found)
    assert len(hot_cells(CELLS, (40, 60), count=2)) == 2
    assert hot_cells(np.zeros((2, 3), np.float32), (40, 60)) == []


def test_the_exact_warm_region_has_consistency_one_and_its_complement_less_than_none() -> None:
    cells = np.array([[0, 0, 0], [0, 1, 1]], np.float32)
    warm = np.kron(cells, np.ones((8, 8))) > 0
    part = warm & (np.arange(24) < 16)
    scores = consistency(np.stack([warm, part, ~warm]), cells)
    assert scores[0] == 1
    assert scores[1] == pytest.approx(0.5)
    assert scores[2] <= 0


def test_a_cold_cell_costs_a_mask_as_much_as_the_hottest_gives() -> None:
    cells = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    exact, spilling = np.zeros((2, 2), np.bool_), np.zeros((2, 2), np.bool_)
    exact[0, 0] = True
    spilling[0] = True
    np.testing.assert_allclose(consistency(np.stack([exact, spilling]), cells), [1, 0], atol=1e-9)
