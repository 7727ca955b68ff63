import io
import json
import os
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

QUIET = "--quiet"


def files_in(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_picture_and_a_phrase_give_a_mask_and_an_overlay(command, tmp_path):
    answer = command("segment", "a.png", "the red cup", QUIET)
    assert answer == (0, "groundkit-out/a-the-red-cup.png\ngroundkit-out/a-the-red-cup-overlay.png\n", "")
    with Image.open(tmp_path / "groundkit-out" / "a-the-red-cup.png") as mask:
        expected = np.zeros((48, 64), np.uint8)
        expected[10:20, 10:40] = 255
        np.testing.assert_array_equal(np.asarray(mask), expected)


def test_json_is_one_document_and_nothing_else(command):
    answer = command("segment", "a.png", "the red cup", "--json", "-o", "out", "--format", "png")
    (record,) = json.loads(answer.out)
    assert record == {
        "input": "a.png",
        "phrase": "the red cup",
        "pipeline": "refam",
        "model": "fake",
        "segmenter": "",
        "version": "0.1.0",
        "device": "",
        "dtype": "",
        "masks": ["out/a-the-red-cup.png"],
        "scores": [0.9],
        "boxes": [[10.0, 10.0, 40.0, 20.0]],
        "points": [[25.0, 15.0, 1], [0.5, 0.5, 0]],
        "seconds": 0.25,
    }
    assert answer.code == 0


def test_several_inputs_and_phrases_encode_each_picture_once(command, pipeline, tmp_path):
    answer = command("segment", "*.png", "-p", "cup", "-p", "ball", "-o", "out", "--format", "png", QUIET)
    assert answer.code == 0
    assert answer.out.splitlines() == ["out/a-cup.png", "out/a-ball.png", "out/b-cup.png", "out/b-ball.png"]
    assert pipeline.encoded == 2


def test_one_bad_input_and_one_bad_phrase_leave_the_others_alone(command, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    arguments = ("missing.png", "broken.png", "a.png", "-p", "cup", "-p", "bad")
    answer = command("segment", *arguments, "--json", "-o", "out", QUIET)
    assert answer.code == 1
    records = json.loads(answer.out)
    assert [(record["input"], record["phrase"], "error" in record) for record in records] == [
        ("missing.png", "cup", True),
        ("missing.png", "bad", True),
        ("broken.png", "cup", True),
        ("broken.png", "bad", True),
        ("a.png", "cup", False),
        ("a.png", "bad", True),
    ]
    assert all(set(record) == {"input", "phrase", "error"} for record in records if "error" in record)
    assert files_in(tmp_path / "out") == ["a-cup-overlay.png", "a-cup.png"]
    lines = answer.err.splitlines()
    assert all(line.startswith("groundkit: error: ") for line in lines)
    assert lines[-1] == "groundkit: error: a.png: the phrase is bad: say something else"


def test_no_model_is_loaded_when_no_input_can_be_used(command, pipeline):
    answer = command("segment", "missing.png", "cup", QUIET)
    assert answer == (1, "", "groundkit: error: missing.png: no such file or folder; check the path\n")
    assert pipeline.loaded_with == {}


def test_nothing_found_is_fine_unless_asked_otherwise(command):
    answer = command("segment", "a.png", "nothing", "--json", "--format", "png")
    assert (answer.code, json.loads(answer.out)[0]["masks"]) == (0, [])
    assert answer.err.splitlines()[-1] == "groundkit: a.png: 'nothing': nothing found"
    assert command("segment", "a.png", "nothing", "--fail-on-empty", QUIET).code == 1


def test_a_picture_comes_in_on_standard_input(command, monkeypatch, tmp_path):
    class Stdin:
        buffer = io.BytesIO((tmp_path / "a.png").read_bytes())

        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stdin", Stdin())
    answer = command("segment", "-", "cup", "--format", "png", QUIET)
    assert answer == (0, "groundkit-out/stdin-cup.png\n", "")


def test_every_format_and_one_coco_file_for_the_run(command):
    formats = [part for name in ("png", "overlay", "cutout", "heatmap", "json", "coco") for part in ("--format", name)]
    answer = command("segment", "a.png", "cup", *formats, QUIET)
    endings = ["cup.png", "cup-overlay.png", "cup-cutout.png", "cup-heatmap.png", "cup.json"]
    assert answer.out.splitlines() == [f"groundkit-out/a-{ending}" for ending in endings] + ["groundkit-out/coco.json"]


def test_results_beside_the_inputs_are_the_same_after_a_second_run(command, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / name).rename(tmp_path / "in" / name)
    contents = []
    for _ in range(2):
        assert command("segment", "in", "-p", "cup", "-p", "ball", "-o", "in", "-f", "png", QUIET).code == 0
        contents.append({file.name: file.read_bytes() for file in (tmp_path / "in").iterdir()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == 6


def test_a_result_of_another_picture_of_the_same_name_is_told_before_it_is_written_over(command, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "b.png").rename(tmp_path / "other" / "a.png")
    assert command("segment", "a.png", "cup", QUIET).err == command("segment", "./a.png", "cup", QUIET).err == ""
    answer = command("segment", "other/a.png", "cup", QUIET)
    told = "groundkit-out/a-cup.png was the result of another input, and is overwritten"
    assert (answer.code, answer.err) == (0, f"groundkit: warning: {told}\n")


def test_a_phrase_that_is_given_twice_counts_once_and_is_told(command, pipeline, tmp_path):
    answer = command("segment", "a.png", "-p", "cup", "-p", "cup", "-f", "coco", QUIET)
    assert (answer.code, answer.err) == (0, "groundkit: warning: 'cup' is given more than once and counts once\n")
    assert len(json.loads((tmp_path / "groundkit-out" / "coco.json").read_text())["annotations"]) == 1


@pytest.mark.parametrize(
    "typed", [["cup . ball"], ["cup; ball"], ["-p", "cup. ball."], ["-p", "cup", "-p", "ball;cup"]]
)
def test_phrases_parted_by_full_stops_or_semicolons_are_looked_for_one_by_one_and_told(command, tmp_path, typed):
    answer = command("segment", "a.png", *typed, "-f", "png", QUIET)
    assert answer.code == 0
    assert "is read as 2 phrases: " in answer.err
    assert sorted(each.name for each in (tmp_path / "groundkit-out").iterdir()) == ["a-ball.png", "a-cup.png"]


@pytest.mark.parametrize("name", ["segment", "discover", "batch"])
def test_an_output_that_cannot_be_written_to_is_told_before_a_model_is_loaded(command, pipeline, name):
    phrase = [] if name == "discover" else ["cup"]
    answer = command(name, "a.png", *phrase, "-o", "b.png/out", QUIET)
    assert (answer.code, pipeline.loaded_with) == (1, {})
    assert answer.err.startswith("groundkit: error: cannot ")
    assert "b.png/out" in answer.err


def test_output_may_name_the_file_of_a_single_result(command, tmp_path):
    assert command("segment", "a.png", "cup", "-o", "cup.png", "--format", "png", QUIET).out == "cup.png\n"
    assert command("segment", "a.png", "cup", "-o", "cup.json", QUIET).out == "cup.json\n"
    answer = command("segment", "a.png", "b.png", "cup", "-o", "cup.png", QUIET)
    assert answer == (2, "", "groundkit: error: cup.png is one file but there are 2 results: give a folder\n")


@pytest.mark.parametrize(
    ("pipeline", "fits"),
    [("refam", "photographs: --pipeline vlsam --model "), ("decaf", "photographs: --model ")],
)
def test_nano_says_once_a_folder_and_only_to_people_what_it_is_and_what_fits_photographs(
    command, monkeypatch, pipeline, fits
):
    arguments = ("segment", "a.png", "cup", "--pipeline", pipeline)
    assert "nano" not in command(*arguments, "-o", "piped").err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "nano" not in command(*arguments, "-o", "quiet", QUIET).err
    assert "nano" not in command(*arguments, "-o", "real", "--model", "x/y", "--segmenter", "z").err
    first = command(*arguments, "-o", "out").err
    assert "nano is a demo model for drawn scenes. For " in first
    assert fits in first
    assert "nano is a demo model" not in command(*arguments, "-o", "out").err


def test_every_result_says_how_sure_it_is_in_one_line_beside_the_files(command, pipeline, monkeypatch):
    from groundkit.masks.evidence import Evidence

    original = pipeline.outcomes
    monkeypatch.setattr(
        pipeline,
        "outcomes",
        lambda *inputs, **options: (
            replace(each, evidence=Evidence(0.2, 0.36, 0.8)) for each in original(*inputs, **options)
        ),
    )
    answer = command("segment", "a.png", "b.png", "-p", "cup", "-p", "nothing", "-o", "out", "--format", "png")
    assert answer.err.splitlines() == [
        "groundkit: a.png: 'cup': found 0.52, mask 0.90",
        "groundkit: a.png: 'nothing': nothing found (evidence 0.52)",
        "groundkit: b.png: 'cup': found 0.52, mask 0.90",
        "groundkit: b.png: 'nothing': nothing found (evidence 0.52)",
        "groundkit: 4 results: 2 found, 2 empty, 0 failed; see out",
    ]
    assert json.loads(command("segment", "a.png", "cup", "--json").out)[0]["evidence"] == pytest.approx(0.52, abs=0.01)
    assert command("segment", "a.png", "cup", QUIET).err == ""


def test_a_real_model_without_a_segmenter_is_told_which_one_it_gets(command, pipeline):
    told = "groundkit: using the segmenter facebook/sam-vit-base; choose another with --segmenter\n"
    for model in ("x/y", "nano,x/y"):
        assert told in command("segment", "a.png", "cup", "--model", model).err
        assert pipeline.loaded_with["segmenter"] is None
    assert command("segment", "a.png", "cup", "--model", "x/y", QUIET).err == ""


def test_verbose_says_what_is_used_and_how_much_memory(command):
    lines = command("segment", "a.png", "cup", "--verbose", "--set", "max_peaks=2").err.splitlines()
    assert lines[0].startswith("groundkit: settings: evidence=true, ")
    assert ", max_peaks=2 (--set), " in lines[0]
    assert lines[1] == "groundkit: refam: fake on ? in ? (--device auto, --dtype auto)"
    assert lines[2] == "groundkit: segmenter: nano in ? (--segmenter-dtype auto)"
    assert re.fullmatch(r"groundkit: peak memory: \d+\.\d\d GiB", lines[-1])


def test_evidence_can_be_switched_off_but_not_where_it_decides(command, pipeline):
    assert command("segment", "a.png", "cup", "--no-evidence").code == 0
    assert pipeline.loaded_with["config"] == {"evidence": False}
    assert command("segment", "a.png", "cup").code == 0
    assert pipeline.loaded_with["config"] == {}
    refused = command("segment", "a.png", "cup", "--no-evidence", "--min-evidence", "0.4")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert command("follow", "clip.mp4", "cup", "--no-evidence", "--key-frame", "evidence").code == 2


def test_options_reach_the_pipeline(command, pipeline, tmp_path):
    (tmp_path / "my.toml").write_text("layers = 'late'\nmax_peaks = 2\n")
    answer = command(
        *(
            "segment",
            "a.png",
            "cup",
            QUIET,
            "--pipeline",
            "refam",
            "--model",
            "m",
            "--segmenter",
            "s",
            "--device",
            "cpu",
        ),
        *("--dtype", "float32", "--segmenter-dtype", "bfloat16", "--batch-size", "4", "--offload"),
        *("--revision", "r", "--variant", "v", "--seed", "7", "--offline"),
        *("--config", "my.toml", "--set", "layers=10-18"),
    )
    assert answer.code == 0
    assert pipeline.loaded_with == {
        "pipeline": "refam",
        "model": "m",
        "segmenter": "s",
        "device": "cpu",
        "dtype": "float32",
        "segmenter_dtype": "bfloat16",
        "batch_size": 4,
        "offload": True,
        "revision": "r",
        "variant": "v",
        "local_files_only": True,
        "config": {"layers": "10-18", "max_peaks": 2},
    }
    assert pipeline.seed == 7
    assert os.environ["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png"], 'give an input and a phrase: groundkit segment photo.jpg "the red cup"'),
        (["a.png", "b.png"], "the phrase comes last, but b.png is a file; with -p PHRASE all arguments are inputs"),
        ([], "Missing argument"),
        (["a.png", "cup", "--frobnicate"], "No such option"),
        (["a.png", "cup", "--seed", "x"], "--seed"),
        (
            ["a.png", "cup", "--format", "gif"],
            "no format named 'gif': use one of coco, csv, cutout, cvat, heatmap, indexed, json, labelme, labelstudio, "
            "npz, overlay, parquet, png, voc, yolo, yolo_box",
        ),
        (["a.png", "cup", "--set", "nose=1"], "no setting named 'nose'"),
        (["a.png", "cup", "--seed", "18446744073709551616"], "--seed"),
        (["a.png", "cup", "-o", "a.png"], "a.png is an input, and would be lost: give another --output"),
        (["a.png", "cup", "--set", "layers"], "--set layers: write key=value, such as noise_level=0.3"),
        (["a.png", "cup", "--config", "none.toml"], "cannot read none.toml: No such file or directory"),
    ],
)
def test_wrong_usage_is_code_2_and_says_what_is_wrong(command, arguments, message):
    answer = command("segment", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in " ".join(answer.err.split())
    assert "Traceback" not in answer.err


def test_a_phrase_is_one_however_long_or_empty_it_is(command, monkeypatch, tmp_path):
    assert command("segment", "a.png", "the red cup " * 700, QUIET).code == 0
    assert "is a file" not in command("segment", "a.png", "", QUIET).err
    empty = command("segment", "", "cup", QUIET)
    assert (empty.code, empty.err) == (
        1,
        "groundkit: error: '': an empty argument names no picture or video; is a variable of the shell not set?\n",
    )


def test_an_interrupt_is_code_130_and_leaves_whole_files_only(command, tmp_path):
    answer = command("segment", "a.png", "-p", "cup", "-p", "interrupt", "-f", "png", "-f", "coco", QUIET)
    assert answer.code == 130
    assert files_in(tmp_path / "groundkit-out") == ["a-cup.png"]


def test_a_writer_that_fails_midway_leaves_no_file(command, tmp_path, monkeypatch):
    def half(file, *chunk):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("groundkit.outputs.formats.png.putchunk", half)
    answer = command("segment", "a.png", "cup", QUIET)
    assert answer.code == 1
    assert answer.err.endswith("cannot write groundkit-out/a-cup.png: No space left on device\n")
    assert files_in(tmp_path / "groundkit-out") == []


def test_a_deep_picture_says_that_it_is_dark_until_it_is_given_a_range(command):
    values = np.zeros((48, 64), np.uint16)
    values[10:20, 10:40] = 3000
    Image.fromarray(values).save("deep.png")
    assert (
        "use 4.6% of their range, which leaves a dark or flat picture: --range auto"
        in command("segment", "deep.png", "bad", "-o", "out").err
    )
    for command_name, wanted in (("segment", "auto"), ("batch", "0,3000")):
        answer = command(command_name, "deep.png", "cup", "-o", command_name, "--range", wanted, "--json", "--quiet")
        assert (answer.code, answer.err) == (0, "")
        assert json.loads(answer.out)[0]["boxes"] == [[10.0, 10.0, 40.0, 20.0]]
    answer = command("segment", "deep.png", "cup", "--range", "best")
    assert (answer.code, answer.err) == (2, "groundkit: error: range best: give full, auto, or LOW,HIGH with LOW below "
    "HIGH, such as 0,3000\n")  # fmt: skip


def test_what_a_filter_takes_away_is_not_called_nothing_found(command):
    assert "'cup': 1 mask filtered out" in command("segment", "a.png", "cup", "--min-area", "0.9").err
    assert "'nothing': nothing found" in command("segment", "a.png", "nothing", "--min-area", "0.9").err
