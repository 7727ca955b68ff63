"""Phrases followed through videos: a stand-in that finds what is red, and the weightless tracker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.errors import InputError, PhraseError
from groundkit.masks.evidence import Evidence
from groundkit.pipelines import video as refam_video
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video import VideoPipeline, read_config
from groundkit.results import Failure, Grounding
from groundkit.tracking.base import Mask, Pixels, Tracked

MakeGrounding = Callable[..., Grounding]


@dataclass(frozen=True)
class StillFrame:
    index: int
    image: Pixels

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.index, 25)

    @property
    def name(self) -> str:
        return f"{self.index:05d}"


def clip(*places: tuple[int, int] | None) -> Callable[[], Iterator[StillFrame]]:
    """A red square at each place, one a frame; None for a frame without it."""
    frames = []
    for index, place in enumerate(places):
        image = np.full((60, 80, 3), 90, np.uint8)
        if place:
            image[place[1] : place[1] + 12, place[0] : place[0] + 12] = (220, 10, 10)
        frames.append(StillFrame(index, image))
    return lambda: iter(frames)


def red(image: Pixels) -> Mask:
    return np.asarray(image[..., 0] > 200)


class FindsRed(Pipeline):
    name, model = "refam", "fake"

    def __init__(self, make: MakeGrounding) -> None:
        self.make, self.grounded = make, 0

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        self.grounded += 1
        for phrase in phrases:
            if phrase == "...":
                yield Failure(phrase, PhraseError("the phrase has no word"))
                continue
            rows, columns = np.nonzero(red(image))
            boxes = [(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)] if len(rows) else []
            yield self.make(*boxes, image=image, phrase=phrase)


class KeepsColour:
    """Follows the red pixels within ten of where they were; its scores can be written by hand."""

    name = "colour"

    def __init__(self, scores: dict[int, float] | None = None) -> None:
        self.scores, self.started = scores or {}, 0

    def start(self, image: Pixels, mask: Mask) -> KeepsColour.Path:
        self.started += 1
        return self.Path(mask)

    class Path:
        def __init__(self, mask: Mask) -> None:
            self.mask = mask

        def follow(self, image: Pixels) -> Tracked:
            near = np.zeros_like(self.mask)
            if self.mask.any():
                rows, columns = np.nonzero(self.mask)
                near[max(0, rows.min() - 10) : rows.max() + 10, max(0, columns.min() - 10) : columns.max() + 10] = True
            mask = red(image) & near
            self.mask = mask if mask.any() else self.mask
            return Tracked(mask, 0.9 if mask.any() else 0.0)


def truth(frames: Callable[[], Iterator[StillFrame]]) -> list[Mask]:
    return [red(frame.image) for frame in frames()]


@pytest.mark.parametrize("key_frame", ["first", "middle", "evidence"])
def test_the_object_is_followed_both_ways_from_the_key_frame(make_grounding: MakeGrounding, key_frame: str) -> None:
    frames = clip(*[(5 + 4 * i, 20 + i) for i in range(12)])
    found = VideoPipeline(FindsRed(make_grounding), KeepsColour(), read_config({"key_frame": key_frame})).ground(
        frames, "the red square"
    )
    assert found.key_frame == {"first": 0, "middle": 6}.get(key_frame, found.key_frame)
    assert [record.index for record in found.frames] == list(range(12))
    for record, mask in zip(found.frames, truth(frames), strict=True):
        np.testing.assert_array_equal(record.mask, mask)
    assert [record.grounded for record in found.frames].count(True) == 1
    assert found.frames[3].seconds == Fraction(3, 25)


def test_the_key_frame_is_where_evidence_times_the_segmenter_s_score_is_highest(make_grounding: MakeGrounding) -> None:
    judged = {0: (0.9, 0.3), 1: (0.6, 0.8), 2: (0.3, 0.9)}  # evidence and score of each frame: 0.27, 0.48, 0.27

    class Judges(FindsRed):
        def outcomes(
            self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
        ) -> Iterator[Grounding | Failure]:
            evidence, score = judged[self.grounded]
            for grounding in super().outcomes(image, phrases, seed=seed):
                assert isinstance(grounding, Grounding)
                yield replace(
                    grounding,
                    scores=np.array([score], np.float32),
                    evidence=Evidence(*[1.0, evidence**2, 1.0]),  # its score is the root of the focus
                )

    config = read_config({"key_frame": "evidence", "candidate_frames": 3})
    found = VideoPipeline(Judges(make_grounding), KeepsColour(), config).ground(
        clip((10, 20), (20, 20), (30, 20)), "the red square"
    )
    assert found.key_frame == 1


def test_an_object_that_leaves_and_comes_back_elsewhere_is_found_again(make_grounding: MakeGrounding) -> None:
    frames = clip(*[(5, 20)] * 3, *[None] * 6, *[(60, 40)] * 8)
    pipeline, config = FindsRed(make_grounding), read_config({"reground_lost": True})
    found = VideoPipeline(pipeline, KeepsColour(), config).ground(frames, "the red square")
    masks = [record.mask for record in found.frames]
    assert not any(mask.any() for mask in masks[3:9])
    for mask, expected in list(zip(masks, truth(frames), strict=True))[9 + config.lost_interval :]:
        np.testing.assert_array_equal(mask, expected)
    assert pipeline.grounded < len(masks)


def test_a_lost_object_is_left_to_the_tracker_unless_asked_for(make_grounding: MakeGrounding) -> None:
    frames = clip(*[(5, 20)] * 3, *[(60, 40)] * 12)
    pipeline = FindsRed(make_grounding)
    found = VideoPipeline(pipeline, KeepsColour()).ground(frames, "the red square")
    assert pipeline.grounded == 1
    assert not any(record.mask.any() for record in found.frames[3:])


def test_an_object_that_comes_late_is_found(make_grounding: MakeGrounding) -> None:
    frames = clip(*[None] * 5, *[(30, 30)] * 10)
    found = VideoPipeline(FindsRed(make_grounding), KeepsColour()).ground(frames, "the red square")
    np.testing.assert_array_equal(found.frames[-1].mask, truth(frames)[-1])
    assert not found.frames[0].mask.any()


def test_grounding_every_n_frames_refreshes_the_mask_of_the_same_object(make_grounding: MakeGrounding) -> None:
    frames = clip(*[(5 + 3 * i, 20) for i in range(13)])
    tracker = KeepsColour()
    found = VideoPipeline(FindsRed(make_grounding), tracker, read_config({"ground_every": 4})).ground(frames, "red")
    assert [record.index for record in found.frames if record.grounded] == [0, 4, 8, 12]


def test_a_sure_tracker_is_not_led_to_another_object_of_the_same_name(make_grounding: MakeGrounding) -> None:
    class Elsewhere(FindsRed):
        def outcomes(self, image: Pixels, phrases: Sequence[str], *, seed: int = 0) -> Iterator[Grounding | Failure]:
            self.grounded += 1
            place = (5, 20, 17, 32) if self.grounded == 1 else (60, 40, 72, 52)
            yield self.make(place, image=image, phrase=phrases[0])

    frames = clip(*[(5, 20)] * 9)
    found = VideoPipeline(Elsewhere(make_grounding), KeepsColour(), read_config({"ground_every": 3})).ground(
        frames, "x"
    )
    for record, mask in zip(found.frames, truth(frames), strict=True):
        np.testing.assert_array_equal(record.mask, mask)


def test_going_backwards_holds_a_chunk_of_frames_and_gives_each_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refam_video, "_CHUNK", 0)
    monkeypatch.setattr(refam_video, "_FEWEST", 4)
    frames = clip(*[None] * 11)
    assert [frame.index for frame in refam_video._backwards(frames, list(frames())[10])] == list(range(9, -1, -1))


@pytest.mark.parametrize("fewest", [2, 64])
def test_frames_that_were_passed_on_the_way_to_the_key_frame_are_those_that_are_read_again(
    make_grounding: MakeGrounding, monkeypatch: pytest.MonkeyPatch, fewest: int
) -> None:
    monkeypatch.setattr(refam_video, "_CHUNK", 0)
    monkeypatch.setattr(refam_video, "_FEWEST", fewest)
    frames = clip(*[(5 + 4 * i, 20 + i) for i in range(13)])
    for count in (13, None, 40):  # as the file says, not known, more than there are
        found = VideoPipeline(FindsRed(make_grounding), KeepsColour(), read_config({"key_frame": "middle"})).ground(
            frames, "the red square", count=count
        )
        assert found.key_frame == (12 if count == 40 else 6)
        for record, mask in zip(found.frames, truth(frames), strict=True):
            np.testing.assert_array_equal(record.mask, mask)


def test_a_video_without_frames_and_a_phrase_without_words_are_refused(make_grounding: MakeGrounding) -> None:
    pipeline = VideoPipeline(FindsRed(make_grounding), KeepsColour())
    with pytest.raises(InputError, match="no frame"):
        pipeline.ground(clip(), "the red square")
    with pytest.raises(PhraseError):
        pipeline.ground(clip((5, 5)), "...")
