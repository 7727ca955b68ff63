"""What does the work of a run: reads, grounds, writes, and tells of every task what became of it."""

from __future__ import annotations

import math
import os
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError
from groundkit.media.videos import read_video
from groundkit.outputs.formats import known_formats
from groundkit.outputs.formats.base import Source
from groundkit.outputs.ours import owner
from groundkit.outputs.record import failure
from groundkit.outputs.save import per_result
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video import VideoPipeline, read_config
from groundkit.results import Grounding
from groundkit.run.fingerprint import fingerprint
from groundkit.run.finished import details, in_order, video_details, with_formats
from groundkit.run.follow import follow_video
from groundkit.run.manifest import Record
from groundkit.run.phrases import ground_phrases, write_outcome
from groundkit.run.plan import Task, Unit
from groundkit.segmenters.base import Segmenter
from groundkit.tracking.base import Tracker

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Job:
    """How a run's units are done. It can be pickled, and goes to other processes and machines.

    Attributes:
        load: loads the pipeline.
        output: the folder for the results.
        formats: of pictures, see ``Grounding.save``; ``coco`` is made of the records, which hold the masks.
        kept: further formats by the name of a result: those that it had before it was grounded again.
        load_tracker: makes what follows objects through videos, given the pipeline's segmenter.
        video: fields of ``VideoConfig``.
        stride, max_frames: which frames of videos are read, as in ``Video.frames``.
        seed: of the pipeline's noise.
        jobs: threads that read the next pictures and write the last results while the model runs.
        debug: show the tracebacks of failures.
    """

    load: Callable[[], Pipeline]
    output: Path
    formats: tuple[str, ...]
    load_tracker: Callable[[Segmenter], Tracker] | None = None
    video: Mapping[str, Any] = field(default_factory=dict)
    stride: int = 1
    max_frames: int | None = None
    seed: int = 0
    jobs: int = 1
    debug: bool = False
    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)


class _Read(NamedTuple):
    """What was read of an input, and what its file is known by."""

    picture: Picture | GroundkitError
    fingerprint: Record


class Worker:
    """Holds the models and does units one after another; what cannot be done becomes a record of failure.

    Raises:
        GroundkitError: when the models cannot be loaded.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._pipeline = job.load()
        self._videos: VideoPipeline | None = None
        self._pool = ThreadPoolExecutor(job.jobs, "groundkit")
        self._ahead: deque[tuple[Unit, Future[_Read]]] = deque()
        self._writing: deque[Future[Record]] = deque()

    @property
    def busy(self) -> bool:
        """Whether there are units that were taken and not yet told of."""
        return bool(self._ahead or self._writing)

    def work(self, units: Iterable[Unit | None]) -> Generator[Record]:
        """Do units.

        Args:
            units: taken a few ahead of the work, so that pictures are read in time. None says that there is none at the
                moment, so that those which were taken should be done.

        Yields:
            A record a task, in the order of the units, soon after its files are there.
        """
        try:
            for unit in units:
                if unit is not None:
                    self._ahead.append((unit, self._pool.submit(self._read, unit)))
                if unit is None or len(self._ahead) > self.job.jobs:
                    yield from self._step()
            while self.busy:
                yield from self._step()
        finally:
            wait(self._writing)  # when this was interrupted: nothing is written once it has ended

    def _step(self) -> Iterator[Record]:
        if not self._ahead:
            yield from self._written(all_of_them=True)
            return
        unit, reading = self._ahead.popleft()
        read = reading.result()
        if unit.item.is_video and unit.error is None:
            yield from self._written(all_of_them=True)
            yield from (self._follow(unit, task, read.fingerprint) for task in unit.tasks)
            return
        for task, outcome in self._ground(unit, read.picture):
            self._writing.append(self._pool.submit(self._write, unit, task, outcome, read.fingerprint))
            yield from self._written(all_of_them=False)

    def _written(self, *, all_of_them: bool) -> Iterator[Record]:
        """The records of results that are on disk; those that wait hold their pictures in memory, so they are few."""
        while self._writing and (all_of_them or self._writing[0].done() or len(self._writing) > 2 * self.job.jobs):
            yield self._writing.popleft().result()

    def _read(self, unit: Unit) -> _Read:
        """The picture; of a video, which is read frame by frame, only what its file is known by."""
        if unit.error is not None:
            return _Read(GroundkitError(unit.error), {})
        assert unit.item.path is not None  # standard input is in no plan
        try:
            known = fingerprint(unit.item.path)  # before it is read: of what comes in between, the older one counts
            return _Read(np.zeros((0, 0, 3), np.uint8) if unit.item.is_video else unit.item.read(), known)
        except Exception as error:
            return _Read(self._failure(error), {})

    def _ground(
        self, unit: Unit, picture: Picture | GroundkitError
    ) -> Iterator[tuple[Task, Grounding | GroundkitError]]:
        if isinstance(picture, GroundkitError):
            yield from ((task, picture) for task in unit.tasks)
            return
        left = deque(unit.tasks)
        try:
            phrases = [task.phrase for task in unit.tasks]
            for outcome in ground_phrases(self._pipeline, picture, phrases, seed=self.job.seed):
                yield left.popleft(), outcome
        except Exception as error:  # of a picture that does not fit into memory, or a fault of ours: the others go on
            yield from ((task, self._failure(error)) for task in left)

    def _write(self, unit: Unit, task: Task, outcome: Grounding | GroundkitError, known: Record) -> Record:
        job, source = self.job, unit.item.name
        kept = job.kept.get(task.name, ())  # of a manifest, which may have been changed
        formats = per_result(job.formats)
        formats += tuple(kind for kind in kept if kind in known_formats() and kind not in formats)
        try:
            ours = owner("batch", unit.item.place, job.output)
            about = Source(source, unit.item.place, unit.stem, ours)
            outcome = outcome if isinstance(outcome, GroundkitError) else replace(outcome, seconds=math.nan)
            written = write_outcome(outcome, task.phrase, job.output, task.name, in_order(formats), about)
            if isinstance(outcome, GroundkitError) or written.failed:
                return {**written.record, "name": task.name}
            return with_formats({**written.record, "name": task.name, **details(outcome), **known}, formats)
        except Exception as error:
            return {**failure(source, task.phrase, self._failure(error)), "name": task.name}

    def _follow(self, unit: Unit, task: Task, known: Record) -> Record:
        job, path = self.job, unit.item.path
        assert path is not None
        try:
            record, files, found, _ = follow_video(
                self._video_pipeline(),
                replace(read_video(path), name=unit.stem),
                task.phrase,
                job.output,
                seed=job.seed,
                stride=job.stride,
                max_frames=job.max_frames,
                expression=task.name.removeprefix(f"{unit.stem}-"),
            )
        except Exception as error:
            return {**failure(unit.item.name, task.phrase, self._failure(error)), "name": task.name}
        return {
            **_timeless(record),
            "input": unit.item.name,
            "name": task.name,
            "files": [Path(os.path.relpath(file, job.output)).as_posix() for file in files],
            **video_details(found),
            **known,
        }

    def _video_pipeline(self) -> VideoPipeline:
        if self._videos is None:
            if self.job.load_tracker is None:
                raise GroundkitError("this run has no tracker for videos")
            segmenter: Segmenter = self._pipeline.segmenter
            tracker = self.job.load_tracker(segmenter)
            self._videos = VideoPipeline(self._pipeline, tracker, read_config(self.job.video))
        return self._videos

    def _failure(self, error: Exception) -> GroundkitError:
        if self.job.debug:
            traceback.print_exception(error)
        if isinstance(error, GroundkitError):
            return error
        text = str(error).strip().splitlines()
        return GroundkitError(f"{type(error).__name__}{f': {text[0]}' if text else ''}")


def in_process(job: Job, units: Iterable[Unit]) -> Generator[Record]:
    """Do units in this process, which loads the models."""
    return Worker(job).work(units)


def _timeless(record: Record) -> Record:
    """Without the wall clock, which would make the files of each run others."""
    return {key: value for key, value in record.items() if key != "seconds"}
