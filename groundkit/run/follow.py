"""A phrase followed through a video, from file to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from groundkit import clock
from groundkit.errors import GroundkitError, InputError
from groundkit.media.ahead import behind, read_ahead
from groundkit.media.videos import Frame, Video
from groundkit.outputs.video.files import open_video_files
from groundkit.outputs.video.folders import IndexedFolder
from groundkit.pipelines.video import VideoPipeline
from groundkit.report.page import video_entry
from groundkit.report.video import Strip
from groundkit.results import FrameMask, VideoGrounding
from groundkit.run.fingerprint import stamp_of


def follow_video(
    pipeline: VideoPipeline,
    video: Video,
    phrase: str,
    output: Path,
    *,
    seed: int = 0,
    stride: int = 1,
    max_frames: int | None = None,
    expression: str | None = None,
    advance: Callable[[int], None] = lambda _: None,
    report: bool = False,
) -> tuple[VideoGrounding, list[Path], str]:
    """Ground a phrase in a video and write what was found.

    The files are those of :func:`~groundkit.outputs.video.files.open_video_files`, and are drawn and written while the
    frames go by, in a thread behind them.

    Args:
        stride, max_frames: which frames are read, as in ``Video.frames``.
        expression: the phrase in file names; its slug by default.
        report: whether an entry for a report is made.

    Returns:
        What was found, the files and the folder that were written, and the entry for a report or "".

    Raises:
        InputError: a video or phrase that cannot be used, or a place that cannot be written to.
    """

    def frames() -> Iterator[Frame]:
        return read_ahead(video.frames(stride, max_frames))

    def refuse_changed() -> None:
        if stamp_of(video.path) != before:
            raise InputError(f"{video.path}: the video changed while it was followed; run it again")

    before, count = stamp_of(video.path), video.count(stride, max_frames)
    following = pipeline.follow(frames, phrase, seed=seed, count=count, advance=advance)
    strip = Strip(count, following.key_place, following.key) if report else None
    with open_video_files(output, video.name, phrase, expression=expression) as files:

        @clock.timed("files")
        def write(step: tuple[Frame, FrameMask]) -> None:
            files.add(*step)
            if strip is not None:
                strip.add(*step)

        try:
            with behind(write) as give:
                for frame, found in following:
                    assert isinstance(frame, Frame)
                    with clock.part("files"):
                        give((frame, found))
        except GroundkitError:
            refuse_changed()
            raise
        refuse_changed()
    found_all = following.found()
    return found_all, files.paths, video_entry(str(video.path), phrase, found_all, frames, strip) if report else ""


def write_indexed(output: Path, stem: str, masks: Mapping[int, Path]) -> Path:
    """Write ``<output>/<stem>/<frame>.png`` with DAVIS's palette, and return the folder.

    Args:
        output: the folder for the results.
        stem: what the video is called.
        masks: folders of one mask per frame, by the number of their object. Where two overlap, the earlier is seen.

    Raises:
        InputError: when the place cannot be written to.
    """
    with IndexedFolder(output, stem) as folder:
        for first in sorted(next(iter(masks.values())).glob("*.png")):
            frames = [np.asarray(Image.open(each / first.name)) > 0 for each in masks.values()]
            folder.add(first.stem, np.stack(frames), list(masks))
    return folder.folder
