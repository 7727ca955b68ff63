"""Packed masks against the masks that they were packed from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.masks.geometry import boxes_of, mask_iou
from groundkit.masks.packed import PackedMask

SIZE = (37, 61)


def masks() -> list[npt.NDArray[np.bool_]]:
    """Noise in boxes that lie apart, touch, overlap and hold one another; full, single and empty ones."""
    generator = np.random.default_rng(0)
    found = [np.zeros(SIZE, np.bool_), np.ones(SIZE, np.bool_)]
    for x, y, width, height in [
        (0, 0, 9, 7),
        (9, 0, 9, 7),
        (4, 3, 30, 20),
        (10, 5, 5, 3),
        (60, 36, 1, 1),
        (40, 0, 3, 37),
    ]:
        mask = np.zeros(SIZE, np.bool_)
        mask[y : y + height, x : x + width] = generator.random((height, width)) < 0.7
        mask[y, x] = True
        found.append(mask)
    return found


@pytest.mark.parametrize("mask", masks())
def test_a_packed_mask_is_the_mask_it_was(mask: npt.NDArray[np.bool_]) -> None:
    packed = PackedMask.of(mask)
    np.testing.assert_array_equal(packed.whole(), mask)
    assert packed.whole().dtype == np.bool_
    np.testing.assert_array_equal(packed.box, boxes_of(mask[None])[0])
    assert packed.area == mask.sum()
    assert packed.bits.nbytes <= mask.size / 8 + 1


def test_the_iou_of_two_packed_masks_is_that_of_the_masks() -> None:
    for first in masks():
        for second in masks():
            assert PackedMask.of(first).iou(PackedMask.of(second)) == mask_iou(first, second)


@pytest.mark.parametrize("mask", masks())
def test_a_mask_of_a_part_is_placed_where_the_part_lies(mask: npt.NDArray[np.bool_]) -> None:
    height, width = SIZE
    whole = np.zeros((2 * height, 2 * width), np.bool_)
    whole[5 : 5 + height, 11 : 11 + width] = mask
    np.testing.assert_array_equal(PackedMask.of(mask).placed(11, 5, whole.shape).whole(), whole)
