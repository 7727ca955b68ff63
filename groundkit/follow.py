"""A phrase followed through a video, from file to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from groundkit.media.videos import Video
from groundkit.outputs.names import slug
from groundkit.outputs.video import MaskFolder, open_overlay, open_rle_lines
from groundkit.pipelines.refam_video import VideoGrounding, VideoPipeline


def follow_video(
    pipeline: VideoPipeline,
    video: Video,
    phrase: str,
    output: Path,
    *,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[dict[str, Any], list[Path]]:
    """Ground a phrase in a video and write what was found.

    In ``output``: ``<video>-<phrase>.mp4``, the video with the mask over it; ``<video>-<phrase>.jsonl``, one line a
    frame with the mask as COCO run-length encoding; ``<video>/<phrase>/<frame>.png``, one mask a frame.

    Returns:
        A JSON-ready record, and the files and the folder that were written.

    Raises:
        InputError: a video or phrase that cannot be used, or a place that cannot be written to.
    """
    found = pipeline.ground(video.frames, phrase, seed=seed, advance=advance)
    expression = slug(phrase)
    film, lines = (output / f"{video.name}-{expression}{ending}" for ending in (".mp4", ".jsonl"))
    with (
        open_overlay(film, phrase) as overlay,
        open_rle_lines(lines) as run_lengths,
        MaskFolder(output, video.name, expression) as folder,
    ):
        seen = 0
        for frame, record in zip(video.frames(), found.frames, strict=True):
            mask, score = record.mask, np.array([record.score], np.float32)
            seen += bool(mask.any())
            overlay.add(frame, mask[None], score)
            run_lengths.add(frame.name, frame.seconds, mask[None], score)
            folder.add(frame.name, mask)
            advance(1)
    return _record(found, video, seen), [film, lines, output / video.name / expression]


def _record(found: VideoGrounding, video: Video, seen: int) -> dict[str, Any]:
    return {
        "input": str(video.path),
        "phrase": found.phrase,
        "pipeline": found.pipeline,
        "model": found.model,
        "tracker": found.tracker,
        "frames": len(found.frames),
        "seen": seen,
        "key_frame": found.key_frame,
        "grounded": [frame.index for frame in found.frames if frame.grounded],
        "seconds": round(found.seconds, 3),
    }
