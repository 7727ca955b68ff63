"""``--report``: where the file comes from and when there is one; what it shows is for tests/browser."""

import json
import re

import numpy as np
import pytest

from groundkit.outputs.video.mp4 import write_mp4

QUIET = "--quiet"


def entries(page):
    """Status and phrase of each entry."""
    return re.findall(r'<article [^>]*data-status="(\w+)".*?<h2[^>]*>(.*?)</h2>', page, re.DOTALL)


def test_every_outcome_is_in_the_report_and_its_name_is_printed_last(command, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    phrases = ("-p", "cup", "-p", "nothing", "-p", "bad")
    arguments = ("missing.png", "a.png", "broken.png", *phrases, "-f", "png", "--report", "new/report.html", QUIET)
    answer = command("segment", *arguments)
    assert (answer.code, answer.out) == (1, "groundkit-out/a-cup.png\nnew/report.html\n")
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    failed = [("failed", "cup"), ("failed", "nothing"), ("failed", "bad")]
    assert entries(page) == [*failed, *failed, ("found", "cup"), ("empty", "nothing"), ("failed", "bad")]
    assert page.count("the phrase is bad: say something else") == 1


def test_json_on_standard_output_stays_one_document(command, tmp_path):
    answer = command("segment", "a.png", "cup", "--json", "--report", "report.html", QUIET)
    assert len(json.loads(answer.out)) == 1
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("name", ["segment", "follow", "batch"])
def test_a_report_that_cannot_be_written_is_told_before_a_model_is_loaded(command, pipeline, tmp_path, name):
    (tmp_path / "report.html").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"")
    answer = command(name, "clip.mp4", "cup", "--report", "report.html", QUIET)
    assert answer == (1, "", "groundkit: error: cannot write report.html: Is a directory\n")
    assert pipeline.loaded_with == {}


def test_an_interrupt_leaves_no_report(command, tmp_path):
    answer = command("segment", "a.png", "-p", "cup", "-p", "interrupt", "--report", "deep/report.html", QUIET)
    assert answer.code == 130
    assert list((tmp_path / "deep").iterdir()) == []


def test_without_the_option_there_is_no_report(command, tmp_path):
    assert command("segment", "a.png", "cup", QUIET).code == 0
    assert not list(tmp_path.rglob("*.html"))


def test_a_batch_gives_the_same_report_in_one_go_and_in_two(command, pipeline, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    phrases = ("-p", "cup", "-p", "nothing", "-p", "bad")
    answer = command("batch", "a.png", "broken.png", *phrases, "-o", "out", "--report", "one.html", QUIET)
    assert (answer.code, answer.out) == (1, "out/manifest.jsonl\none.html\n")
    page = (tmp_path / "one.html").read_text(encoding="utf-8")
    failed = [("failed", "cup"), ("failed", "nothing"), ("failed", "bad")]
    assert entries(page) == [("found", "cup"), ("empty", "nothing"), ("failed", "bad"), *failed]
    assert command("batch", "a.png", "broken.png", *phrases, "-o", "out", "--report", "two.html", QUIET).code == 1
    assert (tmp_path / "two.html").read_bytes() == page.encode()
    assert not list((tmp_path / "out").glob("*.html"))


def test_a_batch_shows_a_picture_as_segment_does(command, tmp_path):
    command("segment", "a.png", "cup", "--report", "one.html", QUIET)
    command("batch", "a.png", "cup", "-o", "out", "--report", "two.html", QUIET)
    assert (tmp_path / "two.html").read_bytes() == (tmp_path / "one.html").read_bytes()


def test_a_batch_shows_a_video_as_segment_does_also_when_it_is_asked_for_the_report_later(command, pipeline, tmp_path):
    pipeline.segmenter = None
    pictures = np.random.default_rng(0).integers(0, 100, (3, 48, 64, 3), np.uint8)
    for index, picture in enumerate(pictures):
        picture[10:30, 10 + 4 * index : 30 + 4 * index] = 220
    write_mp4(tmp_path / "clip.mp4", pictures, rate=12)
    command("segment", "clip.mp4", "cup", "--report", "one.html", QUIET)
    command("batch", "clip.mp4", "cup", "-o", "out", QUIET)
    encoded = pipeline.encoded
    assert command("batch", "clip.mp4", "cup", "-o", "out", "--report", "two.html", QUIET).code == 0
    assert pipeline.encoded == encoded
    assert (tmp_path / "two.html").read_bytes() == (tmp_path / "one.html").read_bytes()


def test_a_finished_batch_can_be_asked_for_its_report_later(command, tmp_path):
    arguments = ("batch", "a.png", "-p", "cup", "-p", "nothing", QUIET)
    command(*arguments, "-o", "at-once", "--report", "one.html")
    command(*arguments, "-o", "later")
    assert command(*arguments, "-o", "later", "--report", "two.html").code == 0
    assert (tmp_path / "two.html").read_bytes() == (tmp_path / "one.html").read_bytes()
    assert command(*arguments, "-o", "later").code == 0
