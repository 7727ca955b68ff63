import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import groundkit
from groundkit.masks.evidence import Evidence


@pytest.fixture
def cases(command, tmp_path):
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")

    def write(*cases):
        lines = [json.dumps({"image": "a.png", "mask": "mask.png", **case}) for case in cases]
        (tmp_path / "cases.jsonl").write_text("\n".join(lines))
        return "cases.jsonl"

    return write


def test_json_is_one_report_in_the_documented_shape(command, cases):
    answer = command("eval", cases({"phrase": "cup", "phrase_type": "plain"}, {"phrase": "ball"}), "--json", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    report = json.loads(answer.out)
    assert {"n", "oiou", "miou", "p50", "point_accuracy", "by_type", "controls"} <= set(report)
    assert report["n"] == 2
    assert report["miou"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert list(report["by_type"]) == ["plain"]
    assert set(report["controls"]) == {"centre_blob", "whole_image", "saliency"}
    assert set(report["controls"]["saliency"]["p50"]) == {"value", "low", "high"}


def test_the_table_has_a_row_for_all_each_type_and_each_control(command, cases):
    answer = command("eval", cases({"phrase": "cup", "phrase_type": "[bold]"}), "--quiet")
    rows = [" ".join(line.strip(" │┃").split()) for line in answer.out.splitlines()]
    perfect = "1 " + " ".join(["│ 1.000 [1.000, 1.000]"] * 4)
    assert f"all cases │ {perfect}" in rows
    assert f"[bold] │ {perfect}" in rows
    assert sum(row.startswith("guess: ") for row in rows) == 3


def test_failures_are_told_and_the_exit_code_is_1(command, cases):
    path = cases({"phrase": "cup"}, {"phrase": "bad", "id": "x7"}, {"phrase": "cup", "image": "none.png"})
    answer = command("eval", path, "--json", "-q")
    assert answer.code == 1
    assert json.loads(answer.out)["n"] == 2
    assert answer.err.splitlines() == [
        "groundkit: error: case x7: the phrase is bad: say something else (counted as a miss)",
        "groundkit: error: case 3: none.png: no such file; check the path (left out)",
    ]


def test_a_contact_sheet_is_saved_and_limit_takes_the_first_cases(command, cases, tmp_path):
    path = cases(*({"phrase": f"cup {index}"} for index in range(5)))
    answer = command("eval", path, "--json", "--limit", "3", "--contact-sheet", "sheet.png")
    assert json.loads(answer.out)["n"] == 3
    assert answer.err.splitlines()[-1] == "groundkit: worst and best cases are in sheet.png"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 1600


def test_a_bad_case_file_fails_before_a_model_is_loaded(command, pipeline, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"image": "a.png"}')
    answer = command("eval", "bad.jsonl")
    assert answer == (1, "", "groundkit: error: bad.jsonl:1: phrase must be a text that is not empty\n")
    assert command("eval", "bad.jsonl", "--contact-sheet", "x.jpg").code == 2
    assert pipeline.loaded_with == {}


def test_several_pipelines_are_each_measured_on_the_same_cases(command, cases, pipeline, monkeypatch):
    asked = []
    original = groundkit.load

    def load(name, **options):
        asked.append((name, options["model"]))
        loaded = original(name, **options)
        loaded.name = name
        return loaded

    monkeypatch.setattr(groundkit, "load", load)
    path = cases({"phrase": "cup"}, {"phrase": "ball"})
    both = ("--pipeline", "refam", "--pipeline", "vlsam")
    reports = json.loads(command("eval", path, *both, "--json", "-q").out)
    assert [(each["pipeline"], each["n"]) for each in reports] == [("refam", 2), ("vlsam", 2)]
    assert ["noise_level" in each["settings"] for each in reports] == [True, False]
    assert asked == [("refam", "nano"), ("vlsam", "nano")]
    table = command("eval", path, *both, "--model", "x/flux", "--model", "y/vlm", "-q").out
    assert asked[2:] == [("refam", "x/flux"), ("vlsam", "y/vlm")]
    assert [name for name in ("refam, fake", "vlsam, fake") if name in table] == ["refam, fake", "vlsam, fake"]
    assert table.count("guess: ") == 3
    refused = command("eval", path, *both, "--model", "a", "--model", "b", "--model", "c")
    assert refused.code == 2
    assert refused.err.endswith("give one --model, or one for each of the 2 pipelines\n")


def test_mean_evidence_stands_in_the_report_and_in_a_line(command, cases, pipeline, monkeypatch):
    original = pipeline.outcomes
    weighed = {"cup": Evidence(0.0, 0.64, 0.0), "ball": Evidence(0.0, 0.16, 0.0)}  # sqrt(focus / 2): 0.566, 0.283
    monkeypatch.setattr(
        pipeline,
        "outcomes",
        lambda *inputs, **options: (
            replace(each, evidence=weighed[each.phrase]) for each in original(*inputs, **options)
        ),
    )
    path = cases({"phrase": "cup"}, {"phrase": "ball"})
    answer = command("eval", path, "--json")
    assert json.loads(answer.out)["evidence"] == pytest.approx((0.32**0.5 + 0.08**0.5) / 2, abs=1e-4)
    assert "groundkit: refam, fake: mean evidence 0.42" in answer.err
