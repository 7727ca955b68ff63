"""A phrase followed through a video, from file to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from groundkit import clock
from groundkit.errors import GroundkitError, InputError
from groundkit.media.ahead import read_ahead
from groundkit.media.videos import Frame, Video
from groundkit.outputs.names import slug
from groundkit.outputs.save import names_a_film
from groundkit.outputs.video.folders import IndexedFolder, MaskFolder
from groundkit.outputs.video.overlay import open_overlay
from groundkit.outputs.video.run_lengths import open_rle_lines
from groundkit.pipelines.video import VideoPipeline
from groundkit.report.page import video_entry
from groundkit.report.video import Strip
from groundkit.results import VideoGrounding
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

    In ``output``: ``<video>-<phrase>.mp4``, the video with the mask over it; ``<video>-<phrase>.jsonl``, one line per
    frame with the mask as COCO run-length encoding; ``<video>/<phrase>/<frame>.png``, one mask per frame. Where
    ``output`` is a name in ``.mp4``, the film alone is written there. All is written while the frames go by.

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
    expression = expression or slug(phrase)
    alone = names_a_film(output)
    film = output if alone else output / f"{video.name}-{expression}.mp4"
    lines = output / f"{video.name}-{expression}.jsonl"
    strip = Strip(count, following.key_place, following.key) if report else None
    with ExitStack() as stack:
        overlay = stack.enter_context(open_overlay(film, phrase))
        run_lengths = None if alone else stack.enter_context(open_rle_lines(lines))
        folder = None if alone else stack.enter_context(MaskFolder(output, video.name, expression))
        try:
            for frame, found in following:
                assert isinstance(frame, Frame)
                mask, score = found.mask, np.array([found.score], np.float32)
                with clock.part("files"):
                    overlay.add(frame, mask[None], score)
                    if run_lengths is not None and folder is not None:
                        run_lengths.add(frame.name, frame.seconds, mask[None], score)
                        folder.add(frame.name, mask)
                    if strip is not None:
                        strip.add(frame, found)
        except GroundkitError:
            refuse_changed()
            raise
        refuse_changed()
    files = [film] if alone else [film, lines, output / video.name / expression]
    found_all = following.found()
    return found_all, files, video_entry(str(video.path), phrase, found_all, frames, strip) if report else ""


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
