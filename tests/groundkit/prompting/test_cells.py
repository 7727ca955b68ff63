"""Hot cells as points, and how well masks agree with the map by DecAF's rule."""

import numpy as np
import pytest

from groundkit.prompting.cells import consistency, hot_cells

CELLS = np.array([[0.1, 0.9, 0.2], [0.8, 1.0, 0.79]], np.float32)


def test_every_cell_from_the_threshold_on_becomes_a_point_in_its_middle_hottest_first() -> None:
    found = hot_cells(CELLS, (40, 60))
    assert [heat for _, heat in found] == pytest.approx([1.0, 0.9, 0.8])
    np.testing.assert_allclose(np.concatenate([prompts.xy for prompts, _ in found]), [[30, 30], [30, 10], [10, 30]])
    assert all(prompts.labels.tolist() == [1] for prompts, _ in found)
    assert len(hot_cells(CELLS, (40, 60), most=2)) == 2
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
