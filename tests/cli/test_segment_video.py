"""``groundkit segment`` on videos: a bright square that moves, found by its brightness on the first frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from groundkit.masks.rle import decode
from groundkit.media.videos import read_video
from groundkit.outputs.video.mp4 import write_mp4

Command = Callable[..., Any]
FRAMES = 5
SEVERAL = "is one file, and a video becomes several: give a folder, or a name in .mp4 for the film"


def frames() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """48 x 64 pixels; the square has 16 and goes 4 to the right on each frame."""
    generator = np.random.default_rng(0)
    ground = cv2.resize(generator.integers(20, 90, (12, 16, 3), np.uint8), (64, 48))
    square = cv2.resize(generator.integers(170, 256, (5, 5, 3), np.uint8), (16, 16))
    pictures = []
    for index in range(FRAMES):
        picture = np.asarray(ground, np.uint8).copy()
        picture[14:30, 8 + 4 * index : 24 + 4 * index] = square
        pictures.append(picture)
    return pictures


@pytest.fixture
def clip(command: Command, pipeline: Any, tmp_path: Path) -> Path:
    pipeline.segmenter = None
    return write_mp4(tmp_path / "clip.mp4", frames(), rate=12)


def test_a_video_is_followed_and_becomes_a_film_masks_and_lines(command: Command, clip: Path, tmp_path: Path) -> None:
    answer = command("segment", "clip.mp4", "the square", "-o", "out", "--quiet")
    names = ["out/clip-the-square.mp4", "out/clip-the-square.jsonl", "out/clip/the-square"]
    assert (answer.code, answer.out.splitlines(), answer.err) == (0, names, "")
    assert len(list(read_video(tmp_path / names[0]).frames())) == FRAMES
    lines = [json.loads(line) for line in (tmp_path / names[1]).read_text().splitlines()]
    for index, line in enumerate(lines):
        truth = np.zeros((48, 64), np.bool_)
        truth[14:30, 8 + 4 * index : 24 + 4 * index] = True
        mask = decode(line["objects"][0]["rle"])
        assert (mask & truth).sum() / (mask | truth).sum() > 0.85
        with Image.open(tmp_path / names[2] / f"{index:05d}.png") as written:
            np.testing.assert_array_equal(np.asarray(written) > 127, mask)


def test_a_run_of_videos_alone_has_no_coco_file(command: Command, clip: Path, tmp_path: Path) -> None:
    answer = command("segment", "clip.mp4", "the square", "-o", "out", "--format", "coco", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert not (tmp_path / "out" / "coco.json").exists()


@pytest.mark.parametrize("name", ["segment", "follow"])
def test_the_name_of_a_film_gives_the_film_alone(command: Command, clip: Path, tmp_path: Path, name: str) -> None:
    answer = command(name, "clip.mp4", "the square", "-o", "new/film.mp4", "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, "new/film.mp4\n", "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["film.mp4"]
    assert len(list(read_video(tmp_path / "new" / "film.mp4").frames())) == FRAMES


@pytest.mark.parametrize("name", ["segment", "follow"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "a", "-p", "b", "-o", "film.mp4"), "film.mp4 is one fil"),
        (
            ("-p", "a", "-o", "run.mpg"),
            "run.mpg is one file, and a video becomes several: give a folder, or a name in .mp",
        ),
        (
            ("-p", "a", "-o", "out.jpg"),
            "out.jpg is one file, and a video becomes several: give a folder, or a name in .mp",
        ),
        (("-p", "a", "-o", "clip.mp4"), "clip.mp4 is an input, and would be lost: give another --output"),
    ],
)
def test_a_file_that_cannot_hold_a_video_s_results_is_refused_before_a_model_is_loaded(
    command: Command, pipeline: Any, clip: Path, name: str, arguments: tuple[str, ...], message: str
) -> None:
    answer = command(name, "clip.mp4", *arguments, "--quiet")
    assert (answer.code, pipeline.loaded_with) == (2, {})
    assert answer.err.startswith(f"groundkit: error: {message}")
    assert not list(clip.parent.glob("*.mpg"))


def test_follow_learns_of_an_output_that_cannot_be_written_to_before_the_work(
    command: Command, pipeline: Any, clip: Path
) -> None:
    answer = command("follow", "clip.mp4", "the square", "-o", "a.png/out", "--quiet")
    assert (answer.code, pipeline.loaded_with) == (1, {})
    assert answer.err.startswith("groundkit: error: cannot write a.png/out: ")


def test_the_files_are_those_of_follow(command: Command, clip: Path, tmp_path: Path) -> None:
    records = []
    for name in ("segment", "follow"):
        answer = command(name, "clip.mp4", "the square", "-o", name, "--json", "--quiet")
        (record,) = json.loads(answer.out)
        records.append({key: value for key, value in record.items() if key != "seconds"})
    assert records[0] == records[1]
    assert (records[0]["frames"], records[0]["seen"], records[0]["tracker"]) == (FRAMES, FRAMES, "optical flow")
    written = [
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*"))
        for name in ("segment", "follow")
    ]
    assert written[0] == written[1]
    for path in written[0]:
        if (tmp_path / "follow" / path).is_file():
            assert (tmp_path / "segment" / path).read_bytes() == (tmp_path / "follow" / path).read_bytes()


def test_a_folder_of_pictures_and_videos_gives_all_of_them_and_one_broken_video_stops_none(
    command: Command, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    answer = command("segment", ".", "cup", "-o", "out", "-f", "png", "--json", "--quiet")
    assert answer.code == 1
    records = json.loads(answer.out)
    assert [(record["input"], "error" in record) for record in records] == [
        ("broken.mp4", True),  # found before the model is loaded
        ("a.png", False),
        ("b.png", False),
        ("clip.mp4", False),
    ]
    assert answer.err.startswith("groundkit: error: broken.mp4: ")
    assert len(answer.err.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("a-cup.png", "b-cup.png", "clip", "clip-cup.jsonl", "clip-cup.mp4")
    ]


def test_a_folder_of_numbered_frames_is_a_folder_of_pictures_here_and_a_video_for_follow(
    command: Command, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "frames").mkdir()
    for index, picture in enumerate(frames()[:2]):
        Image.fromarray(picture).save(tmp_path / "frames" / f"{index}.png")
    answer = command("segment", "frames", "cup", "-f", "png", "--quiet")
    assert answer.out.splitlines() == ["groundkit-out/0-cup.png", "groundkit-out/1-cup.png"]
    answer = command("follow", "frames", "cup", "--quiet")
    assert answer.out.splitlines()[0] == "groundkit-out/frames-cup.mp4"


def test_videos_of_one_name_and_phrases_of_one_slug_get_files_of_their_own(
    command: Command, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "clip.mp4").write_bytes(clip.read_bytes())
    answer = command("segment", "clip.mp4", "other/clip.mp4", "-p", "cup", "-p", "cup!", "-o", "out", "--quiet")
    assert answer.code == 0
    files = answer.out.splitlines()
    assert len(files) == len(set(files)) == 12


def test_what_is_found_on_no_frame_is_told_and_fails_when_asked(command: Command, clip: Path) -> None:
    answer = command("segment", "clip.mp4", "nothing", "--fail-on-empty", "-o", "out")
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "groundkit: clip.mp4: 'nothing': nothing found"
    assert command("segment", "clip.mp4", "nothing", "-o", "out").code == 0


def test_a_file_name_for_a_video_s_results_is_refused_before_a_model_is_loaded(
    command: Command, clip: Path, pipeline: Any
) -> None:
    answer = command("segment", "clip.mp4", "cup", "-o", "cup.png")
    assert answer == (2, "", f"groundkit: error: cup.png {SEVERAL}\n")
    assert pipeline.loaded_with == {}


def test_follow_writes_the_key_frame_in_any_format_of_pictures(command: Command, clip: Path, tmp_path: Path) -> None:
    answer = command("follow", "clip.mp4", "cup", "-o", "out", "-f", "heatmap", "-f", "json", "--quiet")
    names = ["clip-cup.mp4", "clip-cup.jsonl", "clip/cup", "clip-cup-heatmap.png", "clip-cup.json"]
    assert (answer.code, answer.out.splitlines()) == (0, [f"out/{name}" for name in names])
    record = json.loads((tmp_path / "out" / "clip-cup.json").read_text())
    assert record["boxes"] == [[8.0, 14.0, 24.0, 30.0]]
    answer = command("follow", "clip.mp4", "cup", "-f", "coco")
    assert (answer.code, answer.err) == (
        2,
        "groundkit: error: coco holds pictures only: choose another format for the key frame\n",
    )
