"""``groundkit.follow``: phrases and a video in, a mask per frame out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError, ImageError
from groundkit.loading import load
from groundkit.media.ahead import read_ahead
from groundkit.media.videos import FOLDER_RATE, Frame, Video, read_video
from groundkit.progress import Cancel, Report, watched
from groundkit.results import VideoGrounding

if TYPE_CHECKING:
    from groundkit.pipelines.base import Pipeline
    from groundkit.tracking.base import Tracker

VideoSource = str | Path | Video | npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]
"""A file, a folder of numbered frames, or frames, each uint8 ``(height, width, 3)`` RGB."""


@overload
def follow(
    video: VideoSource,
    phrases: str,
    *,
    pipeline: Pipeline | str = ...,
    tracker: Tracker | str = ...,
    stride: int = ...,
    max_frames: int | None = ...,
    rate: Fraction | int = ...,
    seed: int = ...,
    config: Mapping[str, object] | None = ...,
    progress: bool | Report = ...,
    cancel: Cancel | None = ...,
) -> VideoGrounding: ...
@overload
def follow(
    video: VideoSource,
    phrases: list[str] | tuple[str, ...],
    *,
    pipeline: Pipeline | str = ...,
    tracker: Tracker | str = ...,
    stride: int = ...,
    max_frames: int | None = ...,
    rate: Fraction | int = ...,
    seed: int = ...,
    config: Mapping[str, object] | None = ...,
    progress: bool | Report = ...,
    cancel: Cancel | None = ...,
) -> list[VideoGrounding]: ...
def follow(
    video: VideoSource,
    phrases: str | list[str] | tuple[str, ...],
    *,
    pipeline: Pipeline | str = "refam",
    tracker: Tracker | str = "flow",
    stride: int = 1,
    max_frames: int | None = None,
    rate: Fraction | int = FOLDER_RATE,
    seed: int = 0,
    config: Mapping[str, object] | None = None,
    progress: bool | Report = False,
    cancel: Cancel | None = None,
) -> VideoGrounding | list[VideoGrounding]:
    """Find what phrases name in a video, and follow it from frame to frame.

    A phrase is grounded on key frames, and a tracker carries the mask from there, forwards and backwards.

    Args:
        video: a file, a folder of numbered frames, an array ``(F, height, width, 3)`` or a list of arrays
            ``(height, width, 3)``, uint8 RGB, all of one size.
        phrases: what to look for; or a list.
        pipeline: what ``groundkit.load`` returned, or a name, which is loaded with its defaults.
        tracker: ``flow`` (optical flow), the hub id or folder of a SAM 2 or EdgeTAM, or a tracker.
        stride: every stride-th frame is read, beginning with the first.
        max_frames: how many frames are read at most.
        rate: frames per second of a folder or of arrays; a file says its own.
        seed: of the pipeline's noise, 0 to 2**62.
        config: settings of the video, such as ``key_frame``; ``groundkit settings video`` lists them.
        progress: told how many frames are done, and of how many where that is known; True draws a bar on stderr.
        cancel: asked after each frame whether to stop.

    Returns:
        One ``VideoGrounding``, or a list of them where ``phrases`` is a list.

    Raises:
        ImageError: a video that cannot be read.
        PhraseError: a phrase with nothing to look for.
        ConfigError: a setting, pipeline, seed, stride or number of frames that does not exist.
        ModelError: a model that cannot be loaded.
        CancelledError: ``cancel`` said so.

    Example:
        >>> import groundkit
        >>> found = groundkit.follow("clip.mp4", "the red cup", max_frames=3)
        >>> found
        <VideoGrounding 'the red cup': 3 frames of 256 x 256 pixels, refam on nano, ...>
        >>> [frame.mask.shape for frame in found.frames]
        [(256, 256), (256, 256), (256, 256)]
    """
    from groundkit.pipelines.base import check_phrases, check_seed
    from groundkit.pipelines.video import VideoPipeline, read_config

    check_seed(seed)
    wanted = check_phrases(phrases)
    settings = read_config(config or {})
    frames, count = _frames(video, Fraction(rate), stride, max_frames)
    grounder = load(pipeline) if isinstance(pipeline, str) else pipeline
    follower = VideoPipeline(grounder, _tracker(tracker, grounder), settings)
    total = None if count is None else count * len(wanted)
    with watched(total, progress, cancel, "frames") as advance:
        found = [follower.ground(frames, phrase, seed=seed, count=count, advance=advance) for phrase in wanted]
    return found[0] if isinstance(phrases, str) else found


def _tracker(tracker: Tracker | str, pipeline: Pipeline) -> Tracker:
    from groundkit.tracking.load import load_tracker

    return load_tracker(tracker, pipeline.segmenter) if isinstance(tracker, str) else tracker


def _frames(
    video: VideoSource, rate: Fraction, stride: int, max_frames: int | None
) -> tuple[Callable[[], Iterator[Frame]], int | None]:
    """What starts reading, and how many frames that gives where it is known."""
    if isinstance(video, (str, Path)):
        video = read_video(video, rate)
    if isinstance(video, Video):
        opened = video
        opened.frames(stride, max_frames)  # refuses what cannot be asked for, and reads nothing
        return (lambda: read_ahead(opened.frames(stride, max_frames))), opened.count(stride, max_frames)
    if stride < 1 or (max_frames is not None and max_frames < 1):
        raise ConfigError(f"stride and max_frames must be 1 or more, got {stride} and {max_frames}")
    images = list(video)[::stride][:max_frames]
    shapes = {getattr(image, "shape", type(image).__name__) for image in images}
    if len(shapes) != 1 or any(image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 for image in images):
        raise ImageError(
            "a video is a path, or frames that are arrays, uint8 (height, width, 3) RGB, all of one size, not "
            f"{sorted(map(str, shapes)) or 'none'}"
        )
    frames = [
        Frame(index, index / rate, f"{index:05d}", image)
        for index, image in zip(range(0, len(images) * stride, stride), images, strict=True)
    ]
    return (lambda: iter(frames)), len(frames)
