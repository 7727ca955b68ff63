"""A video followed from file to files, by a pipeline that is no more than a rule."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from threading import Event
from typing import Any

import av
import numpy as np
import pytest

from groundkit.errors import InputError
from groundkit.media.videos import Frame, Video, read_video
from groundkit.outputs.video.folders import MaskFolder
from groundkit.outputs.video.mp4 import open_mp4, write_mp4
from groundkit.outputs.video.overlay import open_overlay
from groundkit.outputs.video.run_lengths import open_rle_lines
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video import VideoPipeline, read_config
from groundkit.results import Grounding
from groundkit.run import follow
from groundkit.run.follow import follow_video
from groundkit.tracking.base import Tracked

PICTURES = [np.full((32, 48, 3), level, np.uint8) for level in (0, 80, 160, 240)]


class Bright(Pipeline):
    """Finds the whole picture, and does something else the first time it is asked."""

    name, model, segmenter = "bright", "none", None

    def __init__(
        self, make_grounding: Callable[..., Grounding], meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        self.make_grounding = make_grounding
        self.meanwhile = meanwhile

    def outcomes(self, image: np.ndarray, phrases: list[str], *, seed: int = 0) -> Iterator[Grounding]:
        self.meanwhile()
        self.meanwhile = lambda: None
        for phrase in phrases:
            yield self.make_grounding((0, 0, image.shape[1], image.shape[0]), image=image, phrase=phrase)


class Everywhere:
    """Tracks the whole picture."""

    name = "everywhere"

    def start(self, image: np.ndarray, mask: np.ndarray) -> Everywhere:
        return self

    def follow(self, image: np.ndarray) -> Tracked:
        return Tracked(np.ones(image.shape[:2], np.bool_), 0.9)


@pytest.fixture
def everything(make_grounding: Callable[..., Grounding]) -> Callable[..., VideoPipeline]:
    """A pipeline with these settings."""

    def make(meanwhile: Callable[[], object] = lambda: None, **settings: object) -> VideoPipeline:
        return VideoPipeline(Bright(make_grounding, meanwhile), Everywhere(), read_config(settings))

    return make


@pytest.mark.parametrize("key_frame", ["first", "middle", "evidence"])
@pytest.mark.parametrize("others", [PICTURES[:2], [*PICTURES, *PICTURES], [each[:24] for each in PICTURES]])
def test_a_video_that_changes_while_it_is_followed_is_one_line_and_leaves_nothing(
    tmp_path: Path, everything: Callable[..., VideoPipeline], others: list, key_frame: str
) -> None:
    path = write_mp4(tmp_path / "a.mp4", PICTURES, rate=10)
    pipeline = everything(lambda: write_mp4(path, others, rate=10), key_frame=key_frame)
    with pytest.raises(InputError, match=r"a\.mp4: the video changed while it was followed; run it again$"):
        follow_video(pipeline, read_video(path), "all", tmp_path / "out")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("key_frame", "decoded"),
    [
        ("auto", [6]),  # once, with film, masks, lines and report
        ("first", [6]),
        ("middle", [4, 6]),  # up to the key frame, with the frames for the way backwards, and all
        ("evidence", [6, 6]),  # the key frame is the first of those with the highest evidence
    ],
)
def test_a_video_is_decoded_at_most_once_to_find_the_key_frame_once_backwards_and_once_forwards(
    tmp_path: Path,
    everything: Callable[..., VideoPipeline],
    monkeypatch: pytest.MonkeyPatch,
    key_frame: str,
    decoded: list[int],
    suffix: str,
) -> None:
    path = write_mp4(tmp_path / "a.mp4", [*PICTURES, *PICTURES[:2]], rate=10)
    if suffix == "mkv":  # which does not say how many frames it has
        path = remuxed(path, path.with_suffix(".mkv"))
    assert read_video(path).count() == (6 if suffix == "mp4" else None)
    given: list[int] = []
    original = Video.frames

    def counted(self: Video, *arguments: object) -> Generator[Frame]:
        given.append(0)
        place = len(given) - 1
        for frame in original(self, *arguments):
            given[place] += 1
            yield frame

    monkeypatch.setattr(Video, "frames", counted)
    monkeypatch.setattr(follow, "read_ahead", lambda frames: frames)  # reads up to four more than are asked for
    for report in (False, True):
        given.clear()
        follow_video(everything(key_frame=key_frame), read_video(path), "all", tmp_path / "out", report=report)
        counts = [6] if suffix == "mkv" and key_frame in ("middle", "evidence") else []
        again = [6] if suffix == "mkv" and report else []
        passes = [min(each, 6) for each in given]
        assert passes == [*counts, *decoded, *again]


def remuxed(path: Path, to: Path) -> Path:
    """The same packets in another container."""
    with av.open(str(path)) as source, av.open(str(to), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return to


def test_a_file_that_says_it_has_more_frames_than_it_holds_is_followed_from_its_last(
    tmp_path: Path, everything: Callable[..., VideoPipeline]
) -> None:
    frames = list(read_video(write_mp4(tmp_path / "a.mp4", PICTURES, rate=10)).frames())
    found = everything(key_frame="middle").ground(lambda: iter(frames), "all", count=20)
    assert (found.key_frame, len(found.frames)) == (3, 4)


def test_the_film_has_the_pixels_of_its_source(tmp_path: Path, everything: Callable[..., VideoPipeline]) -> None:
    with open_mp4(tmp_path / "a.mp4") as film:
        for index, picture in enumerate(PICTURES):
            film.add(picture, index / 10, pixel_aspect=Fraction(16, 15))
    follow_video(everything(), read_video(tmp_path / "a.mp4"), "all", tmp_path / "out")
    (first, *_) = read_video(tmp_path / "out" / "a-all.mp4").frames()
    assert (first.pixel_aspect, first.image.shape) == (Fraction(16, 15), (32, 48, 3))


def test_what_a_damaged_file_still_holds_is_followed_and_told(
    tmp_path: Path, everything: Callable[..., VideoPipeline]
) -> None:
    pictures = [np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8) for index in range(12)]
    path = write_mp4(tmp_path / "a.mp4", pictures, rate=10)
    path.write_bytes(path.read_bytes()[:-9000])
    video = read_video(path)
    with pytest.warns(UserWarning, match=r"a\.mp4: the video is damaged or incomplete .* it is read up to") as told:
        found, files, _ = follow_video(everything(), video, "all", tmp_path / "out")
    assert len(told) == 1
    assert 4 < len(found.frames) < 12
    assert len(list(read_video(files[0]).frames())) == len(found.frames)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, everything: Callable[..., VideoPipeline], largest_file: Callable[..., AbstractContextManager[None]]
) -> None:
    pictures = [np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8) for index in range(12)]
    path = write_mp4(tmp_path / "a.mp4", pictures, rate=10)
    with largest_file(5000), pytest.raises(InputError, match=r"cannot write .*a-all\.mp4: "):
        follow_video(everything(), read_video(path), "all", tmp_path / "out")
    assert not (tmp_path / "out" / "a-all.mp4").exists()
    assert not [file for file in tmp_path.rglob("*") if file.name.startswith(".")]


def test_an_interrupt_while_a_frame_is_written_leaves_nothing(
    tmp_path: Path, everything: Callable[..., VideoPipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mp4(tmp_path / "a.mp4", PICTURES, rate=10)
    pipeline, writes, interrupted = everything(), Event(), Event()
    original = MaskFolder.add

    def add(self: MaskFolder, *arguments: Any) -> None:
        writes.set()
        assert interrupted.wait(20)
        original(self, *arguments)

    def interrupt(frames: int) -> None:
        if frames and writes.wait(20):
            interrupted.set()
            raise KeyboardInterrupt

    calls = iter([lambda _: None, interrupt])  # the first frame is given away
    monkeypatch.setattr(MaskFolder, "add", add)
    with pytest.raises(KeyboardInterrupt):
        follow_video(
            pipeline, read_video(path), "all", tmp_path / "out", advance=lambda frames: next(calls, interrupt)(frames)
        )
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_what_is_written_in_a_thread_is_what_is_written_frame_by_frame(
    tmp_path: Path, everything: Callable[..., VideoPipeline]
) -> None:
    pictures = [np.random.default_rng(index).integers(0, 256, (64, 96, 3), np.uint8) for index in range(12)]
    video = read_video(write_mp4(tmp_path / "a.mp4", pictures, rate=10))
    found, (film, lines, folder), _ = follow_video(everything(), video, "all", tmp_path / "out")
    with open_overlay(tmp_path / "b.mp4", "all") as overlay, open_rle_lines(tmp_path / "b.jsonl") as runs:
        for frame, mask in zip(video.frames(), found.frames, strict=True):
            overlay.add(frame, mask.mask[None], np.array([mask.score], np.float32))
            runs.add(frame.name, frame.seconds, mask.mask[None], np.array([mask.score], np.float32))
    assert lines.read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert [path.stem for path in sorted(folder.iterdir())] == [frame.name for frame in found.frames]
    for drawn, expected in zip(read_video(film).frames(), read_video(tmp_path / "b.mp4").frames(), strict=True):
        np.testing.assert_array_equal(drawn.image, expected.image)
        assert drawn.seconds == expected.seconds
