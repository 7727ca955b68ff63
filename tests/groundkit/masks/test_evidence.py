"""Evidence: a phrase that sees its object against one that sees nothing."""

import numpy as np
import pytest

from groundkit.masks.evidence import Evidence, weigh_evidence

GRID = 8
FLAT = np.full((GRID, GRID), 0.1, np.float32)
MASK = np.zeros((64, 64), np.bool_)
MASK[16:32, 24:40] = True


def peaked(height: float) -> np.ndarray:
    heat = FLAT.copy()
    heat[2:4, 3:5] += height
    return heat


def test_a_map_that_is_the_null_phrase_s_own_has_no_contrast_and_a_flat_one_no_focus() -> None:
    same = weigh_evidence(FLAT, FLAT, MASK)
    assert same.contrast == pytest.approx(0, abs=1e-6)
    assert same.focus == pytest.approx(0, abs=1e-6)
    assert same.agreement == 0


def test_every_part_grows_with_the_peak_on_the_mask() -> None:
    weak, strong = (weigh_evidence(peaked(height), FLAT, MASK) for height in (0.05, 1.0))
    assert 0 < weak.contrast < strong.contrast < 1
    assert 0 < weak.focus < strong.focus < 1
    assert strong.agreement == pytest.approx(1)
    assert strong.score > weak.score


def test_a_peak_off_the_mask_does_not_agree_with_it_and_shows_no_contrast() -> None:
    off = weigh_evidence(peaked(1.0)[::-1].copy(), peaked(0.0), MASK)
    assert off.contrast == pytest.approx(0, abs=1e-6)
    assert off.agreement == 0


def test_contrast_is_the_difference_over_the_sum_of_the_means_on_the_mask() -> None:
    found = weigh_evidence(peaked(0.3), FLAT, MASK)
    assert found.contrast == pytest.approx((0.4 - 0.1) / (0.4 + 0.1), rel=1e-5)


def test_a_flat_map_has_no_score_and_of_a_sharp_one_contrast_and_agreement_weigh_half() -> None:
    assert Evidence(contrast=1, focus=0, agreement=1).score == 0
    assert Evidence(contrast=0, focus=0.5, agreement=0).score == pytest.approx(0.5)
    assert Evidence(contrast=1, focus=0.64, agreement=1).score == pytest.approx(0.8)


def test_an_empty_mask_has_no_evidence() -> None:
    assert weigh_evidence(peaked(1.0), FLAT, np.zeros_like(MASK)).score == 0
