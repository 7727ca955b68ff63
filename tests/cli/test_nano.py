"""The whole way, from the command line to real models: nano on the sample scenes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.cli.main import run

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def groundkit_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    for variable in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        monkeypatch.setenv(variable, "")  # what a command sets is undone after the test
        monkeypatch.delenv(variable)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_segment_cuts_the_red_cup_out_of_the_first_sample(groundkit_command):
    code, out, _ = groundkit_command(
        "segment", SAMPLES / "scene_1.png", "the red cup", "--json", "--offline", "-o", "out"
    )
    assert code == 0
    (record,) = json.loads(out)
    truth = np.asarray(Image.open(SAMPLES / "masks" / "scene_1-the-red-cup.png")) > 127
    found = np.asarray(Image.open(record["masks"][0])) > 127
    x, y, label = record["points"][0]
    assert label == 1
    assert truth[int(y), int(x)]
    assert (found & truth).sum() / (found | truth).sum() > 0.7


def test_eval_finds_most_objects_of_the_samples_and_more_than_any_control(groundkit_command):
    code, out, _ = groundkit_command("eval", SAMPLES / "cases.jsonl", "--json", "--offline", "--quiet")
    assert code == 0
    report = json.loads(out)
    assert report["n"] == 21
    assert report["point_accuracy"]["value"] > 0.7
    assert report["miou"]["value"] > max(control["miou"]["value"] for control in report["controls"].values())


def test_explain_draws_one_picture_of_a_photograph(groundkit_command):
    code, out, _ = groundkit_command(
        "explain", SAMPLES / "photo_cup.jpg", "the cup", "-o", "explained.png", "--offline"
    )
    assert (code, out) == (0, "explained.png\n")
    with Image.open("explained.png") as picture:
        assert min(picture.size) > 300


def test_bad_pictures_are_one_line_each_and_the_good_one_is_still_cut_out(groundkit_command, tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "truncated.png").write_bytes((SAMPLES / "scene_1.png").read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("no picture")
    names = ["missing.png", "empty.png", "truncated.png", "text.jpg"]
    code, out, err = groundkit_command(
        "segment", *names, SAMPLES / "scene_2.png", "-p", "the hat", "--format", "png", "--offline", "--quiet"
    )
    assert code == 1
    assert out == "groundkit-out/scene_2-the-hat.png\n"
    lines = err.splitlines()
    assert [line.split(": ")[2].removesuffix(":") for line in lines] == names
    assert [file.name for file in (tmp_path / "groundkit-out").iterdir()] == ["scene_2-the-hat.png"]


@pytest.mark.parametrize("phrase", ["", "   ", "the of and", "!!!"])
def test_a_phrase_that_names_nothing_is_refused_in_one_line(groundkit_command, phrase):
    code, out, err = groundkit_command("segment", SAMPLES / "scene_2.png", "-p", phrase, "--offline", "--quiet")
    assert code == 1
    assert out == ""
    assert err.startswith("groundkit: error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("phrase", ["la taza roja", "赤いカップ", "der rote Becher", "word " * 2000 + "cup"])
def test_a_foreign_or_endless_phrase_gives_a_mask_or_one_line(groundkit_command, phrase):
    code, out, err = groundkit_command(
        "segment", SAMPLES / "scene_2.png", "-p", phrase, "--offline", "--quiet", "--json"
    )
    (record,) = json.loads(out)
    assert code == (1 if "error" in record else 0)
    assert err.count("\n") == code
