"""``groundkit follow`` end to end: nano and the weightless tracker on a sample scene that slides through the frame."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from transformers.utils import logging as transformers_logging

from groundkit.cli.main import run
from groundkit.masks.rle import decode
from groundkit.media.videos import read_video
from groundkit.outputs.video.mp4 import write_mp4

SAMPLES = Path(__file__).parents[2] / "samples"
FRAMES = 6


def slid(picture: npt.NDArray[np.uint8], step: int) -> npt.NDArray[np.uint8]:
    motion = np.array([[1, 0, 3 * step], [0, 1, 2 * step]], np.float32)
    size = picture.shape[1], picture.shape[0]
    return np.asarray(cv2.warpAffine(picture, motion, size, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[npt.NDArray[np.bool_]]:
    """``clip.mp4`` in an empty folder; the true masks of its frames."""
    monkeypatch.chdir(tmp_path)
    # As the command does before it imports these libraries, which the tests have done.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    picture = np.asarray(Image.open(SAMPLES / "scene_1.png").convert("RGB"))
    mask = np.asarray(Image.open(SAMPLES / "masks" / "scene_1-the-red-cup.png").convert("L"))
    write_mp4(tmp_path / "clip.mp4", [slid(picture, step) for step in range(FRAMES)], rate=12)
    return [slid(mask, step) > 127 for step in range(FRAMES)]


@pytest.mark.slow
@pytest.mark.parametrize("key_frame", ["first", "middle"])
def test_the_red_cup_is_followed_and_written_as_film_masks_and_lines(
    clip: list[npt.NDArray[np.bool_]], tmp_path: Path, capsys: pytest.CaptureFixture[str], key_frame: str
) -> None:
    assert run(["follow", "clip.mp4", "the red cup", "-o", "out", "--key-frame", key_frame, "--json", "--quiet"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["frames"], record["seen"], record["tracker"]) == (FRAMES, FRAMES, "optical flow")
    assert record["key_frame"] == (0 if key_frame == "first" else FRAMES // 2)
    lines = [json.loads(line) for line in (tmp_path / "out" / "clip-the-red-cup.jsonl").read_text().splitlines()]
    assert [line["seconds"] for line in lines] == pytest.approx([step / 12 for step in range(FRAMES)], abs=1e-3)
    for step, (line, truth) in enumerate(zip(lines, clip, strict=True)):
        mask = decode(line["objects"][0]["rle"])
        assert (mask & truth).sum() / (mask | truth).sum() > 0.5
        written = np.asarray(Image.open(tmp_path / "out" / "clip" / "the-red-cup" / f"{step:05d}.png")) > 127
        np.testing.assert_array_equal(written, mask)
    film = list(read_video(tmp_path / "out" / "clip-the-red-cup.mp4").frames())
    assert len(film) == FRAMES


@pytest.mark.slow
def test_the_objects_of_several_phrases_are_numbered_in_one_picture_a_frame(
    clip: list[npt.NDArray[np.bool_]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["-o", "out", "--quiet", "--indexed", "--stride", "2", "--max-frames", "2"]
    assert run(["follow", "clip.mp4", "-p", "...", "-p", "the red cup", *options]) == 1  # the first names nothing
    assert "out/clip" in capsys.readouterr().out.splitlines()
    assert sorted(path.name for path in (tmp_path / "out" / "clip").glob("*.png")) == ["00000.png", "00002.png"]
    for step in (0, 2):
        picture = Image.open(tmp_path / "out" / "clip" / f"{step:05d}.png")
        assert (picture.mode, picture.getpalette()[6:9]) == ("P", [0, 128, 0])
        mask = np.asarray(Image.open(tmp_path / "out" / "clip" / "the-red-cup" / f"{step:05d}.png")) > 0
        np.testing.assert_array_equal(np.asarray(picture), 2 * mask)


@pytest.mark.slow
def test_a_broken_video_leaves_the_others_alone_and_the_exit_code_says_so(
    clip: list[npt.NDArray[np.bool_]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert run(["follow", "broken.mp4", "clip.mp4", "the red cup", "-o", "out", "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("groundkit: error: broken.mp4")
    assert len(err.splitlines()) == 1
    assert "out/clip-the-red-cup.mp4" in out.splitlines()


def test_a_picture_is_refused_with_the_command_that_takes_it(
    clip: list[npt.NDArray[np.bool_]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["follow", str(SAMPLES / "scene_1.png"), "the red cup", "--quiet"]) == 1
    assert "this is a picture, which groundkit segment takes" in capsys.readouterr().err
