"""Maps of views laid over a picture: every token's heat must come to lie on the part of the picture that it shows."""

import cv2
import numpy as np
import pytest
import torch

from groundkit.attention.grids import TokenGrid, finest_grid, lay_over
from groundkit.models.vision_language.base import tiles_then_whole


def test_a_view_of_the_whole_picture_on_its_own_grid_is_itself() -> None:
    maps = torch.rand(12)
    laid = lay_over(maps, [TokenGrid((3, 4))], (3, 4), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(laid, maps.reshape(3, 4).numpy())


def test_tiles_and_the_whole_are_averaged_where_each_of_them_stands() -> None:
    views = [view.grid for view in tiles_then_whole(torch.arange(12), (2, 2), 1, 2)]
    maps = torch.tensor([1.0] * 4 + [3.0] * 4 + [1.0] * 4)  # left tile, right tile, whole picture
    laid = lay_over(maps, views, (8, 8), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(laid, np.repeat([[1.0] * 4 + [2.0] * 4], 8, axis=0))


def test_what_was_cut_away_is_cold_and_what_was_padded_falls_outside() -> None:
    middle = TokenGrid((2, 2), (0.25, 0.0, 0.75, 1.0))
    laid = lay_over(torch.tensor([2.0, 3.0, 4.0, 5.0]), [middle], (4, 8), interpolation=cv2.INTER_NEAREST)
    assert (laid[:, :2] == 2).all()
    assert (laid[:, 6:] == 2).all()
    assert laid[:, 2:6].max() == 5
    padded = TokenGrid((2, 2), (0.0, 0.0, 1.0, 2.0))  # its lower half shows padding
    laid = lay_over(torch.tensor([1.0, 2.0, 9.0, 9.0]), [padded], (4, 4), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(laid, [[1, 1, 2, 2]] * 4)


@pytest.mark.parametrize(("rows", "columns", "grid"), [(1, 1, (3, 4)), (2, 3, (6, 12))])
def test_the_finest_grid_counts_the_tokens_of_the_smallest_tiles(
    rows: int, columns: int, grid: tuple[int, int]
) -> None:
    count = rows * columns + (rows * columns > 1)
    views = tiles_then_whole(torch.arange(12 * count), (3, 4), rows, columns)
    assert finest_grid([view.grid for view in views]) == grid
