"""How commands carry out a run: one progress display, a line and the files of each result, and one sum at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import indent
from typing import TYPE_CHECKING, Any

import typer

from groundkit.cli.console import Progress, progress, put, say, silence_libraries
from groundkit.cli.errors import tell_error
from groundkit.cli.options import PipelineOptions
from groundkit.cli.results import describe
from groundkit.errors import ConfigError
from groundkit.run.runner import Listener, RunSettings, Summary, run
from groundkit.weights.catalog import is_embedded
from groundkit.wording import count_of

if TYPE_CHECKING:
    from groundkit.pipelines.base import Pipeline
    from groundkit.pipelines.video import VideoConfig
    from groundkit.run.engines import Engine
    from groundkit.run.manifest import Record
    from groundkit.run.plan import Unit
    from groundkit.run.worker import Job

_MAX_FAILURES = 20  # failures that a batch's sum names


class Display(Listener):
    """What a command shows of its run.

    Args:
        command: its name.
        chosen: its options.
        output: the folder for the results, or a file.
        as_json: whether standard output is one JSON list of records, and not names of files.
    """

    def __init__(self, command: str, chosen: PipelineOptions, output: Path, *, as_json: bool) -> None:
        self._command = command
        self._chosen = chosen
        self._output = output
        self._as_json = as_json
        self._stack = ExitStack()
        self._bar = Progress()
        self._total, self._done, self._share = 0, 0, 0.0
        self._engine: Engine | None = None  # this process

    def job(self, config: Mapping[str, Any], formats: tuple[str, ...], **options: Any) -> Job:
        """How the run's units are done: with these settings of the method, formats, and further fields of ``Job``."""
        from groundkit.run.worker import Job

        load = self._chosen.loader(config, self._output)
        load = partial(self._load, load) if self._engine is None else load
        chosen = self._chosen
        common = {"seed": chosen.seed, "debug": chosen.debug, "timed": chosen.timings}
        options = {"command": self._command, **common, **options}
        return Job(load=load, output=self._output, formats=formats, **options)

    def following(self, config: VideoConfig, tracker: str = "flow") -> dict[str, Any]:
        """Fields of ``Job`` for videos."""
        from groundkit.tracking.load import load_tracker

        load = partial(load_tracker, tracker, device=self._chosen.device, local_files_only=self._chosen.offline)
        return {"video": config.model_dump(), "load_tracker": load}

    @property
    def engine(self) -> Engine:
        """Where the run is done: this process, unless told otherwise."""
        from groundkit.run.engines.here import here

        return self._engine or partial(here, advance=self.advance)

    def run(self, settings: RunSettings) -> Summary:
        """Carry out a run, and print its records or files."""
        self._job = settings.job
        with TemporaryFile("w+", encoding="ascii") as self._json:  # records wait there until all is done
            with self._stack:
                summary = run(settings, self)
            if self._as_json:
                self._put_json()
        for file in summary.files if not self._as_json else ():
            put(file)
        return summary

    def advance(self, name: str, share: float) -> None:
        """Show which share of a result was done since."""
        self._bar.at(name)
        self._share += share
        self._bar.advance(share)

    def left(self, units: list[Unit], again: int) -> None:
        from groundkit.outputs.formats import load_format

        runs = [run for name in self._job.formats if (run := load_format(name).run) is not None]
        if self._chosen.quiet or not any(unit.item.is_video for unit in units):
            return
        for each in runs:
            say(
                f"{each.file} holds pictures only; the masks of a video are in its .jsonl file, in the same run-length "
                "encoding"
            )

    def begin(self, total: int, done: int) -> None:
        self._total, self._done = total, done
        self._open()

    def result(self, record: Record) -> None:
        from groundkit.run.records import shown, written

        self._step(record)
        if "error" in record:
            tell_error(record["input"], record["error"])
        elif not self._chosen.quiet:
            say(describe(record))
        if self._as_json:
            self._add_json(shown(record, self._output))
        else:
            self.files(written(record, self._output))

    def files(self, paths: list[Path]) -> None:
        for path in paths if not self._as_json else ():
            put(path)

    def _step(self, record: Record) -> None:
        self._bar.at(f"{record['input']}: {record['phrase']}" if record["phrase"] else record["input"])
        self._bar.advance(1 - self._share)
        self._done, self._share = self._done + 1, 0.0

    def _open(self) -> None:
        self._bar = self._stack.enter_context(
            progress(self._command, self._total, quiet=self._chosen.quiet, done=self._done)
        )

    def _load(self, load: Callable[[], Pipeline]) -> Pipeline:
        """Load the models; meanwhile their own progress is shown."""
        self._stack.close()
        try:
            return self._chosen.load(load)
        finally:
            self._open()

    def _add_json(self, record: Mapping[str, Any]) -> None:
        self._json.write(",\n" if self._json.tell() else "[\n")
        self._json.write(indent(json.dumps(record, indent=2), "  "))

    def _put_json(self) -> None:
        if not self._json.tell():
            put("[]")
            return
        self._json.write("\n]\n")
        self._json.seek(0)
        for line in self._json:
            put(line.rstrip("\n"))


class BatchDisplay(Display):
    """What ``groundkit batch`` shows: no single results, which may be many; all of them are told at the end."""

    def left(self, units: list[Unit], again: int) -> None:
        if again and not self._chosen.quiet:
            say(f"{count_of(again, 'finished result')} grounded again: missing files need it")
        super().left(units, again)

    def result(self, record: Record) -> None:
        self._step(record)

    def settled(self, record: Record) -> None:
        from groundkit.run.records import without_details

        if self._as_json:
            self._add_json(without_details(record))

    def use(self, name: str, workers: int | None, address: str | None, *, units: int) -> None:
        """Choose where the run is done, by its number of units; one local process is this one."""
        from groundkit.run.engines import choose_workers, find_engine

        if name == "local":
            small = is_embedded(self._chosen.model) and self._chosen.device in ("auto", "cpu")
            workers = workers or choose_workers(units, small=small)
        if name != "local" or workers != 1:
            if name != "local" and self._chosen.timings:
                raise ConfigError(f"--timings measures processes of this machine, and not those of --engine {name}")
            silence_libraries()
            self._engine = find_engine(name, workers, address=address, gpus=self._chosen.device != "cpu")


class LeftOver(BatchDisplay):
    """A dry run: what there is to do, one line per result, and nothing else."""

    def left(self, units: list[Unit], again: int) -> None:
        Display.left(self, units, again)
        for unit in units:
            for task in unit.tasks:
                put(f"{unit.item.name}\t{task.phrase}\t{task.name}\t{'missing' if unit.error else unit.item.kind}")


def sum_up(summary: Summary, chosen: PipelineOptions, output: Path, *, fail_on_empty: bool) -> None:
    """Say in one line what became of several results, and where they are; exit with 1 where one failed."""
    if summary.total > 1 and not chosen.quiet:
        found = summary.total - summary.failed - summary.empty
        fates = f"{found} found, {summary.empty} empty, {summary.failed} failed"
        say(f"{count_of(summary.total, 'result')}: {fates}; see {output}")
    end(summary, fail_on_empty=fail_on_empty)


def sum_up_batch(summary: Summary, chosen: PipelineOptions, output: Path, *, fail_on_empty: bool) -> None:
    """The same of a batch, with its failures."""
    told = list(summary.failures)
    for name, error in told[:_MAX_FAILURES]:
        tell_error(name, error)
    if len(told) > _MAX_FAILURES:
        say(f"error: and {len(told) - _MAX_FAILURES} more, in {summary.files[0]}")
    if not chosen.quiet:
        if summary.completed:
            say(f"{count_of(summary.completed, 'result')} completed with missing files, without grounding again")
        now, seconds = summary.total - summary.before, summary.seconds
        when = f"{summary.before} before, {now} now in {seconds:.1f} s, {now / max(seconds, 1e-9):.2f}/s"
        left_out = f", {summary.skipped} skipped" if summary.skipped else ""
        low, high = summary.evidence or (0.0, 0.0)
        sure = f"; evidence {low:.2f}{'' if low == high else f' to {high:.2f}'}" if summary.evidence else ""
        fates = f"{summary.empty} empty, {summary.failed} failed{sure}"
        say(f"{count_of(summary.total, 'result')} ({when}{left_out}); {fates}; see {output}")
    end(summary, fail_on_empty=fail_on_empty)


def end(summary: Summary, *, fail_on_empty: bool) -> None:
    """Exit with 1 where a result failed, or where nothing was found and that counts as failure."""
    if summary.failed or (summary.empty and fail_on_empty):
        raise typer.Exit(1)
