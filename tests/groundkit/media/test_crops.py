"""Crops: where they lie."""

import math

import numpy as np
import pytest

from groundkit.media.crops import crops

PICTURE = np.random.default_rng(0).integers(0, 256, (61, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75, 0.9])
def test_each_corner_crop_has_its_share_of_the_sides_and_lies_where_it_says(share: float) -> None:
    whole, *corners = crops(PICTURE, [share])
    assert np.array_equal(whole.pixels, PICTURE)
    height, width = math.ceil(61 * share), math.ceil(90 * share)
    assert {(c.y, c.x) for c in corners} == {(y, x) for y in (0, 61 - height) for x in (0, 90 - width)}
    for crop in corners:
        assert np.array_equal(crop.pixels, PICTURE[crop.y : crop.y + height, crop.x : crop.x + width])


def test_no_crop_of_a_picture_is_empty() -> None:
    assert all(crop.pixels.size for crop in crops(PICTURE[:3, :2], [0.1]))
