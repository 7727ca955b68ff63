"""What does the work of a run: reads, grounds, writes, and tells of every task what became of it."""

from __future__ import annotations

import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from groundkit import clock
from groundkit.errors import STOPS, GroundkitError, InputError
from groundkit.masks.cleaning import Cleaning
from groundkit.media.videos import read_video
from groundkit.memory import explain_out_of_memory
from groundkit.outputs.cleaned import cleaned
from groundkit.outputs.formats import known_formats
from groundkit.outputs.formats.base import Source
from groundkit.outputs.names import UniqueNames
from groundkit.outputs.ours import owner
from groundkit.outputs.record import failure
from groundkit.outputs.save import file_names, folder_of, per_result, write_result
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video import VideoPipeline, read_config
from groundkit.report.page import picture_entry
from groundkit.results import Discovery, Failure, Grounding, changed
from groundkit.run.fingerprint import fingerprint
from groundkit.run.follow import follow_video
from groundkit.run.manifest import Record
from groundkit.run.plan import Task, Unit
from groundkit.run.records import record_of, video_record
from groundkit.segmenters.base import Segmenter
from groundkit.tracking.base import Tracker
from groundkit.wording import for_command_line

_PATIENCE = 0.02  # of the time that a result took: so long the next one waits for it to be written, and told
Picture = npt.NDArray[np.uint8]
Advance = Callable[[str, float], None]
"""Told what is worked on, and which share of a result was done since."""


class Discoverer(Protocol):
    """A pipeline that can be asked what is in a picture."""

    def discover(self, image: Picture, *, seed: int = ...) -> Discovery: ...


def advance_silently(name: str, share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Job:
    """How a run's units are done. It can be pickled, and goes to other processes and machines.

    Attributes:
        load: loads the pipeline.
        output: the folder for the results, or the name of a file for a single one.
        formats: see ``groundkit.outputs.formats``. Those with one file for a run are made of the records. In a run
            of ``groundkit follow`` they are for the key frame.
        command: the name of the command, which pictures tell of themselves.
        recorded: whether records hold what is needed to make further files of them.
        timeless: whether records and files tell nothing of the clock, and records know their input's file again.
        report: whether records hold an ``entry`` for a report.
        kept: further formats by the name of a result: those that it had before it was grounded again.
        load_tracker: makes what follows objects through videos, given the pipeline's segmenter.
        video: fields of ``VideoConfig``.
        stride, max_frames: which frames of videos are read, as in ``Video.frames``.
        seed: of the pipeline's noise.
        jobs: threads that read the next pictures, and as many that write the last results, while the model runs. No
            more than twice as many results wait in memory.
        spared: inputs in the folder for the results, which are never overwritten.
        taken: names that labels of a discovery must not take.
        change: given the pipeline, what is done with each of its discoveries.
        cleaning: how masks of pictures are cleaned, and which of them are kept.
        debug: show the tracebacks of failures.
        timed: whether worker processes tell where their time goes, see ``groundkit.timings``.
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
    timed: bool = False
    kept: Mapping[str, Sequence[str]] = field(default_factory=dict)
    command: str = "batch"
    recorded: bool = True
    timeless: bool = True
    report: bool = False
    cleaning: Cleaning = field(default_factory=Cleaning)
    spared: frozenset[Path] = frozenset()
    taken: tuple[str, ...] = ()
    change: Callable[[Pipeline], Callable[[Discovery], Discovery]] | None = None


class _Read(NamedTuple):
    """What was read of an input, and what its file is known by."""

    picture: Picture
    fingerprint: Record


class _Writing(NamedTuple):
    unit: Unit
    task: Task
    record: Future[Record]


class Worker:
    """Holds the models and does units one after another; what cannot be done becomes a record of failure.

    Args:
        job: how.
        advance: told how far a video has got.

    Raises:
        GroundkitError: when the models cannot be loaded.
    """

    def __init__(self, job: Job, advance: Advance = advance_silently) -> None:
        self.job = job
        self._advance = advance
        self._pipeline = job.load()
        self._change = job.change(self._pipeline) if job.change else None
        self._videos: VideoPipeline | None = None
        self._readers = ThreadPoolExecutor(job.jobs, "groundkit-reader")
        self._writers = ThreadPoolExecutor(job.jobs, "groundkit-writer")
        self._ahead: deque[tuple[Unit, Future[_Read]]] = deque()
        self._writing: deque[_Writing] = deque()
        self._names = UniqueNames()
        for name in job.taken:
            self._names.take(name)

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
            A record per task, in the order of the units, soon after its files are there.

        Raises:
            ConfigError, StageError: a setting that the model refuses, or a faulty stage.
        """
        try:
            for unit in units:
                if unit is not None:
                    self._ahead.append((unit, self._readers.submit(self._read, unit)))
                if unit is None or len(self._ahead) > self.job.jobs:
                    yield from self._step()
            while self.busy:
                yield from self._step()
        except KeyboardInterrupt:
            yield from self._written(all_of_them=True)  # what was found until then is not lost
            raise
        finally:
            wait([each.record for each in self._writing])  # when interrupted: nothing is written once it has ended

    def _step(self) -> Iterator[Record]:
        if not self._ahead:
            yield from self._written(all_of_them=True)
            return
        unit, reading = self._ahead.popleft()
        left = deque(unit.tasks)
        try:
            with clock.part("reading"):
                read = reading.result()
            started = time.monotonic()
            for make in self._results(unit, read):
                self._writing.append(_Writing(unit, left.popleft(), self._writers.submit(make)))
                yield from self._written(patience=_PATIENCE * (time.monotonic() - started))
                started = time.monotonic()
        except STOPS:
            raise
        except Exception as error:  # of a file or picture that cannot be used, or a fault of ours: the others go on
            for task in left:
                failed: Future[Record] = Future()
                failed.set_exception(error)
                self._writing.append(_Writing(unit, task, failed))
        yield from self._written()

    def _written(self, *, patience: float = 0.0, all_of_them: bool = False) -> Iterator[Record]:
        """The records of results that are on disk, in their order; ``patience``: seconds to wait for each."""
        while self._writing:
            unit, task, written = self._writing[0]
            with clock.part("files"):
                full = len(self._writing) > 2 * self.job.jobs  # those that wait hold their pictures in memory
                wait([written], None if full or all_of_them else patience)
            if not written.done():
                return
            self._writing.popleft()
            error = written.exception()
            yield self._failed(unit, task, error) if error else written.result()

    def _failed(self, unit: Unit, task: Task, error: BaseException) -> Record:
        if not isinstance(error, Exception):
            raise error
        if self.job.debug:
            traceback.print_exception(error)
        if not isinstance(error, GroundkitError):
            text = str(error).strip().splitlines()
            error = GroundkitError(f"{type(error).__name__}{f': {text[0]}' if text else ''}")
        return failed_record(unit, task, error)

    def _read(self, unit: Unit) -> _Read:
        """The picture; of a video, which is read frame by frame, only what its file is known by."""
        if unit.error is not None:
            raise InputError(unit.error)
        # Before it is read: of what comes in between, the older file counts.
        known = fingerprint(unit.item.path) if self.job.timeless and unit.item.path else {}
        return _Read(np.zeros((0, 0, 3), np.uint8) if unit.item.is_video else unit.item.read(), known)

    def _results(self, unit: Unit, read: _Read) -> Iterator[Callable[[], Record]]:
        """What writes each task's result, in their order, and returns its record."""
        job = self.job
        if unit.item.is_video:
            for task in unit.tasks:
                with explain_out_of_memory():
                    record = {**self._follow(unit, task), **read.fingerprint}
                yield partial(dict, record)
            return
        if any(task.phrase is None for task in unit.tasks):
            found = cast(Discoverer, self._pipeline).discover(read.picture, seed=job.seed)
            found = self._change(found) if self._change else found
            for task in unit.tasks:
                yield partial(self._write, unit, task, found, read.fingerprint)
            return
        phrases = [task.phrase or "" for task in unit.tasks]
        outcomes = self._pipeline.ground_each(read.picture, phrases, seed=job.seed)
        for task, outcome in zip(unit.tasks, outcomes, strict=True):
            yield partial(self._write, unit, task, outcome, read.fingerprint)

    @clock.timed("files")
    def _write(self, unit: Unit, task: Task, found: Grounding | Discovery | Failure, known: Record) -> Record:
        if isinstance(found, Failure):
            raise found.error
        job = self.job
        proposed = len(found.scores)
        found = cleaned(found, job.cleaning)
        if filtered := proposed - len(found.scores):
            known = {"filtered": filtered, **known}
        formats = per_result(job.formats)
        kept = job.kept.get(task.name, ())  # of a manifest, which may have been changed
        formats += tuple(kind for kind in kept if kind in known_formats() and kind not in formats)
        if job.timeless:
            formats, found = tuple(sorted(formats)), changed(found, seconds=math.nan)
        files = self._save(unit, task, found, formats)
        record = record_of(found, unit, task, files, job.output, kept=job.recorded)
        if job.report:
            each = found.groundings() if isinstance(found, Discovery) else [found]
            record["entry"] = "".join(picture_entry(unit.item.name, one.phrase, one) for one in each)
        return {**record, **known}

    def _save(
        self, unit: Unit, task: Task, found: Grounding | Discovery, formats: tuple[str, ...]
    ) -> dict[str, list[Path]]:
        job = self.job
        for path in file_names(job.output, task.name, formats).values():
            if path.resolve() in job.spared:
                raise InputError(f"{path} is an input, and would be lost: give another --output")
        place = unit.item.place
        source = Source(unit.item.name, place, unit.stem, owner(job.command, place, folder_of(job.output)))
        return write_result(found, job.output, task.name, formats, source, self._names)

    def _follow(self, unit: Unit, task: Task) -> Record:
        job, path, phrase = self.job, unit.item.path, task.phrase or ""
        if path is None:
            raise InputError(f"{unit.item.name}: standard input is not read as a video; give a file")
        video = replace(read_video(path), name=unit.stem)
        count = video.count(job.stride, job.max_frames, estimate=True)
        done = 0

        def advance(frames: int) -> None:
            nonlocal done
            done += frames
            of_all = f" of {count}" if count else ""
            share = frames / count if count and done <= count else 0.0
            self._advance(f"{unit.item.name}: {phrase}, frame {done}{of_all}", share)

        found, files, entry = follow_video(
            self._video_pipeline(),
            video,
            phrase,
            job.output,
            seed=job.seed,
            stride=job.stride,
            max_frames=job.max_frames,
            expression=task.name.removeprefix(f"{unit.stem}-"),
            advance=advance,
            report=job.report,
        )
        if job.command == "follow" and job.formats:
            of_key = self._save(unit, task, found.key, per_result(job.formats))
            files += [file for each in of_key.values() for file in each]
        record = video_record(found, unit, task, files, job.output, kept=job.timeless)
        return {**record, "entry": entry} if job.report else record

    def _video_pipeline(self) -> VideoPipeline:
        if self._videos is None:
            if self.job.load_tracker is None:
                raise GroundkitError("this run has no tracker for videos")
            tracker = self.job.load_tracker(self._pipeline.segmenter)
            self._videos = VideoPipeline(self._pipeline, tracker, read_config(self.job.video))
        return self._videos


def failed_record(unit: Unit, task: Task, error: Exception) -> Record:
    """The record of a result that failed."""
    return {**failure(unit.item.name, task.phrase, error), "error": for_command_line(error), "name": task.name}
