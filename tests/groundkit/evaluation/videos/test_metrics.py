import numpy as np
import pytest

from groundkit.evaluation.videos.metrics import (
    VideoScore,
    contour,
    contour_accuracy,
    measure_videos,
    region_similarity,
    score_video,
    tolerance_in_pixels,
)

EMPTY = np.zeros((1, 60, 80), bool)  # a diagonal of 100, a tolerance of 1


def box(left, top, right, bottom, shape=(60, 80)):
    mask = np.zeros((1, *shape), bool)
    mask[0, top:bottom, left:right] = True
    return mask


def blobs(seed, margin=0):
    """Three random masks of large blobs, bool (3, 60, 80), empty along the border of ``margin`` pixels."""
    coarse = np.random.default_rng(seed).random((3, 12, 16)) < 0.4
    mask = coarse.repeat(5, axis=1).repeat(5, axis=2)
    mask[:, :margin] = mask[:, 60 - margin :] = mask[:, :, :margin] = mask[:, :, 80 - margin :] = False
    return mask


def test_the_tolerance_is_rounded_up_and_stays_where_it_is_whole():
    assert tolerance_in_pixels(480, 854) == 8  # 7.84
    assert tolerance_in_pixels(60, 80) == 1  # 0.8
    assert tolerance_in_pixels(75, 100) == 1  # 1.0
    assert tolerance_in_pixels(75, 101) == 2
    assert tolerance_in_pixels(1080, 1920) == 18  # 17.62


@pytest.mark.parametrize("shift", range(11))
def test_region_similarity_of_a_shifted_square(shift):
    truth, predicted = box(20, 20, 30, 30), box(20 + shift, 20, 30 + shift, 30)
    assert region_similarity(predicted, truth) == pytest.approx((10 - shift) / (10 + shift))


def test_the_contour_lies_half_a_pixel_up_and_left_and_never_on_the_border_of_the_picture():
    lines = contour(box(20, 20, 30, 30)[0])
    expected = np.zeros((60, 80), bool)
    expected[19:30, 19:30] = True
    expected[20:29, 20:29] = False
    np.testing.assert_array_equal(lines, expected)
    half = contour(box(40, 0, 80, 60)[0])
    assert half[:, 39].all()
    assert half.sum() == 60
    corner = contour(box(70, 50, 80, 60)[0])
    assert corner.sum() == 10 + 10 + 1
    assert not contour(np.ones((60, 80), bool)).any()


@pytest.mark.parametrize(("right", "down"), [(0, 0), (1, 0), (0, 1)])
def test_contours_within_the_tolerance_agree(right, down):
    assert contour_accuracy(box(20 + right, 20 + down, 30 + right, 30 + down), box(20, 20, 30, 30)) == 1


def test_contours_beyond_the_tolerance_agree_where_they_meet():
    # The contour is a ring of 40 pixels, 11 a side. Two to the right, 10 pixels of its upper and of its lower side are
    # within 1 of the true ring, and of its left side the two next to the true ring's upper and lower side.
    assert contour_accuracy(box(22, 20, 32, 30), box(20, 20, 30, 30)) == pytest.approx(22 / 40)
    # Diagonally by one, only the outermost corner is farther than 1 from the other ring: the square root of 2.
    assert contour_accuracy(box(21, 21, 31, 31), box(20, 20, 30, 30)) == pytest.approx(39 / 40)
    assert contour_accuracy(box(60, 40, 70, 50), box(20, 20, 30, 30)) == 0


def test_precision_and_recall_are_told_apart():
    truth = box(20, 20, 30, 30)
    more = truth | box(50, 40, 55, 45)  # a further ring of 20 pixels: precision 40 / 60, recall 1
    assert contour_accuracy(more, truth) == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert contour_accuracy(truth, more) == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    # A square of 20 a side from the same corner has a ring of 80. Both rings share 11 + 11 - 1 pixels, and of each the
    # two next to the shared ones are within 1 of the other.
    large = box(20, 20, 40, 40)
    precision, recall = 23 / 40, 23 / 80
    assert contour_accuracy(truth, large) == pytest.approx(2 * precision * recall / (precision + recall))


def test_both_empty_is_one_and_one_empty_is_zero():
    some = box(20, 20, 30, 30)
    assert region_similarity(EMPTY, EMPTY) == contour_accuracy(EMPTY, EMPTY) == 1
    for predicted, truth in ((EMPTY, some), (some, EMPTY)):
        assert region_similarity(predicted, truth) == contour_accuracy(predicted, truth) == 0
    # A mask of every pixel has no contour: only J tells it from an empty one.
    assert region_similarity(~EMPTY, EMPTY) == 0
    assert contour_accuracy(~EMPTY, EMPTY) == 1


@pytest.mark.parametrize("seed", range(4))
def test_transposing_or_mirroring_both_masks_changes_nothing(seed):
    predicted, truth = blobs(seed), blobs(seed + 100)
    transposed = score_video(predicted.transpose(0, 2, 1), truth.transpose(0, 2, 1))
    assert transposed == score_video(predicted, truth)
    predicted, truth = blobs(seed, margin=2), blobs(seed + 100, margin=2)
    score = score_video(predicted, truth)
    assert 0 < score.f < 1
    assert score_video(predicted[:, ::-1], truth[:, ::-1]) == score
    assert score_video(predicted[:, :, ::-1], truth[:, :, ::-1]) == score


def test_both_numbers_are_symmetric_and_perfect_for_the_truth_itself():
    first, second = blobs(1), blobs(2)
    assert score_video(first, second) == score_video(second, first)
    assert score_video(first, first) == VideoScore((1.0,) * 3, (1.0,) * 3)


def test_a_video_is_the_mean_over_its_frames():
    truth = np.concatenate([box(20, 20, 30, 30)] * 2 + [EMPTY])
    predicted = np.concatenate([box(22, 20, 32, 30), EMPTY, EMPTY])
    score = score_video(predicted, truth)
    assert score.regions == pytest.approx((8 / 12, 0, 1))
    assert score.contours == pytest.approx((22 / 40, 0, 1))
    assert score.j == pytest.approx((8 / 12 + 1) / 3)
    assert score.f == pytest.approx((22 / 40 + 1) / 3)
    assert score.j_and_f == pytest.approx((score.j + score.f) / 2)


@pytest.mark.parametrize("other", [EMPTY[0], np.zeros((2, 60, 80), bool), np.zeros((1, 80, 60), bool)])
def test_masks_of_different_shapes_are_refused(other):
    with pytest.raises(ValueError, match="masks must both be"):
        region_similarity(other, EMPTY)
    with pytest.raises(ValueError, match="masks must both be"):
        contour_accuracy(other, EMPTY)


def test_a_set_is_the_mean_over_its_cases_however_long_they_are():
    scores = [VideoScore((1.0,), (0.5,)), VideoScore((0.0, 0.5, 0.1), (0.0, 0.0, 0.3))]
    metrics = measure_videos(scores)
    assert metrics["n"] == 2
    assert metrics["j"]["value"] == pytest.approx((1 + 0.2) / 2)
    assert metrics["f"]["value"] == pytest.approx((0.5 + 0.1) / 2)
    assert metrics["j_and_f"]["value"] == pytest.approx((0.75 + 0.15) / 2)
    assert metrics["j"]["low"] == pytest.approx(0.2)
    assert metrics["j"]["high"] == pytest.approx(1)
    assert measure_videos(scores) == metrics


def test_no_cases_have_no_mean():
    nothing = {"value": None, "low": None, "high": None}
    assert measure_videos([]) == {"n": 0, "j": nothing, "f": nothing, "j_and_f": nothing}


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = np.random.default_rng(0).random(400)
    metrics = measure_videos([VideoScore((float(value),), (1.0,)) for value in values], resamples=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert metrics["j"]["low"] == pytest.approx(values.mean() - half, abs=0.003)
    assert metrics["j"]["high"] == pytest.approx(values.mean() + half, abs=0.003)
    assert metrics["f"] == {"value": 1, "low": 1, "high": 1}
