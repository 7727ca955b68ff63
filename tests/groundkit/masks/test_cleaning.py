import numpy as np
import pytest
from scipy import ndimage

from groundkit.errors import ConfigError
from groundkit.masks.cleaning import Cleaning, smoothed, without_specks
from groundkit.outputs.cleaned import cleaned


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("area", [2, 9, 1000])
def test_specks_and_holes_are_those_of_scipy(seed, area):
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(60, 80)), 1.5) > 0.05

    holes, count = ndimage.label(~mask)
    sizes = ndimage.sum_labels(~mask, holes, range(count + 1))
    border = {*holes[0], *holes[-1], *holes[:, 0], *holes[:, -1]}
    filled = mask | np.isin(holes, [n for n in range(1, count + 1) if sizes[n] < area and n not in border])
    parts, count = ndimage.label(filled, np.ones((3, 3)))
    sizes = ndimage.sum_labels(filled, parts, range(count + 1))
    largest = 1 + int(np.argmax(sizes[1:]))
    expected = np.isin(parts, [n for n in range(1, count + 1) if sizes[n] >= area or n == largest])

    np.testing.assert_array_equal(without_specks(mask, area), expected)


def test_clean_up_leaves_whole_and_empty_pictures_alone():
    for mask in (np.ones((8, 9), bool), np.zeros((8, 9), bool)):
        np.testing.assert_array_equal(Cleaning(clean=5, smooth=2).mask(mask), mask)


def test_smoothing_keeps_straight_edges_and_takes_away_thin_spikes():
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    np.testing.assert_array_equal(smoothed(mask, 2), mask)
    spiky = mask.copy()
    spiky[20, 20:30] = True
    np.testing.assert_array_equal(smoothed(spiky, 2)[:, 24:], mask[:, 24:])


def test_areas_below_one_are_shares_of_the_picture_and_others_pixels():
    mask = np.zeros((10, 20), bool)
    mask[:2, :10] = True  # 20 pixels, a tenth
    assert Cleaning(min_area=20).keeps(mask, 0.5)
    assert not Cleaning(min_area=21).keeps(mask, 0.5)
    assert Cleaning(min_area=0.1, max_area=0.1).keeps(mask, 0.5)
    assert not Cleaning(max_area=0.09).keeps(mask, 0.5)
    assert not Cleaning(min_score=0.6).keeps(mask, 0.5)


def test_filters_take_scores_boxes_and_masks_together(make_grounding):
    found = make_grounding((0, 0, 5, 5), (10, 10, 30, 30))
    kept = cleaned(found, Cleaning(min_area=100))
    np.testing.assert_array_equal(kept.masks, found.masks[1:])
    np.testing.assert_array_equal(kept.boxes, found.boxes[1:])
    np.testing.assert_array_equal(kept.scores, found.scores[1:])
    assert len(cleaned(found, Cleaning(min_area=1e6)).masks) == 0
    assert cleaned(found, Cleaning()) is found


@pytest.mark.parametrize("wrong", [{"min_score": 1.1}, {"min_area": -1}, {"max_area": 0}, {"smooth": 101}])
def test_values_outside_their_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="must be"):
        Cleaning(**wrong)
