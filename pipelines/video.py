"""A phrase and a video: the phrase is grounded on key frames, and a tracker carries the mask from there, both ways.

RefAM reads a video diffusion transformer (``refam_clip``), which looks at many frames at once. Any pipeline for
pictures does as well, VL-SAM and several together among them: it grounds the phrase on single frames, and the best of
frames sampled evenly can be the key frame, as DecAF (arXiv 2510.19592) draws its points from sampled frames.
On the way the phrase is grounded anew as long as it has found nothing, so that an object that comes late is found; if
asked to, also every so often, and, with ``reground_lost``, where the tracker has lost its object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError, InputError
from groundkit.masks.geometry import mask_iou
from groundkit.masks.rle import encode
from groundkit.pipelines.video_config import VideoConfig as VideoConfig
from groundkit.pipelines.video_config import read_config as read_config
from groundkit.results import FrameMask as FrameMask
from groundkit.results import Grounding
from groundkit.results import VideoGrounding as VideoGrounding
from groundkit.run.phrases import Pipeline, ground_phrases
from groundkit.tracking.base import Mask, Track, Tracked, Tracker

if TYPE_CHECKING:
    from groundkit.pipelines.refam_clip import KeySlice

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
class ClipPipeline(Pipeline, Protocol):
    """A pipeline that looks at many frames at once: see :class:`groundkit.pipelines.refam_clip.RefAMClip`."""

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
        self, frames: Frames, phrase: str, *, seed: int = 0, advance: Callable[[int], None] = lambda _: None
    ) -> VideoGrounding:
        """Ground one phrase in a video. No more than ``_CHUNK`` bytes or ``_FEWEST`` frames are in memory at a time.

        Args:
            frames: starts reading the video; called once for each way of time, and more often for long ones.
            phrase: what to look for.
            seed: of the pipeline's noise.
            advance: told the number of frames done, for a progress bar.

        Raises:
            InputError: a video without a frame, or a phrase with nothing to look for.
        """
        started = time.perf_counter()
        key, grounding = self._key_frame(frames, phrase, seed)
        found = {key.index: _record(key, grounding.mask, _score(grounding), grounded=True)}
        advance(1)
        for way in (_from(frames, key.index + 1), _backwards(frames, key)):
            for record in self._follow(way, key, grounding, phrase, seed):
                found[record.index] = record
                advance(1)
        return VideoGrounding(
            phrase,
            tuple(found[index] for index in sorted(found)),
            key.index,
            grounding,
            self.pipeline.name,
            self.pipeline.model,
            self.tracker.name,
            time.perf_counter() - started,
        )

    def _key_frame(self, frames: Frames, phrase: str, seed: int) -> tuple[AnyFrame, Grounding]:
        """The frame to begin with, and what was found there."""
        if isinstance(self.pipeline, ClipPipeline):
            return self._key_frame_of_clip(self.pipeline, frames, phrase, seed)
        if self.config.key_frame in ("auto", "first"):
            wanted = [0]
        else:
            count = sum(1 for _ in frames())
            spaced = np.linspace(0, max(0, count - 1), min(self.config.candidates, max(1, count))).astype(int)
            wanted = [count // 2] if self.config.key_frame == "middle" else sorted(set(spaced.tolist()))
        best: tuple[AnyFrame, Grounding] | None = None
        for place, frame in enumerate(frames()):
            if place not in wanted:
                continue
            grounding = self._ground(frame, phrase, seed)
            if best is None or _trust(grounding) > _trust(best[1]):
                best = (frame, grounding)
            if place == wanted[-1]:
                break
        if best is None:
            raise InputError("the video has no frame")
        return best

    def _key_frame_of_clip(
        self, pipeline: ClipPipeline, frames: Frames, phrase: str, seed: int
    ) -> tuple[AnyFrame, Grounding]:
        """The same from a clip of frames sampled evenly; all of the clip is in memory at once."""
        count = sum(1 for _ in frames())
        if not count:
            raise InputError("the video has no frame")
        wanted = set(pipeline.places(count))
        clip = [frame for place, frame in enumerate(frames()) if place in wanted]
        keys: dict[str, KeySlice] = {"first": "first", "middle": "middle"}
        key = keys.get(self.config.key_frame, "strongest")
        chosen, grounding = pipeline.ground_clip([frame.image for frame in clip], phrase, key=key, seed=seed)
        return clip[chosen], grounding

    def _ground(self, frame: AnyFrame, phrase: str, seed: int) -> Grounding:
        (outcome,) = ground_phrases(self.pipeline, frame.image, [phrase], seed=seed)
        if isinstance(outcome, GroundkitError):
            raise outcome
        return outcome

    def _follow(
        self, way: Iterator[AnyFrame], key: AnyFrame, grounding: Grounding, phrase: str, seed: int
    ) -> Iterator[FrameMask]:
        """Track frame by frame; ground anew where it is time to, or where nothing sure is tracked."""
        config = self.config
        track: Track | None = self.tracker.start(key.image, grounding.mask) if grounding.mask.any() else None
        since = 0
        for frame in way:
            since += 1
            tracked = track.follow(frame.image) if track else Tracked(np.zeros(frame.image.shape[:2], np.bool_), 0.0)
            unsure = tracked.score < config.least_score or not tracked.mask.any()
            due = config.ground_every and since >= config.ground_every
            sought = track is None or (unsure and config.reground_lost)
            if not (due or (sought and since >= config.patience)):
                yield _record(frame, tracked.mask, tracked.score, grounded=False)
                continue
            since = 0
            fresh = self._ground(frame, phrase, seed)
            chosen = self._merge(tracked, fresh, unsure=unsure)
            if chosen is None:
                yield _record(frame, tracked.mask, tracked.score, grounded=False)
                continue
            track = self.tracker.start(frame.image, chosen)
            yield _record(frame, chosen, _score(fresh), grounded=True)

    def _merge(self, tracked: Tracked, fresh: Grounding, *, unsure: bool) -> Mask | None:
        """The mask to go on with, or None to keep tracking.

        A new mask that overlaps the tracked one is the same object, seen better. One that does not is taken only
        where the tracker has lost its object: a sure tracker is not led to another thing of the same name.
        """
        mask = fresh.mask
        if not mask.any():
            return None
        same = mask_iou(mask, tracked.mask) >= self.config.agreement
        return mask if same or unsure else None


def _from(frames: Frames, start: int) -> Iterator[AnyFrame]:
    return (frame for frame in frames() if frame.index >= start)


def _backwards(frames: Frames, key: AnyFrame) -> Iterator[AnyFrame]:
    """The frames before ``key``, last first, a chunk of them at a time: a video can only be read forwards."""
    stop, together = key.index, max(_FEWEST, _CHUNK // key.image.nbytes)
    while stop > 0:
        start = max(0, stop - together)
        chunk: list[AnyFrame] = []
        for frame in frames():
            if frame.index >= stop:
                break
            if frame.index >= start:
                chunk.append(frame)
        yield from reversed(chunk)
        stop = start


def _record(frame: AnyFrame, mask: Mask, score: float, *, grounded: bool) -> FrameMask:
    return FrameMask(frame.index, frame.seconds, frame.name, encode(mask), score, grounded)


def _score(grounding: Grounding) -> float:
    return float(grounding.scores.max()) if len(grounding.scores) else 0.0


def _trust(grounding: Grounding) -> float:
    """How much speaks for the object being there, times how sure the segmenter is of its outline."""
    return _score(grounding) * (grounding.evidence.score if grounding.evidence else 1.0)
