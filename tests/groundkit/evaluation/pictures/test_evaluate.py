import json

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import AttentionError, PhraseError
from groundkit.evaluation.pictures.cases import read_cases
from groundkit.evaluation.pictures.contact_sheet import draw_contact_sheet
from groundkit.evaluation.pictures.evaluate import evaluate
from groundkit.pipelines.base import Pipeline
from groundkit.results import Failure

BOX = (10, 10, 30, 30)


class Planted(Pipeline):
    """A pipeline that answers from a table, and counts the pictures it encodes."""

    name = "planted"
    model = "table"

    def __init__(self, make_grounding, answers):
        self.make_grounding = make_grounding
        self.answers = answers
        self.encoded = 0

    def outcomes(self, image, phrases, *, seed=0):
        self.encoded += 1
        for phrase in phrases:
            answer = self.answers[phrase]
            if answer is AttentionError:
                raise AttentionError("layer 3 was silent")
            failed = isinstance(answer, Exception)
            yield Failure(phrase, answer) if failed else self.make_grounding(*answer, image=image, phrase=phrase)


@pytest.fixture
def case_file(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(generator.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / name)
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")

    def write(*cases):
        path = tmp_path / "cases.jsonl"
        path.write_text("\n".join(json.dumps({"image": "a.png", "mask": "mask.png", **case}) for case in cases))
        return read_cases(path)

    return write


def test_a_report_holds_the_metrics_by_type_and_the_controls(case_file, make_grounding):
    cases = case_file(
        {"phrase": "exact", "phrase_type": "one"},
        {"phrase": "wide", "phrase_type": "two", "image": "b.png"},
        {"phrase": "far", "phrase_type": "one"},
        {"phrase": "halves"},
    )
    pipeline = Planted(
        make_grounding,
        {
            "exact": [BOX],
            "wide": [(10, 10, 50, 30)],
            "far": [(40, 10, 60, 30)],
            "halves": [(10, 10, 20, 30), (20, 10, 30, 30)],
        },
    )
    steps = []
    report = evaluate(pipeline, cases, advance=steps.append, resamples=50).to_dict()
    assert json.loads(json.dumps(report)) == report
    assert (report["n"], report["pipeline"], report["model"], report["failed"]) == (4, "planted", "table", [])
    assert report["oiou"]["value"] == pytest.approx((400 + 400 + 0 + 400) / (400 + 800 + 800 + 400))
    assert report["miou"]["value"] == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert report["p50"]["value"] == pytest.approx(3 / 4)
    assert report["point_accuracy"]["value"] == pytest.approx(2 / 4)
    assert {kind: metrics["n"] for kind, metrics in report["by_type"].items()} == {"one": 2, "two": 1}
    assert report["by_type"]["one"]["miou"]["value"] == pytest.approx(0.5)
    assert list(report["controls"]) == ["centre_blob", "whole_image", "saliency"]
    whole = report["controls"]["whole_image"]
    assert whole["miou"]["value"] == pytest.approx(400 / (48 * 64))
    assert whole["point_accuracy"]["value"] == 0
    assert sum(steps) == 4
    assert pipeline.encoded == 2


def test_without_a_target_an_empty_prediction_is_right_and_any_other_is_wrong(case_file, make_grounding):
    cases = case_file(
        {"phrase": "nothing", "no_target": True, "mask": None}, {"phrase": "something", "no_target": True, "mask": None}
    )
    pipeline = Planted(make_grounding, {"nothing": [], "something": [BOX]})
    report = evaluate(pipeline, cases, resamples=50)
    assert [result.score.iou for result in report.results] == [1, 0]
    assert report.metrics["point_accuracy"]["value"] is None


def test_a_failure_of_the_pipeline_counts_as_a_miss_and_never_as_a_success(case_file, make_grounding):
    cases = case_file({"phrase": "exact"}, {"phrase": "bad"}, {"phrase": "bad", "no_target": True, "mask": None})
    report = evaluate(Planted(make_grounding, {"exact": [BOX], "bad": PhraseError("no")}), cases, resamples=50)
    assert [result.score.iou for result in report.results] == [1, 0, 0]
    assert [(failure.case.phrase, failure.error, failure.counted) for failure in report.failures] == [
        ("bad", "no", True)
    ] * 2


def test_a_pipeline_that_gives_up_on_a_picture_misses_the_rest_of_it_only(case_file, make_grounding):
    cases = case_file({"phrase": "silent"}, {"phrase": "exact"}, {"phrase": "exact", "image": "b.png"})
    report = evaluate(Planted(make_grounding, {"exact": [BOX], "silent": AttentionError}), cases, resamples=50)
    assert [result.score.iou for result in report.results] == [0, 0, 1]
    assert {failure.error for failure in report.failures} == {"layer 3 was silent"}


def test_a_picture_or_mask_that_cannot_be_read_judges_no_method(case_file, make_grounding):
    cases = case_file(
        {"phrase": "exact"}, {"phrase": "exact", "image": "none.png"}, {"phrase": "exact", "mask": "none.png"}
    )
    pipeline = Planted(make_grounding, {"exact": [BOX]})
    report = evaluate(pipeline, cases, resamples=50)
    assert report.metrics["n"] == report.controls["whole_image"]["n"] == 1
    assert [failure.counted for failure in report.failures] == [False, False]
    assert pipeline.encoded == 1


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_a_contact_sheet_shows_no_case_twice(case_file, make_grounding, count):
    answers = {f"p{index}": [(10, 10, 11 + index, 30)] for index in range(count - 1)} | {"bad": PhraseError("no")}
    cases = case_file(*({"phrase": phrase} for phrase in answers))
    sheet = draw_contact_sheet(evaluate(Planted(make_grounding, answers), cases, resamples=10))
    assert sheet.dtype == np.uint8
    assert sheet.shape[1:] == (1600, 3)
