"""DecAF's fusion of maps."""

import numpy as np
import torch

from groundkit.stages.fusion import contrast, fuse_sizes, is_left, leave_out


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


def test_what_is_negated_is_left_out_of_a_map_and_other_objects_stay() -> None:
    cups = np.array([[0.0, 0.4, 0.0, 0.5]], np.float32)
    red = np.array([[0.0, 0.0, 0.0, 3.0]], np.float32)
    np.testing.assert_allclose(leave_out(cups, red), [[0, 0.8, 0, 0]])
    np.testing.assert_allclose(leave_out(red, cups), [[0, 0, 0, 0]])


def test_nothing_stays_where_the_negated_map_is_the_whole_one_or_nearly() -> None:
    cup = np.array([[0.0, 1.0, 0.3, 0.0]], np.float32)
    assert not leave_out(cup, 7 * cup).any()
    assert not leave_out(cup, np.array([[0.0, 1.0, 0.1, 0.0]], np.float32)).any()
    np.testing.assert_array_equal(leave_out(cup, np.zeros_like(cup)), cup)


def test_a_mask_of_what_was_left_out_is_not_left_and_that_of_another_object_is() -> None:
    cups = np.array([[0.9, 0.5, 0.0, 0.8, 0.6]], np.float32)
    red = np.array([[1.0, 0.2, 0.0, 0.1, 0.0]], np.float32)  # the first, whose flank it does not see
    left = leave_out(cups, red)
    assert not is_left(np.array([[True, True, False, False, False]]), left, cups)
    assert is_left(np.array([[False, False, False, True, True]]), left, cups)
