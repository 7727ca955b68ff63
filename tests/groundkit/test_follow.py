"""``groundkit.follow`` is the video pipeline over files and frames, told of and stopped by its caller."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from files import tree

import groundkit
from groundkit.errors import CancelledError, ConfigError, GroundkitError, ImageError, InputError, PhraseError
from groundkit.media.videos import read_video
from groundkit.outputs.video.mp4 import write_mp4
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video import VideoPipeline
from groundkit.results import Failure, Grounding
from groundkit.run.follow import follow_video
from groundkit.tracking.base import Tracked

CLIP = np.zeros((7, 12, 16, 3), np.uint8)
CLIP[:, 2:6, 3:9] = 200


class Bright(Pipeline):
    """Finds what is bright."""

    name, model = "bright", "none"

    def __init__(self) -> None:
        self.segmenter: Any = None

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        mask = image[..., 0] > 100
        for phrase in phrases:
            yield Grounding(
                image=image,
                phrase=phrase,
                masks=mask[None],
                scores=np.ones(1, np.float32),
                boxes=np.zeros((1, 4), np.float32),
                points=np.zeros((0, 3), np.float32),
                heatmap=mask.astype(np.float32),
                pipeline=self.name,
                model=self.model,
                seconds=0.0,
            )


class Brighter:
    """Tracks what is bright."""

    name = "brighter"

    def start(self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Brighter:
        return self

    def follow(self, image: npt.NDArray[np.uint8]) -> Tracked:
        return Tracked(image[..., 0] > 100, 1.0)


def follow(video: Any, phrases: Any = "cup", **options: Any) -> Any:
    return groundkit.follow(video, phrases, **{"pipeline": Bright(), "tracker": Brighter(), **options})


@pytest.mark.parametrize("video", [CLIP, list(CLIP), tuple(CLIP)])
def test_each_frame_of_arrays_has_the_mask_of_the_object_and_its_time(video: Any) -> None:
    found = follow(video, rate=10)
    np.testing.assert_array_equal([frame.mask for frame in found.frames], CLIP[..., 0] > 100)
    assert [float(frame.seconds) for frame in found.frames] == [index / 10 for index in range(7)]


def test_several_phrases_give_a_list_in_their_order() -> None:
    assert [found.phrase for found in follow(CLIP, ["cup", "bear"])] == ["cup", "bear"]


def test_stride_and_max_frames_keep_the_places_of_frames() -> None:
    found = follow(CLIP, stride=3, max_frames=2, rate=10)
    assert [(frame.index, float(frame.seconds)) for frame in found.frames] == [(0, 0.0), (3, 0.3)]


def test_progress_counts_every_frame_of_every_phrase() -> None:
    told: list[tuple[int, int | None]] = []
    follow(CLIP, ["cup", "bear"], progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 14) for done in range(1, 15)]


@pytest.mark.parametrize("kind", ["event", "function"])
def test_cancel_stops_after_the_frame_that_is_being_worked_on(kind: str) -> None:
    event = threading.Event()
    done: list[int] = []

    def progress(count: int, total: int | None) -> None:
        done.append(count)
        if count == 3:
            event.set()

    with pytest.raises(CancelledError, match="cancelled after 3 of 7 steps"):
        follow(CLIP, progress=progress, cancel=event if kind == "event" else event.is_set)
    assert done == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"video": CLIP[0]}, ImageError),
        ({"video": []}, ImageError),
        ({"video": [CLIP[0], CLIP[0, :5]]}, ImageError),
        ({"video": CLIP.astype(np.float32)}, ImageError),
        ({"video": "no such clip.mp4"}, ImageError),
        ({"video": CLIP, "phrases": 5}, PhraseError),
        ({"video": CLIP, "stride": 0}, ConfigError),
        ({"video": CLIP, "seed": -1}, ConfigError),
        ({"video": CLIP, "config": {"key_frme": "first"}}, ConfigError),
    ],
)
def test_what_is_no_video_phrase_or_setting_is_refused_in_one_line(
    arguments: dict[str, Any], error: type[GroundkitError]
) -> None:
    with pytest.raises(error, match=r"^[^\n]+$"):
        follow(**arguments)


@pytest.mark.parametrize("stride", [1, 3])
def test_what_was_found_is_saved_as_the_command_writes_it(tmp_path: Path, stride: int) -> None:
    write_mp4(tmp_path / "clip.mp4", CLIP, rate=10)
    (tmp_path / "command").mkdir()
    video = read_video(tmp_path / "clip.mp4")
    pipeline = VideoPipeline(Bright(), Brighter())
    _, files, _ = follow_video(pipeline, video, "the cup", tmp_path / "command", stride=stride)
    found = follow(tmp_path / "clip.mp4", "the cup", stride=stride)
    saved = found.save(tmp_path / "saved", tmp_path / "clip.mp4")
    assert [path.relative_to(tmp_path / "saved") for path in saved] == [
        path.relative_to(tmp_path / "command") for path in files
    ]
    assert tree(tmp_path / "saved") == tree(tmp_path / "command")
    assert found.save(tmp_path / "alone.mp4", video) == [tmp_path / "alone.mp4"]
    assert (tmp_path / "alone.mp4").read_bytes() == saved[0].read_bytes()


def test_without_the_video_masks_are_saved_and_a_film_is_refused(tmp_path: Path) -> None:
    found = follow(CLIP, max_frames=2)
    assert [path.name for path in found.save(tmp_path)] == ["video-cup.jsonl", "cup"]
    assert found.save(tmp_path / "film", list(CLIP))[0].name == "video-cup.mp4"
    with pytest.raises(ConfigError, match=r"film\.mp4: a film shows the video, so give it, too"):
        found.save(tmp_path / "film.mp4")


@pytest.mark.parametrize("other", [CLIP[:1], np.zeros((7, 14, 16, 3), np.uint8)])
def test_another_video_than_the_one_followed_is_refused_and_leaves_nothing(
    tmp_path: Path, other: npt.NDArray[np.uint8]
) -> None:
    with pytest.raises(InputError, match="this is not the video that was followed"):
        follow(CLIP).save(tmp_path / "out", other)
    assert not tree(tmp_path)
