"""A phrase followed through a video, from file to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groundkit.errors import ConfigError, GroundkitError, InputError
from groundkit.media.ahead import read_ahead
from groundkit.media.inputs import Input, unique_stems
from groundkit.media.videos import Frame, Video, read_video
from groundkit.outputs.atomic import prepare_folder
from groundkit.outputs.names import UniqueNames, shorten, slug
from groundkit.outputs.record import made_with
from groundkit.outputs.save import names_a_file, names_a_film
from groundkit.outputs.video.folders import IndexedFolder, MaskFolder
from groundkit.outputs.video.overlay import open_overlay
from groundkit.outputs.video.run_lengths import open_rle_lines
from groundkit.pipelines.video import VideoPipeline
from groundkit.report.page import video_entry
from groundkit.report.video import Strip
from groundkit.results import VideoGrounding
from groundkit.run.fingerprint import stamp_of
from groundkit.run.phrases import Written, refused

if TYPE_CHECKING:
    from groundkit.report.page import ReportWriter


def check_output(output: Path, inputs: Sequence[Input], phrases: Sequence[str], *, indexed: bool = False) -> None:
    """Raise what a run would find out about its output after the work.

    Args:
        output: a folder, or a name in ``.mp4`` for the film of one video and one phrase.
        inputs, phrases: of the run.
        indexed: whether pictures with numbers are wanted, which lie in a folder.

    Raises:
        ConfigError: for a file that cannot hold the results.
        InputError: when the place cannot be written to.
    """
    if names_a_file(output):
        if not names_a_film(output):
            raise ConfigError(
                f"{output} is one file, and a video becomes several: give a folder, or a name in .mp4 for the film"
            )
        if len(inputs) * len(phrases) > 1:
            raise ConfigError(f"{output} is one film but there are {len(inputs) * len(phrases)} results: give a folder")
        if indexed:
            raise ConfigError(f"{output} is a film, and --indexed writes a folder of pictures: give a folder")
        if any(item.path is not None and item.path.resolve() == output.resolve() for item in inputs):
            raise ConfigError(f"{output} is an input, and would be lost: give another --output")
    prepare_folder(output.parent if names_a_file(output) else output)


class VideoRun:
    """Follows phrases through the videos of one run, each to files of names of its own; see ``follow_video``.

    Args:
        pipeline: what grounds and follows.
        inputs: everything that the run reads, pictures too, so that no two results get one name.
        output: the folder for the results, or a name in ``.mp4`` for the film alone; see ``check_output``.
        seed: of the pipeline's noise.
        stride, max_frames: which frames are read, as in ``Video.frames``.
        indexed: whether ``finish`` writes all objects of a video into one picture a frame.
        report: gets an entry for each result.
    """

    def __init__(
        self,
        pipeline: VideoPipeline,
        inputs: Sequence[Input],
        output: Path,
        *,
        seed: int = 0,
        stride: int = 1,
        max_frames: int | None = None,
        indexed: bool = False,
        report: ReportWriter | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._stems = dict(zip(inputs, unique_stems(inputs), strict=True))
        self._names = UniqueNames()
        self._output = output
        self._seed = seed
        self._stride = stride
        self._max_frames = max_frames
        self._indexed = indexed
        self._objects: list[VideoGrounding | None] = []  # what each phrase named in this video
        self._report = report

    def follow(self, item: Input, phrase: str, advance: Callable[[int], None] = lambda _: None) -> Written:
        """Follow one phrase through one video; an error becomes a failed record, and the run goes on."""
        stem = shorten(self._stems[item])
        try:
            if item.path is None or not item.is_video:
                raise ConfigError(f"{item.name}: standard input is not read as a video; give a file")
            video = replace(read_video(item.path), name=stem)
            record, files, found, entry = follow_video(
                self._pipeline,
                video,
                phrase,
                self._output,
                seed=self._seed,
                stride=self._stride,
                max_frames=self._max_frames,
                expression=self._names.take(f"{stem}-{slug(phrase)}").removeprefix(f"{stem}-"),
                advance=advance,
                report=self._report is not None,
            )
            if self._report is not None:
                self._report.add(entry)
        except GroundkitError as error:
            if self._report is not None:
                self._report.add_failures(item.name, [phrase], error)
            self._objects.append(None)
            return refused(item.name, phrase, error)
        self._objects.append(found if self._indexed else None)
        return Written(record, tuple(files), failed=False, empty=not record["seen"])

    def finish(self, item: Input) -> list[Path]:
        """Write ``<video>/<frame>.png`` with DAVIS's palette, where asked to: the n-th phrase's object has number n.

        Called after all phrases of a video; where two objects overlap, the earlier phrase's is seen.

        Raises:
            InputError: when the place cannot be written to.
        """
        objects, self._objects = self._objects, []
        found = {number: each for number, each in enumerate(objects, start=1) if each is not None}
        if not found:
            return []
        with IndexedFolder(self._output, shorten(self._stems[item])) as folder:
            for frames in zip(*(each.frames for each in found.values()), strict=True):
                folder.add(frames[0].name, np.stack([frame.mask for frame in frames]), list(found))
        return [folder.folder]


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
) -> tuple[dict[str, Any], list[Path], VideoGrounding, str]:
    """Ground a phrase in a video and write what was found.

    In ``output``: ``<video>-<phrase>.mp4``, the video with the mask over it; ``<video>-<phrase>.jsonl``, one line per
    frame with the mask as COCO run-length encoding; ``<video>/<phrase>/<frame>.png``, one mask per frame. Where
    ``output`` is a name in ``.mp4``, the film alone is written there. All is written while the frames go by.

    Args:
        stride, max_frames: which frames are read, as in ``Video.frames``.
        expression: what stands for the phrase in the names; its slug by default.
        report: whether an entry for a report is made.

    Returns:
        A JSON-ready record, the files and the folder that were written, what was found, and the entry or "".

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
    seen = 0
    with ExitStack() as stack:
        overlay = stack.enter_context(open_overlay(film, phrase))
        run_lengths = None if alone else stack.enter_context(open_rle_lines(lines))
        folder = None if alone else stack.enter_context(MaskFolder(output, video.name, expression))
        try:
            for frame, found in following:
                assert isinstance(frame, Frame)
                mask, score = found.mask, np.array([found.score], np.float32)
                seen += bool(mask.any())
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
    entry = video_entry(str(video.path), phrase, found_all, frames, strip) if report else ""
    return _record(found_all, video, seen), files, found_all, entry


def _record(found: VideoGrounding, video: Video, seen: int) -> dict[str, Any]:
    return {
        "input": str(video.path),
        "phrase": found.phrase,
        "pipeline": found.pipeline,
        "model": found.model,
        "segmenter": found.key.segmenter,
        **made_with(found.key),
        "tracker": found.tracker,
        "frames": len(found.frames),
        "seen": seen,
        "key_frame": found.key_frame,
        "grounded": [frame.index for frame in found.frames if frame.grounded],
        "seconds": round(found.seconds, 3),
        **({} if found.key.evidence is None else {"evidence": round(found.key.evidence.score, 4)}),
        **({"mask_score": round(float(found.key.scores.max()), 6)} if len(found.key.scores) else {}),
    }
