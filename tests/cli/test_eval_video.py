"""``groundkit eval --video`` on squares that move through grey frames, found by their brightness."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groundkit.outputs.video.folders import IndexedFolder

FRAMES = 4
Command = Callable[..., Any]


@pytest.fixture
def folder(command: Command, pipeline: Any, tmp_path: Path) -> Path:
    """Two clips of a bright square that goes 4 pixels right on each frame, in the layout of DAVIS."""
    pipeline.segmenter = None  # outlines stay as they were warped
    square = np.random.default_rng(0).integers(200, 256, (256, 3))
    for name in ("one", "two"):
        (tmp_path / "JPEGImages" / name).mkdir(parents=True)
        with IndexedFolder(tmp_path / "Annotations", name) as masks:
            for index in range(FRAMES):
                mask = np.zeros((48, 64), np.bool_)
                mask[14:30, 10 + 4 * index : 26 + 4 * index] = True
                pixels = np.full((48, 64, 3), 60, np.uint8)
                pixels[mask] = square
                Image.fromarray(pixels).save(tmp_path / "JPEGImages" / name / f"{index:05d}.png")
                masks.add(f"{index:05d}", mask[None])
    return tmp_path


def write(folder: Path, *fields: dict[str, Any]) -> str:
    lines = [{"frames": "JPEGImages/one", "masks": "Annotations/one", "object_id": 1, **each} for each in fields]
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return "cases.jsonl"


def still_j() -> float:
    """J of a mask of 16 pixels width that stays where it was while the object goes 4 pixels a frame."""
    return float(np.mean([(16 - 4 * step) / (16 + 4 * step) for step in range(FRAMES)]))


def test_a_phrase_is_followed_and_measured_beside_the_predicted_first_mask_and_two_guesses(
    command: Command, folder: Path
) -> None:
    cases = write(folder, {"phrase": "the square", "phrase_type": "plain", "id": "a"}, {"phrase": "it", "id": "b"})
    answer = command("eval", "--video", cases, "--json", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    report = json.loads(answer.out)
    assert (report["n"], report["tracker"], report["model"], report["given_mask"]) == (2, "optical flow", "fake", False)
    assert report["j"]["value"] > 0.95
    assert [(case["id"], case["phrase"]) for case in report["cases"]] == [("a", "the square"), ("b", "it")]
    assert list(report["by_type"]) == ["plain"]
    assert list(report["controls"]) == ["repeat_predicted_frame_0", "centre_blob", "whole_image"]
    assert report["controls"]["repeat_predicted_frame_0"]["j"]["value"] == pytest.approx(still_j())
    assert report["controls"]["whole_image"]["j"]["value"] == pytest.approx(256 / (48 * 64))


def test_with_the_given_mask_no_phrase_is_read(command: Command, folder: Path, pipeline: Any) -> None:
    cases = write(folder, {"phrase": "bad"})  # the pipeline refuses this phrase
    answer = command("eval", "--video", cases, "--given-mask", "--json", "--quiet")
    report = json.loads(answer.out)
    assert (answer.code, pipeline.encoded, report["given_mask"]) == (0, 0, True)
    assert report["j"]["value"] > 0.95
    assert report["controls"]["repeat_frame_0"]["j"]["value"] == pytest.approx(still_j())
    answer = command("eval", "--video", cases, "--json", "--quiet")
    assert (answer.code, json.loads(answer.out)["j"]["value"]) == (1, 0)
    assert answer.err == ("groundkit: error: case 1: the phrase is bad: say something else (counted as a miss)\n")


def test_the_table_has_a_row_for_all_each_type_and_each_control_and_the_sheet_is_saved(
    command: Command, folder: Path
) -> None:
    cases = write(folder, {"phrase": "it", "phrase_type": "[bold]"}, {"phrase": "it"}, {"phrase": "it"})
    answer = command("eval", "--video", cases, "--limit", "2", "--contact-sheet", "sheet.png")
    rows = [" ".join(line.strip(" │┃").split()) for line in answer.out.splitlines()]
    assert sum(row.startswith("all cases │ 2 │") for row in rows) == 1
    assert sum(row.startswith("[bold] │ 1 │") for row in rows) == 1
    assert sum(row.startswith("guess: ") for row in rows) == 3
    assert answer.err.splitlines()[-1] == "groundkit: worst and best cases are in sheet.png"
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width == 1600


def expressions(path: Path, **fields: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    videos = {"one": {"expressions": {"0": {"exp": "the square", **fields}}, "frames": []}}
    path.write_text(json.dumps({"videos": videos}))


def test_a_data_set_s_folder_is_read_by_its_layout(command: Command, folder: Path) -> None:
    expressions(folder / "meta_expressions" / "valid" / "meta_expressions.json", obj_id="1")
    answer = command("eval", "--video", ".", "--given-mask", "--json", "--quiet")
    assert (answer.code, json.loads(answer.out)["cases"][0]["id"]) == (0, "one/0")
    answer = command("eval", "--video", ".", "--split", "none", "--quiet")
    assert answer.code == 1
    assert "none/meta_expressions.json" in answer.err


@pytest.mark.parametrize("judged", [True, False])
def test_what_was_found_is_written_as_benchmarks_want_it_also_where_they_keep_the_truth(
    command: Command, folder: Path, judged: bool
) -> None:
    expressions(folder / "meta_expressions" / "valid" / "meta_expressions.json", **({"obj_id": "1"} if judged else {}))
    answer = command("eval", "--video", ".", "-o", "found", "--json", "--quiet")
    report = json.loads(answer.out)
    assert (answer.code, report["n"], report["failed"]) == (0, int(judged), [])
    names = sorted(path.name for path in (folder / "found" / "one" / "0").iterdir())
    assert names == [f"{index:05d}.png" for index in range(FRAMES)]
    for index, name in enumerate(names):
        mask = np.asarray(Image.open(folder / "found" / "one" / "0" / name)) > 0
        true = np.asarray(Image.open(folder / "Annotations" / "one" / name)) > 0
        assert (mask & true).sum() / (mask | true).sum() > 0.9, index


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["cases.jsonl", "-o", "found"], 2, "--given-mask, --split and --output are for --video"),
        (["cases.jsonl", "--given-mask"], 2, "--given-mask, --split and --output are for --video"),
        (["cases.jsonl", "--split", "val"], 2, "--given-mask, --split and --output are for --video"),
        (["cases.jsonl", "--video", "--split", "val"], 1, "cases.jsonl is a file and has no split val"),
        (["JPEGImages", "--video"], 1, "JPEGImages is no Ref-DAVIS17 (davis_text_annotations/), Ref-YouTube-VOS"),
        (["cases.jsonl", "--video", "--key-frame", "third"], 2, "key_frame"),
        (["none.jsonl", "--video"], 1, "cannot read none.jsonl: No such file or directory"),
    ],
)
def test_wrong_usage_is_told_before_a_model_is_loaded(
    command: Command, folder: Path, pipeline: Any, arguments: list[str], code: int, message: str
) -> None:
    write(folder, {"phrase": "it"})
    answer = command("eval", *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert message in " ".join(answer.err.split())
    assert pipeline.loaded_with == {}
