"""A phrase and a video: the phrase is grounded on key frames, and a tracker carries the mask from there, both ways.

RefAM with a video diffusion transformer looks at many frames at once. Any pipeline for
pictures does as well, VL-SAM and several together among them: it grounds the phrase on single frames, and the best of
frames sampled evenly can be the key frame, as DecAF (arXiv 2510.19592) draws its points from sampled frames.
On the way the phrase is grounded again as long as it has found nothing, so that an object that comes late is found; if
asked to, also every so often, and, with ``reground_lost``, where the tracker has lost its object.

A video whose key frame is its first is decoded once. With another one it is decoded up to three times: to find the key
frame, backwards from it (not where all frames before it fit into memory and were passed on the way there), and forwards
over all frames.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from groundkit import clock
from groundkit.errors import InputError
from groundkit.masks.geometry import mask_iou
from groundkit.masks.rle import encode
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video_config import VideoConfig as VideoConfig
from groundkit.pipelines.video_config import read_config as read_config
from groundkit.results import FrameMask as FrameMask
from groundkit.results import Grounding
from groundkit.results import VideoGrounding as VideoGrounding
from groundkit.tracking.base import Mask, Track, Tracked, Tracker

KeySlice = Literal["first", "middle", "strongest"]

_CHUNK = 2**28  # bytes of frames in memory while time runs backwards, but no fewer than
_FEWEST = 64  # frames


class AnyFrame(Protocol):
    """A frame of :class:`groundkit.media.videos.Video`."""

    @property
    def index(self) -> int: ...
    @property
    def seconds(self) -> Fraction: ...
    @property
    def name(self) -> str: ...
    @property
    def image(self) -> npt.NDArray[np.uint8]: ...


Frames = Callable[[], Iterator[AnyFrame]]
"""Starts reading the video from its first frame."""


@runtime_checkable
class ClipPipeline(Protocol):
    """A pipeline that looks at many frames at once: see :class:`groundkit.pipelines.refam.RefAM`."""

    def places(self, count: int) -> list[int]: ...

    def ground_clip(
        self, frames: Sequence[npt.NDArray[np.uint8]], text: str, *, key: KeySlice = "strongest", seed: int = 0
    ) -> tuple[int, Grounding]: ...


class VideoPipeline:
    """A pipeline for pictures or clips, a tracker and a configuration."""

    def __init__(self, pipeline: Pipeline, tracker: Tracker, config: VideoConfig | None = None) -> None:
        self.pipeline = pipeline
        self.tracker = tracker
        self.config = config or VideoConfig()

    def ground(
        self,
        frames: Frames,
        phrase: str,
        *,
        seed: int = 0,
        count: int | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> VideoGrounding:
        """Ground one phrase in a video; see :class:`Following`, which takes the same arguments.

        Raises:
            InputError: a video without frames, or a phrase with nothing to look for.
        """
        following = self.follow(frames, phrase, seed=seed, count=count, advance=advance)
        for _ in following:
            pass
        return following.found()

    def follow(
        self,
        frames: Frames,
        phrase: str,
        *,
        seed: int = 0,
        count: int | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Following:
        """Find the key frame, and give what goes through the frames; see :class:`Following`."""
        return Following(self, frames, phrase, seed=seed, count=count, advance=advance)


class Following:
    """One phrase on its way through a video: the key frame is known, and all frames come with masks in order of time.

    No more than ``_CHUNK`` bytes or ``_FEWEST`` frames are in memory at a time.

    Args:
        pipeline: what grounds and follows.
        frames: starts reading the video; called once for each way of time, and more often for long ones.
        phrase: what to look for.
        seed: of the pipeline's noise.
        count: how many frames there are, as far as the file says: where it does not and the key frame depends on it,
            they are counted.
        advance: told the number of frames done, for a progress bar.

    Attributes:
        key_frame: index of the key frame.
        key_place: its place among the frames that are given, from 0.
        key: what was found there.

    Raises:
        InputError: a video without frames, or a phrase with nothing to look for.
    """

    def __init__(
        self,
        pipeline: VideoPipeline,
        frames: Frames,
        phrase: str,
        *,
        seed: int,
        count: int | None,
        advance: Callable[[int], None],
    ) -> None:
        self._pipeline = pipeline
        self._frames = frames
        self._phrase = phrase
        self._seed = seed
        self._advance = advance
        self._spent = 0.0  # seconds in here, and not in what is done with the frames
        self._masks: list[FrameMask] = []
        started = time.perf_counter()
        self._ahead: Iterator[AnyFrame] | None = None  # the frames behind the first, where that is the key frame
        self._open = ExitStack()  # closes what is read
        self._before: deque[AnyFrame] = deque()  # the last frames before the key frame, as far as they were passed
        with clock.part("ours"):
            self.key_place, self._key, self.key = self._find_key(count)
        self.key_frame = self._key.index
        self._spent += time.perf_counter() - started

    def __iter__(self) -> Iterator[tuple[AnyFrame, FrameMask]]:
        """Each frame with its mask, in order of time. To be gone through once.

        Raises:
            InputError: the video changed on the way, or cannot be read any more.
        """
        with self._open, closing(self._walk()) as steps:
            while True:
                started = time.perf_counter()
                with clock.part("ours"):
                    step = next(steps, None)
                self._spent += time.perf_counter() - started
                if step is None:
                    return
                self._masks.append(step[1])
                yield step

    def found(self) -> VideoGrounding:
        """What was found on all frames that were gone through."""
        return VideoGrounding(
            phrase=self._phrase,
            frames=tuple(self._masks),
            key_frame=self.key_frame,
            key=self.key,
            pipeline=self._pipeline.pipeline.name,
            model=self._pipeline.pipeline.model,
            tracker=self._pipeline.tracker.name,
            seconds=self._spent,
        )

    def _walk(self) -> Generator[tuple[AnyFrame, FrameMask]]:
        key = self._key
        at_key = _mask_of(key, self.key.mask, _score(self.key), grounded=True)
        self._advance(1)
        if self._ahead is not None:
            yield key, at_key
            forwards = self._ahead
        else:
            before: dict[int, FrameMask] = {}
            for _, found in self._track(_backwards(self._frames, key, self._before)):
                before[found.index] = found
                self._advance(1)
            forwards = self._open.enter_context(_reading(self._frames))
            for frame in forwards:
                found = at_key if frame.index == key.index else before.get(frame.index, at_key)
                if frame.index > key.index or found.index != frame.index or _size_of(frame) != found.rle["size"]:
                    raise InputError("the video changed while it was followed; run it again")
                yield frame, found
                if frame.index == key.index:
                    break
            else:
                raise InputError("the video changed while it was followed; run it again")
        for frame, found in self._track(forwards):
            self._advance(1)
            yield frame, found

    def _find_key(self, count: int | None) -> tuple[int, AnyFrame, Grounding]:
        """Place and picture of the frame to begin with, and what was found there."""
        pipeline, rule = self._pipeline.pipeline, self._pipeline.config.key_frame
        if pipeline.reads_clips and isinstance(pipeline, ClipPipeline):
            return self._find_in_clip(pipeline, count)
        places = PLACES[rule](lambda: self._counted(count), self._pipeline.config)
        best: tuple[int, AnyFrame, Grounding] | None = None
        last: tuple[int, AnyFrame] | None = None
        with ExitStack() as stack:
            frames = stack.enter_context(_reading(self._frames))
            for place, frame in enumerate(frames):
                last = place, frame
                if len(places) == 1 and place < places[0]:  # it is passed on the way there, and needed on the way back
                    self._before.append(frame)
                    if len(self._before) > _together(frame):
                        self._before.popleft()
                if place in places:
                    grounding = self._ground(frame)
                    if best is None or _trust(grounding) > _trust(best[2]):
                        best = place, frame, grounding
                if place == places[-1]:
                    break
            if places == [0]:
                self._ahead, self._open = frames, stack.pop_all()
        if last is None:
            raise InputError("the video has no frame")
        return best or (*last, self._ground(last[1]))  # a damaged file, which says that it has more frames

    def _find_in_clip(self, pipeline: ClipPipeline, count: int | None) -> tuple[int, AnyFrame, Grounding]:
        """The same from a clip of frames sampled evenly; all of the clip is in memory at once."""
        places, clip = self._sampled(pipeline, self._counted(count))
        if len(clip) < len(places):  # a damaged file, which says that it has more frames
            places, clip = self._sampled(pipeline, self._counted(None))
        key = KEY_SLICES.get(self._pipeline.config.key_frame, "strongest")
        images = [frame.image for frame in clip]
        chosen, grounding = pipeline.ground_clip(images, self._phrase, key=key, seed=self._seed)
        return places[chosen], clip[chosen], grounding

    def _sampled(self, pipeline: ClipPipeline, count: int) -> tuple[list[int], list[AnyFrame]]:
        places = sorted({*pipeline.places(count)})
        with _reading(self._frames) as frames:
            return places, [frame for place, frame in enumerate(frames) if place in places]

    def _counted(self, count: int | None) -> int:
        if count is None:
            with _reading(self._frames) as frames:
                count = sum(1 for _ in frames)
        if not count:
            raise InputError("the video has no frame")
        return count

    def _ground(self, frame: AnyFrame) -> Grounding:
        (grounding,) = self._pipeline.pipeline.ground(frame.image, [self._phrase], seed=self._seed)
        return grounding

    def _track(self, way: Iterator[AnyFrame]) -> Iterator[tuple[AnyFrame, FrameMask]]:
        """Track frame by frame; ground again where it is time to, or where nothing sure is tracked."""
        config, tracker, key = self._pipeline.config, self._pipeline.tracker, self.key.mask
        track: Track | None = tracker.start(self._key.image, key) if key.any() else None
        since = 0
        for frame in way:
            since += 1
            with clock.part("tracker"):
                nothing = Tracked(np.zeros(frame.image.shape[:2], np.bool_), 0.0)
                tracked = track.follow(frame.image) if track else nothing
            unsure = tracked.score < config.min_tracking_score or not tracked.mask.any()
            due = config.ground_every and since >= config.ground_every
            sought = track is None or (unsure and config.reground_lost)
            if due or (sought and since >= config.lost_interval):
                since = 0
                fresh = self._ground(frame)
                chosen = self._merge(tracked, fresh, unsure=unsure)
                if chosen is not None:
                    track = tracker.start(frame.image, chosen)
                    yield frame, _mask_of(frame, chosen, _score(fresh), grounded=True)
                    continue
            yield frame, _mask_of(frame, tracked.mask, tracked.score, grounded=False)

    def _merge(self, tracked: Tracked, fresh: Grounding, *, unsure: bool) -> Mask | None:
        """The mask to go on with, or None to keep tracking.

        A new mask that overlaps the tracked one is the same object, seen better. One that does not is taken only
        where the tracker has lost its object: a sure tracker is not led to another thing of the same name.
        """
        mask = fresh.mask
        if not mask.any():
            return None
        same = mask_iou(mask, tracked.mask) >= self._pipeline.config.min_track_iou
        return mask if same or unsure else None


Count = Callable[[], int]


def first(count: Count, config: VideoConfig) -> list[int]:
    """The first frame."""
    return [0]


def middle(count: Count, config: VideoConfig) -> list[int]:
    """The frame in the middle."""
    return [count() // 2]


def spread(count: Count, config: VideoConfig) -> list[int]:
    """Frames at even distances, the first and the last among them, as many as ``candidates`` says."""
    frames = count()
    return sorted({*np.linspace(0, frames - 1, min(config.candidate_frames, frames)).astype(int).tolist()})


PLACES: Mapping[str, Callable[[Count, VideoConfig], list[int]]] = {
    "auto": first,
    "first": first,
    "middle": middle,
    "evidence": spread,
}
"""By ``key_frame``, the places of the frames among which the one with the highest evidence x score is the key frame."""

KEY_SLICES: Mapping[str, KeySlice] = {"first": "first", "middle": "middle"}
"""By ``key_frame``, the slice of a clip that is the key frame; that of the strongest attention for any other."""


@contextmanager
def _reading(frames: Frames) -> Iterator[Iterator[AnyFrame]]:
    """Start reading, and close the file at the end of the ``with`` block, however it ends."""
    reading = frames()
    try:
        yield reading
    finally:
        if isinstance(reading, Generator):
            reading.close()


def _together(frame: AnyFrame) -> int:
    """How many frames may be in memory."""
    return max(_FEWEST, _CHUNK // frame.image.nbytes)


def _backwards(frames: Frames, key: AnyFrame, kept: deque[AnyFrame] | None = None) -> Iterator[AnyFrame]:
    """The frames before ``key``, last first, a chunk of them at a time: a video can only be read forwards.

    ``kept`` are the last of them, where they are in memory; they are taken out.
    """
    stop, together = key.index, _together(key)
    while kept:
        frame = kept.pop()
        if frame.index < key.index:
            stop = frame.index
            yield frame
    while stop > 0:
        start = max(0, stop - together)
        chunk: list[AnyFrame] = []
        with _reading(frames) as forwards:
            for frame in forwards:
                if frame.index >= stop:
                    break
                if frame.index >= start:
                    chunk.append(frame)
        yield from reversed(chunk)
        stop = start


def _mask_of(frame: AnyFrame, mask: Mask, score: float, *, grounded: bool) -> FrameMask:
    return FrameMask(
        index=frame.index, seconds=frame.seconds, name=frame.name, rle=encode(mask), score=score, grounded=grounded
    )


def _size_of(frame: AnyFrame) -> list[int]:
    return list(frame.image.shape[:2])


def _score(grounding: Grounding) -> float:
    return float(grounding.scores.max()) if len(grounding.scores) else 0.0


def _trust(grounding: Grounding) -> float:
    """The evidence for the object times the segmenter's score."""
    return _score(grounding) * (grounding.evidence.score if grounding.evidence else 1.0)
