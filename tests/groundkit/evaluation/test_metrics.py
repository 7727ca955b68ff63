import numpy as np
import pytest

from groundkit.evaluation.metrics import Score, measure, score


def mask(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


def test_a_score_counts_pixels_and_looks_under_the_point():
    truth, predicted = mask("##..", "##.."), mask(".##.", ".##.")
    assert score(predicted, truth, (1.9, 1.9)) == Score(2, 6, True)
    assert score(predicted, truth, (2.0, 0.0)) == Score(2, 6, False)
    assert score(predicted, truth, None) == Score(2, 6, False)
    assert score(predicted, truth, (9.0, -1.0)) == Score(2, 6, False)


def test_without_a_target_only_an_empty_prediction_is_right_and_no_point_is_judged():
    nothing = mask("...", "...")
    assert score(nothing, nothing, (1.0, 1.0)).iou == 1
    assert score(mask("#..", "..."), nothing, (1.0, 1.0)) == Score(0, 1, None)


def test_metrics_equal_numbers_worked_by_hand():
    scores = [Score(8, 10, True), Score(1, 4, False), Score(50, 100, True), Score(0, 0, None)]
    metrics = measure(scores)
    assert metrics["n"] == 4
    assert metrics["oiou"]["value"] == pytest.approx(59 / 114)
    assert metrics["miou"]["value"] == pytest.approx((0.8 + 0.25 + 0.5 + 1) / 4)
    assert metrics["p50"]["value"] == pytest.approx(3 / 4)
    assert metrics["point_accuracy"]["value"] == pytest.approx(2 / 3)


def test_nothing_to_measure_is_none_and_not_a_number_made_up():
    assert measure([])["miou"] == {"value": None, "low": None, "high": None}
    only_empty = measure([Score(0, 0, None), Score(0, 0, None)])
    assert only_empty["oiou"] == only_empty["miou"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert only_empty["point_accuracy"]["value"] is None


def test_cases_that_are_all_alike_leave_no_doubt():
    metrics = measure([Score(3, 4, True)] * 20)
    for name, value in {"oiou": 0.75, "miou": 0.75, "p50": 1, "point_accuracy": 1}.items():
        assert list(metrics[name].values()) == [pytest.approx(value)] * 3


def test_the_interval_of_a_proportion_is_that_of_the_normal_approximation():
    n, hits = 400, 300
    metrics = measure([Score(1, 1, index < hits) for index in range(n)], resamples=4000)
    half = 1.96 * np.sqrt(0.75 * 0.25 / n)
    assert metrics["point_accuracy"]["low"] == pytest.approx(0.75 - half, abs=0.006)
    assert metrics["point_accuracy"]["high"] == pytest.approx(0.75 + half, abs=0.006)


def test_the_interval_equals_a_plain_loop_that_resamples_cases():
    generator = np.random.default_rng(1)
    unions = generator.integers(1, 100, 60)
    intersections = generator.integers(0, unions + 1)
    drawn = np.random.default_rng(2).integers(0, 60, (4000, 60))
    ratios = [intersections[row].sum() / unions[row].sum() for row in drawn]
    interval = measure(
        [Score(int(i), int(u), True) for i, u in zip(intersections, unions, strict=True)], resamples=4000
    )["oiou"]
    assert [interval["low"], interval["high"]] == pytest.approx(list(np.percentile(ratios, [2.5, 97.5])), abs=0.01)


def test_the_same_seed_gives_the_same_interval():
    scores = [Score(index % 7, 7, index % 3 == 0) for index in range(50)]
    first = measure(scores, resamples=200, seed=3)
    assert measure(scores, resamples=200, seed=3) == first
    assert measure(scores, resamples=200, seed=4) != first


def test_resampling_in_small_blocks_changes_no_value(monkeypatch):
    scores = [Score(index % 7, 7, True) for index in range(50)]
    whole = measure(scores, resamples=200)
    monkeypatch.setattr("groundkit.evaluation.metrics._BLOCK", 50 * 7)
    assert measure(scores, resamples=200) == whole
