"""What is typed is understood as it is meant, or refused in one line before anything is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from groundkit.media.inputs import VIDEO_SUFFIXES


@pytest.fixture
def usage(command, pipeline):
    """The message of a wrong usage, which loads nothing."""

    def call(*arguments):
        answer = command(*arguments)
        assert (answer.code, answer.out, pipeline.loaded_with) == (2, "", {})
        return " ".join(answer.err.split()).partition("Error: ")[2] or answer.err

    return call


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["segment", "a.png", "the", "red", "cup"], 'groundkit segment a.png "the red cup"'),
        (["segment", "a.png", "b.png", "the", "cup"], 'groundkit segment a.png b.png "the cup"'),
        (["segment", "*.png", "the", "cup"], "groundkit segment '*.png' \"the cup\""),
        (["batch", ".", "the", "red", "cup"], 'groundkit batch . "the red cup"'),
        (["follow", "clip.mp4", "the", "red", "ball"], 'groundkit follow clip.mp4 "the red ball"'),
        (["explain", "a.png", "the", "red", "cup"], 'groundkit explain a.png "the red cup"'),
        (["segment", "a.png", "-p", "the", "zebra"], 'groundkit segment a.png -p "the zebra"'),
        (["segment", "-p", "the", "zebra", "a.png"], 'groundkit segment a.png -p "the zebra"'),
        (["segment", "photo", "the", "red", "cup"], 'groundkit segment photo "the red cup"'),
        (["segment", "a.png", "the", "2", "cups"], 'groundkit segment a.png "the 2 cups"'),
        (["segment", "a.png", "the", "dog's", "hat"], 'groundkit segment a.png "the dog\'s hat"'),
    ],
)
def test_a_phrase_without_quotation_marks_is_refused_with_the_command_that_was_meant(usage, typed, meant):
    assert f"quote the phrase: {meant}" in usage(*typed)


def test_several_phrases_without_an_option_are_refused_with_the_command_that_was_meant(usage):
    told = usage("segment", "a.jpg", "b.png", "the red cup", "the ball")
    assert 'several phrases: groundkit segment a.jpg b.png -p "the red cup" -p "the ball"' in told


@pytest.mark.parametrize("name", ["missing.png", "no/such/folder", "*.gif", "https://example.org/a.png", "2024"])
def test_what_looks_like_a_file_s_name_is_a_missing_input_and_no_word(command, name):
    answer = command("segment", "a.png", name, "cup", "-q")
    assert answer.code == 1
    assert answer.out.startswith("groundkit-out/a-cup.png")
    assert "quote the phrase" not in answer.err


def test_files_may_have_the_names_of_words(command, tmp_path):
    (tmp_path / "a.png").rename(tmp_path / "the")
    answer = command("segment", "the", "b.png", "the", "cup", "-q", "-f", "png")
    assert answer.out.splitlines() == ["groundkit-out/the-cup.png", "groundkit-out/b-cup.png"]


def test_batch_without_a_phrase_names_its_own_command(usage):
    assert (
        usage("batch", "photos")
        == 'Invalid value: give an input and a phrase: groundkit batch photos/ "the red cup" '.strip()
    )


def test_discover_takes_no_phrase_and_says_what_does(usage):
    assert "groundkit discover takes no phrase; use groundkit segment" in usage("discover", "a.png", "the", "cup")


@pytest.mark.parametrize("name", ["refam", "cross-attention", "ensemble"])
def test_discover_refuses_a_pipeline_that_needs_a_phrase_also_the_default_of_other_commands(usage, name):
    assert usage("discover", "a.png", "--pipeline", name) == (
        f"groundkit: error: {name} looks for a given phrase: discover with --pipeline vlsam\n"
    )


@pytest.mark.parametrize(
    "option",
    [
        ("--pipeline", "refam", "vlsam"),
        ("--model", "nano", "nano"),
        ("--seed", "1", "2"),
        ("--output", "x", "y"),
        ("-o", "x", "y"),
        ("--report", "a.html", "b.html"),
        ("--config", "a.toml", "b.toml"),
    ],
)
def test_an_option_with_one_value_that_is_given_twice_is_refused(usage, option):
    name, first, second = option
    assert "takes one value and is given 2 times" in usage("segment", "a.png", "cup", name, first, name, second)


def test_options_that_may_be_repeated_and_flags_still_may(command):
    repeated = ("-p", "cup", "-p", "ball", "-f", "png", "-f", "overlay", "--set", "max_peaks=1", "--set", "layers=all")
    assert command("segment", "a.png", *repeated, "-q", "-q").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("segment", "a.png", "cup", "--set", "peeks=2"),
        ("segment", "a.png", "cup", "--set", "max_peaks=many"),
        ("segment", "a.png", "cup", "--pipeline", "refan"),
        ("segment", "a.png", "cup", "--dtype", "fp16"),
        ("segment", "a.png", "cup", "--device", "gpu"),
        ("segment", "a.png", "cup", "--format", "pgn"),
        ("segment", "notes.txt", "cup"),
        ("segment", "empty.jpg", "cup"),
        ("segment", "film.mp4", "cup"),
        ("explain", "empty.jpg", "cup"),
        ("explain", "film.mp4", "cup"),
        ("follow", "film.mp4", "cup"),
        ("follow", "film.mp4", "cup", "--set", "lost_interval=-1"),
        ("batch", "a.png", "cup", "--set", "peeks=2"),
        ("batch", "a.png", "cup", "--engine", "rai"),
        ("discover", "empty.jpg"),
        ("discover", "film.mp4"),
        ("discover", "a.png", "--pipeline", "refam"),
        ("discover", "a.png", "--set", "min_verification=2"),
        ("discover", "a.png", "--vocabulary", "empty.jpg"),
        ("eval", "notes.txt"),
        ("eval", "notes.txt", "--set", "peeks=2"),
        ("settings", "refan"),
    ],
)
def test_what_is_wrong_is_found_before_torch_is_imported(command, tmp_path, arguments):
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "film.mp4").write_bytes(b"no film")
    code = (
        "import sys; from groundkit.cli.main import run; "
        f"code = run({list(arguments)!r}); "
        "heavy = sorted({'torch', 'transformers', 'diffusers'} & set(sys.modules)); sys.exit(f'{code} {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    told, verdict = done.stderr.splitlines()[:-1], done.stderr.splitlines()[-1]
    assert told[-1].startswith("groundkit: error: ")
    assert len(told) == 1
    assert verdict in ("1 []", "2 []")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("segment", "--help"), ("models",), ("settings",), ("settings", "refam")]
)
def test_what_needs_no_model_is_told_without_torch(tmp_path, arguments):
    code = (
        "import sys; from groundkit.cli.main import run; "
        f"code = run({list(arguments)!r}); "
        "heavy = sorted({'torch', 'transformers', 'diffusers'} & set(sys.modules)); sys.exit(f'{code} {heavy}')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr.splitlines() == ["0 []"]


def test_a_wrong_name_is_told_the_right_one(usage):
    def told(*arguments):
        return usage("segment", "a.png", "cup", *arguments)

    assert "did you mean float16?" in told("--dtype", "fp16")
    assert "did you mean cuda?" in told("--device", "gpu")
    assert "did you mean cuda:1?" in told("--device", "1")
    assert "did you mean vlsam?" in told("--pipeline", "vl-sam")
    assert "did you mean normalisation?" in told("--set", "normalization=none")
    assert "did you mean png?" in told("--format", "pgn")
    assert "did you mean overlay?" in told("--format", "overlays")


@pytest.mark.parametrize("command_name", ["discover", "explain"])
@pytest.mark.parametrize("suffix", [".mp4", ".MOV"])
def test_a_video_for_a_command_for_pictures_is_sent_to_follow(command, tmp_path, command_name, suffix):
    assert suffix.lower() in VIDEO_SUFFIXES
    (tmp_path / f"clip{suffix}").write_bytes(b"film")
    answer = command(command_name, f"clip{suffix}", *(["cup"] if command_name == "explain" else []))
    assert answer == (1, "", f"groundkit: error: clip{suffix}: a video; groundkit follow takes videos\n")


def test_unreadable_pictures_are_told_first_and_the_others_are_done(command, tmp_path, pipeline):
    (tmp_path / "notes.txt").write_text("no picture")
    answer = command("segment", "notes.txt", "a.png", "cup", "-f", "png")
    assert answer.code == 1
    assert answer.out == "groundkit-out/a-cup.png\n"
    assert answer.err.splitlines()[0].startswith("groundkit: error: notes.txt: not a picture")


@pytest.mark.parametrize(
    ("path", "found"), [("~/model", "HOME/model"), ("~nobody-at-all/model", "~nobody-at-all/model")]
)
def test_a_tilde_is_the_home_folder_in_every_option_that_takes_a_path(
    command, pipeline, monkeypatch, tmp_path, path, found
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    where = found.replace("HOME", str(tmp_path / "home"))
    arguments = ("--model", path, "--segmenter", path, "-o", path, "-f", "png", "--report", f"{path}.html", "-q")
    (tmp_path / "home").mkdir()
    assert command("segment", "a.png", "cup", *arguments).out.splitlines() == [f"{where}/a-cup.png", f"{where}.html"]
    assert (pipeline.loaded_with["model"], pipeline.loaded_with["segmenter"]) == (where, where)
