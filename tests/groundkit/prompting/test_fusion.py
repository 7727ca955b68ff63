"""DecAF's fusion of maps."""

import numpy as np
import torch

from groundkit.prompting.fusion import contrast, fuse_sizes


def test_equal_maps_have_no_contrast_and_what_the_background_has_more_of_counts_nothing() -> None:
    object_map, background = torch.tensor([0.5, 0.2, 0.1]), torch.tensor([0.1, 0.2, 0.6])
    torch.testing.assert_close(contrast(object_map, background), torch.tensor([0.4, 0.0, 0.0]))
    assert not contrast(object_map, object_map).any()


def test_sizes_count_alike_however_strong_their_maps_are_and_a_constant_one_counts_nothing() -> None:
    weak = np.array([[0.0, 0.01], [0.005, 0.0]], np.float32)
    strong = np.array([[0.0, 100.0], [0.0, 100.0]], np.float32)
    np.testing.assert_allclose(fuse_sizes([weak, strong]), [[0, 1], [0.25, 0.5]])
    np.testing.assert_allclose(fuse_sizes([weak, np.full((2, 2), 7, np.float32)]), [[0, 1], [0.5, 0]])
    assert not fuse_sizes([np.zeros((2, 2), np.float32)]).any()
