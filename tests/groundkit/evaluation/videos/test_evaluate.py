import json

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import AttentionError, PhraseError
from groundkit.evaluation.videos.cases import VideoCase, read_true_masks, read_video_cases
from groundkit.evaluation.videos.contact_sheet import draw_video_contact_sheet
from groundkit.evaluation.videos.evaluate import PHRASE_CONTROLS, evaluate_video, repeat_frame_0
from groundkit.masks.rle import decode

STILL = np.zeros((3, 60, 80), bool)
STILL[:, 20:30, 20:30] = True


@pytest.fixture
def case_file(tmp_path):
    """Two clips of three frames: in ``still`` a square rests, in ``moving`` it goes 5 pixels right on each frame."""
    for name, step in (("still", 0), ("moving", 5)):
        for kind in ("frames", "masks"):
            (tmp_path / name / kind).mkdir(parents=True)
        for index in range(3):
            mask = np.roll(STILL[0], index * step, axis=1)
            Image.fromarray(mask).save(tmp_path / name / f"masks/{index}.png")
            Image.new("RGB", (80, 60)).save(tmp_path / name / f"frames/{index}.png")

    def write(*cases):
        path = tmp_path / "cases.jsonl"
        lines = [{"frames": f"{clip}/frames", "masks": f"{clip}/masks", **fields} for clip, fields in cases]
        path.write_text("\n".join(json.dumps(line) for line in lines))
        return read_video_cases(path)

    return write


def test_a_report_holds_the_metrics_by_type_and_the_control(case_file):
    cases = case_file(
        ("still", {"phrase": "exact", "phrase_type": "one", "id": "s"}),
        ("moving", {"phrase": "stuck", "phrase_type": "two"}),
        ("moving", {"phrase": "exact", "phrase_type": "one"}),
        ("still", {"phrase": "nothing"}),
    )
    answers = {"exact": read_true_masks, "stuck": lambda case: STILL, "nothing": lambda case: ~STILL & STILL}
    steps = []
    report = evaluate_video(lambda case: answers[case.phrase](case), cases, advance=steps.append, resamples=50)
    written = report.to_dict()
    assert json.loads(json.dumps(written)) == written
    stuck = (1 + 5 / 15 + 0) / 3
    assert written["n"] == 4
    assert written["j"]["value"] == pytest.approx((1 + stuck + 1 + 0) / 4)
    assert written["j_and_f"]["value"] == pytest.approx((written["j"]["value"] + written["f"]["value"]) / 2)
    assert {kind: metrics["n"] for kind, metrics in written["by_type"].items()} == {"one": 2, "two": 1}
    assert written["by_type"]["one"]["j_and_f"] == {"value": 1, "low": 1, "high": 1}
    assert written["by_type"]["two"]["j"]["value"] == pytest.approx(stuck)
    assert list(written["controls"]) == ["repeat_frame_0", "centre_blob", "whole_image"]
    assert written["controls"]["repeat_frame_0"]["j"]["value"] == pytest.approx((1 + stuck + stuck + 1) / 4)
    assert written["controls"]["whole_image"]["j"]["value"] == pytest.approx(100 / (60 * 80))
    assert written["cases"][0] == {"id": "s", "phrase": "exact", "j": 1, "f": 1, "j_and_f": 1}
    assert written["failed"] == []
    assert steps == [1, 1, 1, 1]


def test_the_control_repeats_the_true_mask_of_the_first_frame():
    truth = STILL.copy()
    truth[1:] = False
    np.testing.assert_array_equal(repeat_frame_0(truth), STILL)
    assert not repeat_frame_0(truth[::-1]).any()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (PhraseError("no"), "no"),
        (AttentionError("layer 3 was silent"), "layer 3 was silent"),
        (STILL[:2], "the predicted masks are (2, 60, 80), the video is (3, 60, 80) (frames, height, width)"),
        (
            STILL.transpose(0, 2, 1),
            "the predicted masks are (3, 80, 60), the video is (3, 60, 80) (frames, height, width)",
        ),
        (STILL.astype(np.float32), "the predicted masks are float32, not bool"),
    ],
)
def test_a_failure_of_the_method_counts_as_a_miss_on_every_frame(case_file, answer, error):
    def predict(case):
        if case.phrase == "exact":
            return read_true_masks(case)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cases = case_file(("still", {"phrase": "bad"}), ("still", {"phrase": "exact"}))
    report = evaluate_video(predict, cases, resamples=50)
    assert report.metrics["n"] == report.controls["repeat_frame_0"]["n"] == 2
    assert report.metrics["j"]["value"] == report.metrics["f"]["value"] == 0.5
    assert report.results[0].score.regions == report.results[0].score.contours == (0, 0, 0)
    assert report.results[0].prediction is None
    assert [(each.case.phrase, each.error, each.counted) for each in report.failures] == [("bad", error, True)]


def test_a_video_whose_frames_or_masks_cannot_be_read_judges_no_method(case_file, tmp_path):
    cases = case_file(("still", {"phrase": "exact"}), ("moving", {"phrase": "exact"}))
    cases.append(VideoCase("secret", cases[0].frames, "exact", None))
    (tmp_path / "moving/frames/2.png").unlink()
    asked = []

    def predict(case):
        asked.append(case)
        return read_true_masks(case)

    report = evaluate_video(predict, cases, resamples=50)
    assert asked == cases[:1]
    assert report.metrics["n"] == report.controls["repeat_frame_0"]["n"] == 1
    assert [(each.case.id, each.counted) for each in report.failures] == [("2", False), ("secret", False)]


def test_an_error_that_nobody_expects_is_not_swallowed(case_file):
    cases = case_file(("still", {"phrase": "unknown"}))
    with pytest.raises(KeyError):
        evaluate_video(lambda case: {"known": STILL}[case.phrase], cases)


def test_without_cases_nothing_is_measured():
    report = evaluate_video(read_true_masks, [])
    assert (report.metrics["n"], report.metrics["j"]["value"], report.by_type) == (0, None, {})


def test_with_a_phrase_the_control_repeats_what_was_predicted_and_misses_where_nothing_was(case_file):
    def predict(case):
        if case.phrase == "bad":
            raise PhraseError("no")
        return np.roll(STILL, 5, axis=2) if case.phrase == "late" else STILL

    cases = case_file(*(("moving", {"phrase": phrase}) for phrase in ("early", "late", "bad")))
    report = evaluate_video(predict, cases, controls=PHRASE_CONTROLS, resamples=50)
    assert list(report.controls) == ["repeat_predicted_frame_0", "centre_blob", "whole_image"]
    early, late = (1 + 5 / 15 + 0) / 3, (5 / 15 + 1 + 5 / 15) / 3
    assert report.controls["repeat_predicted_frame_0"]["j"]["value"] == pytest.approx((early + late + 0) / 3)
    np.testing.assert_array_equal(np.stack([decode(runs) for runs in report.results[0].prediction]), STILL)


def test_the_contact_sheet_shows_each_case_once_as_a_strip_of_frames(case_file):
    cases = case_file(*(("moving", {"phrase": phrase}) for phrase in ("good", "poor", "bad")))

    def predict(case):
        if case.phrase == "bad":
            raise PhraseError("no")
        return read_true_masks(case) if case.phrase == "good" else STILL

    report = evaluate_video(predict, cases, resamples=50)
    sheets = [draw_video_contact_sheet(report, "flow", count) for count in (1, 2)]
    assert [sheet.shape[1:] for sheet in sheets] == [(1600, 3)] * 2
    assert sheets[1].shape[0] > sheets[0].shape[0]
    tinted = np.abs(sheets[1].astype(int) - (255, 64, 129)).sum(axis=2) < 30
    assert tinted.any()
