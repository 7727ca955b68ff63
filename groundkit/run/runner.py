"""One way to do a run, with a manifest that it can be resumed from or without: plan, work, files for all, report."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from groundkit.errors import ConfigError, InputError
from groundkit.outputs.atomic import prepare_folder, remove_leftovers
from groundkit.outputs.formats import load_format
from groundkit.outputs.formats.base import Source
from groundkit.outputs.save import RunFiles, file_names, folder_of, names_a_file, names_a_film
from groundkit.report.page import failure_entry, open_report
from groundkit.run.engines import Engine
from groundkit.run.engines.here import here
from groundkit.run.finished import add_entries, add_results, complete, needs_grounding, without_existing
from groundkit.run.first_look import find_unreadable
from groundkit.run.follow import write_indexed
from groundkit.run.manifest import Record, names_in_manifests, open_manifest
from groundkit.run.plan import Shard, Unit, count_tasks
from groundkit.run.records import is_empty, restored, restored_discovery, written
from groundkit.run.worker import Job, failed_record


@dataclass(frozen=True)
class RunSettings:
    """What a run does.

    Attributes:
        plan: the inputs and what is done with each, see ``make_plan``.
        job: how it is done.
        engine: where it is done; by default in this process.
        report: a file that shows every result.
        categories: labels that formats with one file for the run list in this order, found or not.
        labels: classes by phrase, for these formats; the phrase itself where there is none.
        indexed: whether all objects of a video are also written into one picture per frame.
        manifest: everything that results depend on, for a run that is recorded and can be resumed; None for one
            that is not.
        origins: where its settings come from, for people.
        shard: the part of the plan that is done.
        skip_existing: leave out results whose files are there, whoever wrote them.
        dry_run: do nothing but tell ``Listener.left`` what there is to do.
    """

    plan: list[Unit]
    job: Job
    engine: Engine = here
    report: Path | None = None
    categories: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    indexed: bool = False
    manifest: Mapping[str, Any] | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    shard: Shard = field(default_factory=Shard)
    skip_existing: bool = False
    dry_run: bool = False


class Listener:
    """Is told of a run while it goes on. This one does nothing with it."""

    def left(self, units: list[Unit], again: int) -> None:
        """What there is to do, before it is done; ``again`` results had been finished, and miss files that need it."""

    def begin(self, total: int, done: int) -> None:
        """The work begins: ``total`` results, of which ``done`` are there."""

    def result(self, record: Record) -> None:
        """A result, or a failure, whose files are there."""

    def files(self, paths: list[Path]) -> None:
        """Further files of several results."""

    def settled(self, record: Record) -> None:
        """With a manifest, when all is done: each record of the plan, in its order."""


@dataclass
class Summary:
    """What became of a run.

    Attributes:
        total, before, skipped: how many results there are, were there before, and were left out.
        empty, failed: how many of them found nothing, and failed.
        completed: how many got files that were missing without being grounded again.
        seconds: of the work.
        evidence: the lowest and the highest.
        failures: input and error, each once.
        files: those that cover the run: manifest, data sets, report.
    """

    total: int = 0
    before: int = 0
    skipped: int = 0
    empty: int = 0
    failed: int = 0
    completed: int = 0
    seconds: float = 0.0
    evidence: tuple[float, float] | None = None
    failures: dict[tuple[str, str], None] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def count(self, record: Record) -> None:
        """Take one result into account."""
        self.empty += is_empty(record)
        if "error" in record:
            self.failed += 1
            self.failures[record["input"], record["error"]] = None
        if "evidence" in record:
            low, high = self.evidence or (record["evidence"], record["evidence"])
            self.evidence = min(low, record["evidence"]), max(high, record["evidence"])


def run(settings: RunSettings, listener: Listener | None = None) -> Summary:
    """Do a run.

    Args:
        settings: what, how and where.
        listener: told of it while it goes on.

    Raises:
        ConfigError: an output or format that does not fit, settings that the model refuses, a manifest of others.
        GroundkitError: when the models cannot be loaded, or a manifest, report or data set cannot be written. A result
            that fails is a record.
    """
    listener = listener or Listener()
    units = settings.shard.of(settings.plan)
    _check(settings)
    job, recorded = settings.job, settings.manifest is not None
    pictures = job.command != "follow" and any(not unit.item.is_video for unit in units)
    formats = job.formats if pictures else ()
    files = RunFiles(job.output, formats, f"groundkit {job.command}", settings.categories, whole=recorded)
    folder = folder_of(job.output).resolve()
    places = (unit.item.path.resolve() for unit in settings.plan if unit.item.path is not None)
    job = replace(
        job,
        recorded=recorded or files.wanted,
        timeless=recorded,
        report=settings.report is not None and settings.shard.whole,
        spared=frozenset(place for place in places if place.parent == folder),
        taken=tuple(task.name for unit in settings.plan for task in unit.tasks if task.phrase is None),
    )
    settings = replace(settings, job=job)
    if settings.manifest is None:
        return _in_one_go(settings, units, files, listener)
    return _resumed(settings, settings.manifest, units, files, listener)


def _in_one_go(settings: RunSettings, units: list[Unit], files: RunFiles, listener: Listener) -> Summary:
    """A run that leaves nothing but its results."""
    output = settings.job.output
    prepare_folder(folder_of(output))
    if owned := names_in_manifests(folder_of(output)) & {task.name for unit in units for task in unit.tasks}:
        raise ConfigError(
            f"{folder_of(output) / min(owned)} is a result of groundkit batch, whose manifest.jsonl would be wrong of "
            "it: give another --output"
        )
    listener.left(units, 0)
    summary = Summary(total=count_tasks(units))
    unit_of = {task.name: unit for unit in units for task in unit.tasks}
    with open_report(settings.report) as page, closing(_done(settings, units, units, listener)) as records:
        indexed = _Indexed(units, output)
        for record in records:
            unit, entry = unit_of[record["name"]], record.pop("entry", None)
            if settings.report:
                page.add(failure_entry(record["input"], record["phrase"], record["error"]) if entry is None else entry)
            if files.wanted and "error" not in record and not unit.item.is_video:
                found = restored_discovery(record) if "objects" in record else restored(record, None)
                label = settings.labels.get(record["phrase"] or "", "")
                files.add(found, Source(record["input"], unit.item.place, unit.stem, label=label))
            summary.count(record)
            listener.result(record)
            if settings.indexed and (folder := indexed.add(unit, record)):
                listener.files([folder])
        summary.files = files.finish()
    summary.files += [settings.report] if settings.report else []
    return summary


def _resumed(
    settings: RunSettings, of_manifest: Mapping[str, Any], units: list[Unit], files: RunFiles, listener: Listener
) -> Summary:
    """A run that goes on where an earlier one of the same settings was stopped."""
    job, whole = settings.job, settings.shard.whole
    output = job.output
    report = settings.report if whole and not settings.dry_run else None
    with ExitStack() as stack:
        manifest = stack.enter_context(
            open_manifest(output, of_manifest, settings.shard, origins=settings.origins, write=not settings.dry_run)
        )
        page = stack.enter_context(open_report(report))
        entries = stack.enter_context(_Entries()) if report else None
        unfinished = list(manifest.left(units, lacks=partial(needs_grounding, output=output, formats=job.formats)))
        left = without_existing(unfinished, output, job.formats) if settings.skip_existing else unfinished
        kept = {each["name"]: each.get("formats", ()) for each in manifest.records_of(left) if "files" in each}
        listener.left(left, len(kept))
        if settings.dry_run:
            return Summary(total=count_tasks(left))
        summary = Summary(skipped=count_tasks(unfinished) - count_tasks(left))
        summary.total = count_tasks(units) - summary.skipped
        summary.before = summary.total - count_tasks(left)
        settings = replace(settings, job=replace(job, kept=kept))
        started = time.monotonic()
        remove_leftovers(output, of_dead=not whole)
        try:
            with closing(_done(settings, left, units, listener)) as records:
                for record in records:
                    if entries is not None:
                        entries.keep(record["name"], record.pop("entry", None))
                    manifest.append(record)
                    listener.result(record)
        finally:
            # Again: processes that outlived their driver for a moment, or were ended by Ctrl-C.
            remove_leftovers(output, of_dead=not whole)
        summary.seconds = time.monotonic() - started
        if not settings.skip_existing:
            summary.completed = complete(manifest, units, output, job.formats, job.jobs)
        manifest.settle(units)
        for record in manifest.records_of(units):
            summary.count(record)
            listener.settled(record)
        summary.files = [manifest.path]
        if whole:
            if files.wanted:
                add_results(files, manifest.all_records(units), output, settings.labels)
            summary.files += files.finish()
        if report and entries is not None:
            add_entries(
                page,
                manifest,
                units,
                output,
                job.jobs,
                stride=job.stride,
                max_frames=job.max_frames,
                known=entries.get,
            )
            summary.files.append(report)
    return summary


def _done(settings: RunSettings, left: list[Unit], units: list[Unit], listener: Listener) -> Generator[Record]:
    """The records of what is left, in the order of their ends; what cannot be read is told without a model."""
    job = settings.job
    listener.begin(count_tasks(units), count_tasks(units) - count_tasks(left))
    items = dict.fromkeys(unit.item for unit in left if unit.error is None)
    unreadable = find_unreadable(list(items), videos=job.command != "discover")
    usable = []
    for unit in left:
        error = InputError(unit.error) if unit.error else unreadable.get(unit.item)
        if error is None:
            usable.append(unit)
        else:
            yield from (failed_record(unit, task, error) for task in unit.tasks)
    if usable:
        with closing(settings.engine(job, usable)) as records:
            yield from records


def _check(settings: RunSettings) -> None:
    """Raise ConfigError for what a run would find out about its output and formats after the work."""
    job, output, results = settings.job, settings.job.output, count_tasks(settings.plan)
    for name in job.formats:
        if job.command == "discover" and not load_format(name).takes_discoveries:
            raise ConfigError(f"{name} needs a phrase, which discover does not take: choose another format")
        if load_format(name).run is not None and job.command == "follow":
            raise ConfigError(f"{name} holds pictures only: choose another format for the key frame")
        if load_format(name).run is not None and settings.skip_existing:
            raise ConfigError(
                f"--skip-existing has no masks of the results that it skips: choose another format than {name}"
            )
    if settings.skip_existing and settings.report:
        raise ConfigError("--skip-existing does not see the results it leaves out, and --report is to show them all")
    if not names_a_file(output):
        return
    if settings.manifest is not None or job.command == "discover":
        what = "but a batch writes many" if settings.manifest is not None else "and discovery writes several"
        raise ConfigError(f"{output} is one file, {what}: give a folder")
    inputs = [unit.item.path for unit in settings.plan if unit.item.path is not None]
    if any(path.resolve() == output.resolve() for path in inputs) and results == 1:
        raise ConfigError(f"{output} is an input, and would be lost: give another --output")
    film = any(unit.item.is_video for unit in settings.plan)
    if film and not names_a_film(output):
        raise ConfigError(
            f"{output} is one file, and a video becomes several: give a folder, or a name in .mp4 for the film"
        )
    if results > 1:
        raise ConfigError(
            f"{output} is one {'film' if film else 'file'} but there are {results} results: give a folder"
        )
    if settings.indexed:
        raise ConfigError(f"{output} is a film, and --indexed writes a folder of pictures: give a folder")
    if not film:
        file_names(output, "name", job.formats)


class _Indexed:
    """Puts the objects of each video into one picture per frame, when all of its phrases are done."""

    def __init__(self, units: Iterable[Unit], output: Path) -> None:
        self._output = output
        self._names: dict[Path | None, list[str]] = {}  # of the results of a video; the n-th has number n
        self._found: dict[Path | None, dict[str, Path | None]] = {}
        for unit in units:
            self._names.setdefault(unit.item.path, []).extend(task.name for task in unit.tasks)

    def add(self, unit: Unit, record: Record) -> Path | None:
        """Take a result. Returns the folder when it was the last one of its video and something was found."""
        names = self._names[unit.item.path]
        found = self._found.setdefault(unit.item.path, {})
        found[record["name"]] = None if "error" in record else written(record, self._output)[2]
        masks = {number: path for number, name in enumerate(names, 1) if (path := found.get(name)) is not None}
        return write_indexed(self._output, unit.stem, masks) if len(found) == len(names) and masks else None


class _Entries:
    """Entries of a report, which wait on disk for their turn."""

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._places: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def keep(self, name: str, entry: str | None) -> None:
        """Keep the entry of a result, if there is one."""
        if entry is not None:
            with self._lock:
                start = self._file.seek(0, os.SEEK_END)
                self._places[name] = start, self._file.write(entry.encode(errors="surrogateescape"))

    def get(self, name: str) -> str | None:
        """The entry of a result that was made in this run."""
        if name not in self._places:
            return None
        with self._lock:
            start, length = self._places[name]
            self._file.seek(start)
            return self._file.read(length).decode(errors="surrogateescape")
