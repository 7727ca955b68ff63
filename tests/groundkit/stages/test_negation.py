"""What a phrase excludes is left out of its map."""

import numpy as np

from groundkit.stages.negation import is_left, leave_out, leave_out_shares


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


def test_of_shares_of_patches_the_object_goes_of_which_the_negated_words_get_more_whatever_the_others_have() -> None:
    cups = np.array([[0.0, 0.8, 0.0, 0.7, 0.6]], np.float32)
    red = np.array([[0.0, 0.9, 0.0, 0.71, 0.4]], np.float32)  # what saturates is high everywhere
    left = leave_out_shares(cups, red)
    assert left[0, 1] == 0
    assert left[0, 3] > 0.7
    np.testing.assert_allclose(left[0, 4], 0.75)
    assert not leave_out(cups, red).any()
    assert not leave_out_shares(cups[:, :3], red[:, :3]).any()  # none other is there
