"""DecAF's fusion of maps: smoothing, contrast and sizes."""

from types import SimpleNamespace

import numpy as np
import torch

from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.language import Role, Token
from groundkit.stages.contrast import difference
from groundkit.stages.sizes import fuse_sizes
from groundkit.stages.smooth import Smooth


def test_equal_maps_have_no_contrast_and_what_the_background_has_more_of_counts_nothing() -> None:
    object_map, background = torch.tensor([0.5, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.6])
    torch.testing.assert_close(difference(object_map, background), torch.tensor([0.4, 0.0, 0.0]))
    assert not difference(object_map, object_map).any()


def test_sizes_count_alike_however_strong_their_maps_are_and_a_constant_one_counts_nothing() -> None:
    weak = np.array([[0.0, 0.01], [0.005, 0.0]], np.float32)
    strong = np.array([[0.0, 100.0], [0.0, 100.0]], np.float32)
    np.testing.assert_allclose(fuse_sizes([weak, strong]), [[0, 1], [0.25, 0.5]])
    np.testing.assert_allclose(fuse_sizes([weak, np.full((2, 2), 7, np.float32)]), [[0, 1], [0.5, 0]])
    assert not fuse_sizes([np.zeros((2, 2), np.float32)]).any()


def test_smoothing_is_opencv_s_gaussian_on_each_view_apart() -> None:
    values = torch.rand(1, 1, 2, 2 * 25)
    tokens = tuple(Token(i, str(i), None, Role.CONTENT) for i in range(2))
    maps = AttentionMaps(values, ("flow",), ("mean",), tokens, (TokenGrid((5, 5)), TokenGrid((5, 5))))
    smooth = Smooth(smoothing=1.0)(maps, SimpleNamespace()).values[0, 0]
    x = np.arange(-3, 4)
    kernel = np.exp(-(x**2) / 2)
    kernel /= kernel.sum()
    for row in range(2):
        for part in range(2):
            grid = values[0, 0, row, 25 * part : 25 * part + 25].reshape(5, 5).numpy()
            padded = np.pad(grid, 3)
            expected = [
                [(np.outer(kernel, kernel) * padded[i : i + 7, j : j + 7]).sum() for j in range(5)] for i in range(5)
            ]
            found = smooth[row, 25 * part : 25 * part + 25].reshape(5, 5)
            np.testing.assert_allclose(found, expected, rtol=1e-5)
