"""A video followed from file to files, by a pipeline that is no more than a rule."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from groundkit.errors import InputError
from groundkit.masks.rle import encode
from groundkit.media.videos import read_video
from groundkit.outputs.video.mp4 import open_mp4, write_mp4
from groundkit.pipelines.video import FrameMask, Frames, VideoGrounding
from groundkit.run.follow import follow_video

PICTURES = [np.full((32, 48, 3), level, np.uint8) for level in (0, 80, 160, 240)]


class Everything:
    """Finds the whole picture on every frame, and does something else meanwhile."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile

    def ground(self, frames: Frames, phrase: str, **_: object) -> VideoGrounding:
        found = tuple(
            FrameMask(frame.index, frame.seconds, frame.name, encode(frame.image[..., 0] >= 0), 0.9, grounded=True)
            for frame in frames()
        )
        self.meanwhile()
        return VideoGrounding(
            phrase,
            found,
            0,
            SimpleNamespace(segmenter="", device="", dtype="", settings={}, evidence=None, scores=np.array([0.9])),
            "everything",
            "none",
            "none",
            0.0,
        )


@pytest.mark.parametrize("others", [PICTURES[:3], [*PICTURES, *PICTURES], [each[:24] for each in PICTURES]])
def test_a_video_that_changes_while_it_is_followed_is_one_line_and_leaves_nothing(tmp_path: Path, others: list) -> None:
    path = write_mp4(tmp_path / "a.mp4", PICTURES, rate=10)
    pipeline = Everything(lambda: write_mp4(path, others, rate=10))
    with pytest.raises(InputError, match=r"a\.mp4: the video changed while it was followed; run it again$"):
        follow_video(pipeline, read_video(path), "all", tmp_path / "out")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_the_film_has_the_pixels_of_its_source(tmp_path: Path) -> None:
    with open_mp4(tmp_path / "a.mp4") as film:
        for index, picture in enumerate(PICTURES):
            film.add(picture, index / 10, pixel_aspect=Fraction(16, 15))
    follow_video(Everything(), read_video(tmp_path / "a.mp4"), "all", tmp_path / "out")
    (first, *_) = read_video(tmp_path / "out" / "a-all.mp4").frames()
    assert (first.pixel_aspect, first.image.shape) == (Fraction(16, 15), (32, 48, 3))


def test_what_a_damaged_file_still_holds_is_followed_and_told(tmp_path: Path) -> None:
    pictures = [np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8) for index in range(12)]
    path = write_mp4(tmp_path / "a.mp4", pictures, rate=10)
    path.write_bytes(path.read_bytes()[:-9000])
    video = read_video(path)
    with pytest.warns(UserWarning, match=r"a\.mp4: the video is damaged or incomplete .* it is read up to") as told:
        record, files, _ = follow_video(Everything(), video, "all", tmp_path / "out")
    assert len(told) == 1
    assert 4 < record["frames"] < 12
    assert len(list(read_video(files[0]).frames())) == record["frames"]
