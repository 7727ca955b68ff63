import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from planted import planted_trace

from groundkit.language import Role, Token


@pytest.fixture
def traced(pipeline):
    """The pipeline, leaving a trace of two tokens."""
    original = pipeline.make_grounding

    def make(*boxes, phrase, **fields):
        tokens = (Token(0, "▁cup", 0, Role.CONTENT), Token(1, "</s>", None, Role.SPECIAL, sink=True))
        trace = planted_trace(phrase, torch.rand(2, 4, 4), tokens, [True, False])
        return original(*boxes, phrase=phrase, steps=trace, **fields)

    pipeline.make_grounding = make
    return pipeline


def test_one_picture_is_written_and_its_path_printed(command, traced, tmp_path):
    assert command("explain", "a.png", "the red cup", "--quiet") == (0, "groundkit-out/a-the-red-cup-explain.png\n", "")
    assert command("explain", "a.png", "the red cup", "-o", "new/e.png", "--quiet") == (0, "new/e.png\n", "")
    with Image.open(tmp_path / "new" / "e.png") as picture:
        assert picture.width == 1600


@pytest.mark.parametrize("folder", ["new", "new/deep", "."])
def test_the_place_may_be_a_folder(command, traced, tmp_path, folder):
    out = command("explain", "a.png", "the red cup", "-o", folder, "--quiet").out
    assert (tmp_path / folder / "a-the-red-cup-explain.png").is_file()
    assert out == f"{Path(folder) / 'a-the-red-cup-explain.png'}\n"


def test_json_is_the_record_with_the_page(command, traced):
    (record,) = json.loads(command("explain", "a.png", "the red cup", "--json", "--quiet").out)
    assert record["files"] == ["groundkit-out/a-the-red-cup-explain.png"]
    assert (record["input"], record["phrase"], len(record["scores"])) == ("a.png", "the red cup", 1)


def test_the_place_is_refused_before_a_model_is_loaded_and_an_input_is_never_overwritten(command, pipeline, tmp_path):
    before = (tmp_path / "a.png").read_bytes()
    answer = command("explain", "a.png", "cup", "-o", "./a.png", "-q")
    told = "groundkit: error: a.png is an input, and would be lost: give another --output\n"
    assert (answer.code, answer.err) == (2, told)
    answer = command("explain", "a.png", "cup", "-o", "b.png/e.png", "-q")
    assert (answer.code, answer.err.splitlines()[0]) == (1, "groundkit: error: cannot write b.png: File exists")
    answer = command("eval", "missing.jsonl", "--contact-sheet", "b.png/sheet.png")
    assert (answer.code, answer.err.splitlines()[0]) == (1, "groundkit: error: cannot write b.png: File exists")
    assert (pipeline.loaded_with, (tmp_path / "a.png").read_bytes()) == ({}, before)


def test_what_cannot_be_explained_is_one_line(command, tmp_path):
    assert command("explain", "a.png", "bad", "-q") == (
        1,
        "",
        "groundkit: error: the phrase is bad: say something else\n",
    )
    assert command("explain", "a.png", "cup", "-o", "e.jpg", "-q") == (
        2,
        "",
        "groundkit: error: e.jpg must be a folder, or a file name ending in .png\n",
    )
    assert command("explain", "*.png", "cup", "-q") == (
        2,
        "",
        "groundkit: error: explain draws one picture, *.png stands for 2: name one of them\n",
    )
    assert (
        command("explain", "a.png", "cup", "-q").err
        == "groundkit: error: pipeline refam leaves no trace of its steps to explain\n"
    )
