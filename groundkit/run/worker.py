"""What does the work of a run: reads, grounds, writes, and tells of every task what became of it."""

from __future__ import annotations

import json
import os
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit.batch import Pipeline, ground_phrases, write_outcome
from groundkit.errors import GroundkitError
from groundkit.follow import follow_video
from groundkit.media.videos import read_video
from groundkit.outputs.atomic import write_text
from groundkit.outputs.record import failure, full_record
from groundkit.outputs.report import ReportWriter, picture_entry
from groundkit.outputs.rle import encode
from groundkit.outputs.save import file_names
from groundkit.pipelines.refam_video import VideoPipeline, read_config
from groundkit.results import Grounding
from groundkit.run.manifest import Record
from groundkit.run.plan import Task, Unit
from groundkit.segmenters.base import Segmenter
from groundkit.tracking.base import Tracker

Picture = npt.NDArray[np.uint8]
ENTRY = ".part.html"  # ending of a result's entry of the report


@dataclass(frozen=True)
class Job:
    """How a run's units are done. It can be pickled, and goes to other processes and machines.

    Attributes:
        load: loads the pipeline.
        output: the folder for the results.
        formats: of pictures, see ``Grounding.save``; ``coco`` keeps the masks in the records.
        load_tracker: makes what follows objects through videos, given the pipeline's segmenter.
        video: fields of ``VideoConfig``.
        stride, max_frames: which frames of videos are read, as in ``Video.frames``.
        seed: of the pipeline's noise.
        report: whether every result keeps its entry of a report beside it.
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
    report: bool = False
    jobs: int = 1
    debug: bool = False


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
        self._ahead: deque[tuple[Unit, Future[Picture | GroundkitError]]] = deque()
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
        picture = reading.result()
        if unit.item.is_video and unit.error is None:
            yield from self._written(all_of_them=True)
            yield from (self._follow(unit, task) for task in unit.tasks)
            return
        for task, outcome in self._ground(unit, picture):
            self._writing.append(self._pool.submit(self._write, unit, task, outcome))
            yield from self._written(all_of_them=False)

    def _written(self, *, all_of_them: bool) -> Iterator[Record]:
        """The records of results that are on disk; those that wait hold their pictures in memory, so they are few."""
        while self._writing and (all_of_them or self._writing[0].done() or len(self._writing) > 2 * self.job.jobs):
            yield self._writing.popleft().result()

    def _read(self, unit: Unit) -> Picture | GroundkitError:
        if unit.error is not None:
            return GroundkitError(unit.error)
        try:
            return np.zeros((0, 0, 3), np.uint8) if unit.item.is_video else unit.item.read()
        except Exception as error:
            return self._failure(error)

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

    def _write(self, unit: Unit, task: Task, outcome: Grounding | GroundkitError) -> Record:
        job, source = self.job, unit.item.name
        paths = file_names(job.output, task.name, job.formats)
        described = paths.pop("json", None)
        paths.pop("coco", None)
        try:
            written = write_outcome(source, task.phrase, outcome, paths)
            if isinstance(outcome, GroundkitError) or written.failed:
                return {**written.record, "name": task.name}
            files = [*written.files]
            if described is not None:
                masks = [Path(path) for path in written.record["masks"]]
                whole = _timeless(full_record(outcome, source, masks))
                files.append(write_text(described, json.dumps(whole, indent=2) + "\n"))
            if job.report:
                files.append(self._keep_entry(task, picture_entry(source, task.phrase, outcome)))
        except Exception as error:
            return {**failure(source, task.phrase, self._failure(error)), "name": task.name}
        record = {**_timeless(written.record), **self._bookkeeping(unit, task), "files": self._relative(files)}
        record["masks"] = self._relative(map(Path, record["masks"]))
        if "coco" in job.formats:
            record["size"] = list(outcome.image.shape[:2])
            record["rle"] = [encode(mask) for mask in outcome.masks]
        return record

    def _follow(self, unit: Unit, task: Task) -> Record:
        job, path = self.job, unit.item.path
        assert path is not None  # standard input is in no plan
        entry = StringIO()
        try:
            record, files, _ = follow_video(
                self._video_pipeline(),
                replace(read_video(path), name=unit.stem),
                task.phrase,
                job.output,
                seed=job.seed,
                stride=job.stride,
                max_frames=job.max_frames,
                expression=task.name.removeprefix(f"{unit.stem}-"),
                report=ReportWriter(self._entry(task), entry) if job.report else None,
            )
            if job.report:
                files.append(self._keep_entry(task, entry.getvalue()))
        except Exception as error:
            return {**failure(unit.item.name, task.phrase, self._failure(error)), "name": task.name}
        return {
            **_timeless(record),
            "input": unit.item.name,
            **self._bookkeeping(unit, task),
            "files": self._relative(files),
        }

    def _bookkeeping(self, unit: Unit, task: Task) -> Record:
        return {"name": task.name, "path": unit.path_from(self.job.output), "bytes": unit.bytes}

    def _video_pipeline(self) -> VideoPipeline:
        if self._videos is None:
            if self.job.load_tracker is None:
                raise GroundkitError("this run has no tracker for videos")
            segmenter: Segmenter = self._pipeline.segmenter  # type: ignore[attr-defined]
            tracker = self.job.load_tracker(segmenter)
            self._videos = VideoPipeline(self._pipeline, tracker, read_config(self.job.video))
        return self._videos

    def _entry(self, task: Task) -> Path:
        return self.job.output / f"{task.name}{ENTRY}"

    def _keep_entry(self, task: Task, entry: str) -> Path:
        return write_text(self._entry(task), entry, errors="replace")  # names of files may hold any bytes

    def _relative(self, files: Iterable[Path]) -> list[str]:
        return [Path(os.path.relpath(file, self.job.output)).as_posix() for file in files]

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
