"""The whole way, from the installed command to real models: nano on the samples."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.masks.rle import decode
from groundkit.media.videos import read_video

SAMPLES = Path(__file__).parents[2] / "samples"
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def groundkit_command(tmp_path: Path) -> Command:
    """Run the command in an empty folder, offline."""
    executable = Path(sys.executable).with_name("groundkit")

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [executable, *arguments, "--offline", "--quiet"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


def test_segment_cuts_the_red_cup_out_of_the_first_sample(groundkit_command, tmp_path):
    answer = groundkit_command("segment", SAMPLES / "scene_1.png", "the red cup", "--json", "-o", "out")
    assert (answer.returncode, answer.stderr) == (0, "")
    (record,) = json.loads(answer.stdout)
    truth = np.asarray(Image.open(SAMPLES / "masks" / "scene_1-the-red-cup.png")) > 127
    found = np.asarray(Image.open(tmp_path / record["masks"][0])) > 127
    x, y, label = record["points"][0]
    assert label == 1
    assert truth[int(y), int(x)]
    assert (found & truth).sum() / (found | truth).sum() > 0.5


def test_discover_names_and_cuts_out_every_object_of_the_second_sample(groundkit_command):
    answer = groundkit_command("discover", SAMPLES / "scene_2.png", "--json", "-o", "out")
    assert (answer.returncode, answer.stderr) == (0, "")
    (record,) = json.loads(answer.stdout)
    left = {
        "the-yellow-dog-on-the-left": "yellow dog",
        "the-yellow-dog-on-the-right": "yellow dog",
        "the-red-hat": "red hat",
    }
    assert len(record["objects"]) == len(left)
    for item in record["objects"]:
        found = decode(item["mask"])
        for name in [name for name, label in left.items() if label == item["label"]]:
            truth = np.asarray(Image.open(SAMPLES / "masks" / f"scene_2-{name}.png")) > 127
            if (found & truth).sum() / (found | truth).sum() > 0.5:
                del left[name]
    assert not left


def test_eval_finds_more_objects_of_the_samples_than_any_control(groundkit_command):
    answer = groundkit_command("eval", SAMPLES / "cases.jsonl", "--json")
    assert (answer.returncode, answer.stderr) == (0, "")
    report = json.loads(answer.stdout)
    assert report["n"] == len((SAMPLES / "cases.jsonl").read_text().splitlines())
    for metric in ("miou", "point_accuracy"):
        assert report[metric]["value"] > 0.5
        assert report[metric]["value"] > max(control[metric]["value"] for control in report["controls"].values())


def test_explain_draws_one_picture_of_a_photograph(groundkit_command, tmp_path):
    answer = groundkit_command("explain", SAMPLES / "photo_cup.jpg", "the cup", "-o", "explained.png")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "explained.png\n", "")
    with Image.open(tmp_path / "explained.png") as picture:
        assert min(picture.size) > 300


def test_bad_pictures_and_phrases_are_one_line_each_and_the_rest_is_cut_out(groundkit_command, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "truncated.png").write_bytes((SAMPLES / "scene_1.png").read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("no picture")
    names = ["missing.png", "empty.png", "truncated.png", "text.jpg"]
    pictures = [*names, SAMPLES / "scene_2.png"]
    answer = groundkit_command("segment", *pictures, "-p", "the hat", "-p", "   ", "-p", "!?", "--format", "png")
    assert answer.returncode == 1
    assert answer.stdout == "groundkit-out/scene_2-the-hat.png\n"
    lines = answer.stderr.splitlines()
    assert all(line.startswith("groundkit: error: ") for line in lines)
    assert len(lines) == 3 * len(names) + 2
    assert {line.split(": ")[2] for line in lines} == {*names, str(SAMPLES / "scene_2.png")}
    assert [file.name for file in (tmp_path / "groundkit-out").iterdir()] == ["scene_2-the-hat.png"]


def test_any_length_gives_a_mask_and_letters_that_the_model_does_not_know_are_refused(groundkit_command):
    phrases = ["cup", "la taza roja", "赤いカップ", "word " * 2000 + "cup"]
    options = [option for phrase in phrases for option in ("-p", phrase)]
    answer = groundkit_command("segment", SAMPLES / "scene_2.png", *options, "--json")
    assert answer.returncode == 1
    assert [len(record.get("masks", ())) for record in json.loads(answer.stdout)] == [1, 1, 0, 1]
    refusal, warning = sorted(answer.stderr.splitlines())
    assert refusal.startswith("groundkit: error: ")
    assert "does not know the letters of '赤いカップ'" in refusal
    assert warning.startswith("groundkit: warning: the phrase and its magnets have ")


def test_a_model_folder_without_a_part_is_one_line(groundkit_command, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "weights.pth").write_text("no tensors")
    picture = SAMPLES / "scene_1.png"
    for option in (("--model", "model"), ("--segmenter", "weights.pth")):
        answer = groundkit_command("segment", picture, "the cup", *option)
        assert (answer.returncode, answer.stdout) == (1, "")
        (line,) = answer.stderr.splitlines()
        assert line.startswith("groundkit: error: ")
    assert not list((tmp_path / "groundkit-out").iterdir())


def test_a_least_evidence_that_nothing_reaches_gives_an_empty_result_and_the_exit_code_that_was_asked_for(
    groundkit_command, tmp_path
):
    arguments = ["segment", SAMPLES / "scene_1.png", "the red cup", "--json", "--min-evidence", "1"]
    answer = groundkit_command(*arguments)
    assert (answer.returncode, answer.stderr) == (0, "")
    (record,) = json.loads(answer.stdout)
    assert record["masks"] == record["points"] == []
    assert 0 < record["evidence"] < 1
    assert groundkit_command(*arguments, "--fail-on-empty").returncode == 1


def test_segment_writes_a_film_of_the_sample_clip_that_plays(groundkit_command, tmp_path):
    answer = groundkit_command("segment", SAMPLES / "clip.mp4", "the red ball", "-o", "out")
    assert (answer.returncode, answer.stderr) == (0, "")
    film, lines, masks = (tmp_path / name for name in answer.stdout.splitlines())
    shown, drawn = (list(read_video(path).frames()) for path in (SAMPLES / "clip.mp4", film))
    assert [frame.seconds for frame in drawn] == [frame.seconds for frame in shown]
    assert len(shown) == len(lines.read_text().splitlines()) == len(list(masks.iterdir())) == 24
